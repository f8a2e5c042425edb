"""The soaks of `benchmarks` would see a loss: records of runs that did lose something. And what benchmarks share."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks import kill_soak, recipe, resume_time, save_soak, signal_soak
from benchmarks.command import train
from benchmarks.corpora import name_of_set
from benchmarks.moments import finish
from benchmarks.records import Records, lacking, print_table, run
from benchmarks.training import checked_out, rows_of
from benchmarks.trials import ROOT, SETTINGS, Start, Training, prepare_set
from wavenet_pl.errors import UserError
from wavenet_pl.runs.folder import checkpoint_path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare_set(tmp_path_factory.mktemp("soak"))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_is_lost_is_in_the_record(data, tmp_path):
    whole = Training(tmp_path / "whole", data, 12, (*kill_soak.SETTINGS, "samples.every_n_steps=6"))
    finish(whole)
    shutil.copytree(whole.folder, tmp_path / "struck")
    struck = replace(whole, folder=tmp_path / "struck")
    same = kill_soak.compare(struck, whole)
    assert {name: same[name] for name in kill_soak.UNCHANGED} == kill_soak.UNCHANGED
    assert same["losses_compared"] == 12 and same["steps_logged_twice_unstopped"] == 0

    rows = struck.run.metrics.read_text().splitlines(keepends=True)
    struck.run.metrics.write_text("".join(row for row in rows if not row.startswith('{"step": 5,')))
    [log] = struck.run.path.glob("wandb/offline-run-*")
    shutil.copytree(log, log.with_name("offline-run-20990101_000000-again"))
    (struck.run.checkpoints / ".half.tmp").touch()
    path = checkpoint_path(struck.run, 12)
    checkpoint = torch.load(path, weights_only=True)
    next(iter(checkpoint["state_dict"].values())).view(-1)[0] *= 1 + 2**-20
    torch.save(checkpoint, path)
    assert kill_soak.is_corrupt(path), "its checksum is another"
    assert not kill_soak.is_corrupt(checkpoint_path(whole.run, 12))
    changed = kill_soak.compare(struck, whole)
    assert changed["losses_differing"] == 1
    assert not changed["metrics_complete"] and not changed["weights_equal"]
    assert changed["steps_logged_twice"] > 12 and changed["leftover_files"] == 1

    shutil.rmtree(log)
    shutil.rmtree(log.with_name("offline-run-20990101_000000-again"))
    nothing = kill_soak.compare(struck, whole)
    assert nothing["wandb_run_ids"] == 0
    assert nothing["wandb_steps_missing"] > 12 and nothing["wandb_clips_missing"] > 0
    assert len(lacking(nothing, kill_soak.UNCHANGED)) == 7


def test_promises_that_a_record_breaks_are_named():
    kept = {"kills": 5, "corrupt_checkpoints": 0, "orphans": 0, **kill_soak.UNCHANGED}
    assert kill_soak.broken(kept, 5) == []
    assert kill_soak.broken({**kept, "weights_equal": False, "kills": 4}, 5) == [
        "kills is 4, expected 5",
        "weights_equal is False, expected True",
    ]


@pytest.mark.slow
def test_a_start_knows_its_processes_and_kills_them(tmp_path):
    """Also those that have left its group, as a tracker's service does."""
    program = "import subprocess; print(subprocess.Popen(['sleep', '600'], start_new_session=True).pid)"
    with Start([sys.executable, "-c", program], tmp_path) as start:
        assert start.wait() == 0
        [left] = start.orphans(0.0)
        assert start.said() == str(left)
        assert not signal_soak.answers(left, signal.SIGUSR1)
    assert not start.alive and start.orphans(20.0) == set()


def test_finished_records_are_not_measured_again(tmp_path):
    path = tmp_path / "records.json"
    Records(path).measure({"setting": "a"}, lambda: {"value": 1})
    records = Records(path)
    assert records.measure({"setting": "a"}, lambda: pytest.fail("measured again"))["value"] == 1
    records.measure({"setting": "b"}, lambda: {"value": 2})
    rows = json.loads(path.read_text())
    assert [(row["setting"], row["value"]) for row in rows] == [("a", 1), ("b", 2)]
    assert all(not isinstance(value, (list, dict)) for row in rows for value in row.values())


def test_a_table_has_a_line_for_each_fact(capsys):
    print_table([{"loader": "a", "seconds": 0.123456}, {"loader": "b", "seconds": 12, "more": True}])
    assert capsys.readouterr().out.splitlines() == [
        "loader        a     b",
        "seconds  0.1235    12",
        "more             True",
    ]


def test_two_that_add_to_one_file_lose_nothing_of_each_other(tmp_path):
    path = tmp_path / "not there yet/rows.json"
    one, other = Records(path), Records(path)
    one.measure({"row": 1}, dict)
    other.measure({"row": 2}, dict)
    one.drop(lambda row: row["row"] == 1)
    assert [row["row"] for row in Records(path).rows] == [2]


@pytest.mark.parametrize("content", ["{}", "[1]", "nothing"])
def test_a_file_that_holds_no_records_is_one_message(tmp_path, capsys, content):
    path = tmp_path / "records.json"
    path.write_text(content)
    with pytest.raises(SystemExit) as stop:
        run(resume_time.main, Namespace(json=path, quick=True, folder=tmp_path, repeats=1))
    assert stop.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "records.json is no list of records, expected what --json wrote; name another file" in line


def test_a_temporary_folder_on_the_same_file_system_is_one_message(tmp_path):
    with pytest.raises(
        UserError, match="same file system as .*, expected another; name one with --tmpdir or --folder"
    ):
        save_soak.measure(save_soak.OURS, 1, tmp_path, tmp_path)


@pytest.mark.soak
def test_after_ctrl_c_the_same_command_goes_on(tmp_path):
    path = tmp_path / "records.json"
    script = [sys.executable, "-m", "benchmarks.resume_time", "--quick", "--json", str(path)]

    def start() -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        return subprocess.Popen(script, cwd=ROOT, stdout=pipe, stderr=pipe, text=True, start_new_session=True)

    process = start()
    deadline = time.monotonic() + 120
    while not path.exists() and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130 and "the same command goes on after what is in" in err, err
    assert "Traceback" not in err
    [first] = json.loads(path.read_text())
    process = start()
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0 and "seconds_ratio" in out, err
    rows = json.loads(path.read_text())
    assert rows[0] == first and [row["loader"] for row in rows] == ["CropLoader", "webdataset"]


@pytest.mark.slow
def test_a_training_is_found_by_what_it_says_beside_others_of_its_name(data, tmp_path):
    settings = ["name=one", f"data.path={data}", *SETTINGS, "trainer.max_steps=2", "wandb.mode=disabled"]
    runs = [train(tmp_path, [*settings, f"seed={seed}"]) for seed in (0, 1, 0)]
    assert runs[0].path == runs[2].path != runs[1].path
    assert {run.path.parent for run in runs} == {tmp_path / "runs"} and all(
        run.metrics.exists() for run in runs
    )


def test_a_set_with_other_options_has_another_name():
    options = ([], ["--mel"], ["--mel", "--test-fraction", "0.9"], ["--mel", "--test-fraction", "0"])
    assert len({name_of_set("speech", each) for each in options}) == 4
    assert name_of_set("speech", options[2]) == "speech-mel-test-fraction-0.9"


def test_rows_of_an_earlier_commit_have_its_hash(tmp_path):
    whole = subprocess.run(
        ["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    if whole.returncode:
        pytest.skip("this is no git work tree")
    before = checked_out("HEAD", tmp_path)
    assert (before / "wavenet_pl" / "__init__.py").is_file()
    args = Namespace(way=["float32"], peer=[])
    assert next(row.who for row in rows_of(args, "demo", before)) == f"before {whole.stdout[:12]}"
    with pytest.raises(UserError, match="git has no commit nothing"):
        checked_out("nothing", tmp_path)


def test_a_recipe_is_held_against_the_first_of_its_own_precision_and_length(capsys):
    records = Records(None)
    for precision, quick, who, bits in (
        ("float32", True, "first", 7.0), ("bfloat16", False, "first", 5.0), ("float32", False, "first", 4.0),
        ("float32", False, "second", 3.75),
    ):  # fmt: skip
        steps = 5 if quick else 600
        facts = {"benchmark": "recipe", "size": "small", "mel": False, "seed": 0, "steps": steps}
        measured = {f"bits_{steps}": bits, f"trained_s_{steps}": 1.0}
        records.measure({**facts, "precision": precision, "quick": quick, "who": who}, lambda: measured)  # noqa: B023
    recipe.show(records, Namespace(size="small", mel=False, precision="float32", quick=False))
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith("+0.000") and second.endswith("-0.250")
