"""The command `evaluate`: what is written, what is said, what is refused, and what Ctrl-C leaves."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from tests.evaluation.runs import trained, write_run
from tests.processes import the_run, train
from tests.runs.made import write_run as write_exported_run
from tests.shards.made import spoil, write_shard_set
from tests.small import SIXTEEN_BITS, small_config
from tests.started import ends_with_test
from wavenet_pl import cli
from wavenet_pl.evaluation.baselines import Baselines, load_baselines
from wavenet_pl.model import Model
from wavenet_pl.runs.checkpoints import validation_bits
from wavenet_pl.shards.index import load_index

ROOT = Path(__file__).resolve().parents[2]
ACCENTS = {"accent": ("scots", "irish")}
QUICK = ("--seconds", "0.05", "--count", "1", "--predictions", "40", "--threads", "1")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shard_set(
        tmp_path_factory.mktemp("set"), train=4, val=4, test=1, tags=("a", "b"), tables=ACCENTS
    )


@pytest.fixture(scope="module")
def run(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("evaluate") / "run", trained(shards, steps=30))


@pytest.mark.slow
def test_writes_a_page_and_numbers_and_says_the_most_important(run, shards, tmp_path, capsys):
    numbers = tmp_path / "numbers.json"
    assert cli.main(["evaluate", str(run), "--json", str(numbers), *QUICK]) == 0
    found = json.loads(numbers.read_text())
    out = capsys.readouterr().out
    mean, low, high = found["overall"]["bits"]
    assert low < mean < high
    assert f"{mean:.3f}" in out and "order-1" in out and "samples are used of a receptive field of 33" in out
    assert (
        "4 of 4 recordings of split val" in out
        and "times real time, engine " in out
        and "weights float32, threads 1" in out
    )
    page = (run / "evaluation" / "report.html").read_text()
    assert "<h1>" in page and "<h2>Voices, heard by Resemblyzer</h2>" in page
    assert found["complete"] and found["subject"]["data"] == str(shards)
    tables = {table: [group["name"] for group in groups] for table, groups in found["tables"].items()}
    assert tables == {"speaker": ["anna", "ben"], "tags": ["a", "b"], "accent": ["irish", "scots"]}
    assert len(found["recordings"]) == 4 and len(found["clips"]) == 1
    [judgement] = found["judgements"]
    assert judgement["title"] == "Voices, heard by Resemblyzer" and f"{judgement['title']}:\n" in out
    # Of one clip nothing can be said, or nobody is there to say it.
    assert judgement["remarks"] and all(f"  {remark}\n" in out for remark in judgement["remarks"])
    baselines = Baselines(**found["baselines"])
    assert baselines.uniform == 8 and baselines.order1 < baselines.unigram
    assert baselines.val_samples == found["overall"]["samples"]


@pytest.mark.slow
def test_the_same_command_finds_the_same_numbers(run, tmp_path):
    def numbers(name: str, *more: str) -> dict:
        path = tmp_path / name
        arguments = ["evaluate", str(run), "--out", str(tmp_path), "--json", str(path), *QUICK, *more]
        assert cli.main(arguments) == 0
        found = json.loads(path.read_text())
        del found["speed"], found["subject"]["seed"]
        return found

    first = numbers("first")
    assert numbers("second") == first
    assert numbers("other", "--seed", "1")["context"] != first["context"]


def test_of_one_recording_of_one_speaker_neither_nan_nor_inf_is_said(tmp_path, capsys):
    shards = write_shard_set(tmp_path / "set", train=1, val=1, speakers=("anna",))
    labels, config = load_index(shards).labels, small_config(shards, "model.kind=speaker")
    run = write_run(tmp_path / "run", Model(config, sample_rate=8_000, labels=labels).eval())
    assert cli.main(["evaluate", str(run), *QUICK, "--count", "0"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"\n  model +\d\.\d{3}\n", out) and re.search(r"\n  a wrong speaker +–\n", out)
    assert not re.search(r"\b(nan|inf)\b", out)


def test_a_cap_is_said(run, tmp_path, capsys):
    assert cli.main(["evaluate", str(run), "--out", str(tmp_path), "--max-seconds", "0.9", "--split", "val",
                     "--count", "0", "--predictions", "0"]) == 0  # fmt: skip
    assert "of 4 recordings of split val" in (out := capsys.readouterr().out) and "4 of 4" not in out
    assert "of 4 recordings" in (tmp_path / "report.html").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("settings", [(), SIXTEEN_BITS], ids=["softmax", "16 bits"])
def test_takes_a_checkpoint_and_an_export_and_says_both_kinds_of_bits(shards, tmp_path, capsys, settings):
    run = write_exported_run(tmp_path / "run", *settings, data=shards)
    [checkpoint, _] = sorted(run.checkpoints.glob("*.ckpt"))
    assert cli.main(["export", str(run.path), "--out", str(tmp_path / "export")]) == 0
    for place in (checkpoint, tmp_path / "export"):
        capsys.readouterr()
        out = tmp_path / "page"
        assert cli.main(["evaluate", str(place), "--data", str(shards), "--out", str(out), *QUICK]) == 0
        said = capsys.readouterr().out
        assert "bits per sample of 256 mu-law codes" in said
        assert ("of 65,536 linear codes the model has" in said) == bool(settings)
        assert ("of 65,536 linear codes" in (out / "report.html").read_text()) == bool(settings)


def test_a_set_without_training_recordings_has_no_baselines(run, tmp_path, capsys):
    shards = write_shard_set(tmp_path / "set", train=0, val=0, test=2)
    assert (
        cli.main(
            ["evaluate", str(run), "--data", str(shards), "--out", str(tmp_path), "--split", "test", *QUICK]
        )
        == 0
    )
    assert "order-1" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--count", "-1"], "count is -1, expected 0 or more"),
        (["--predictions", "-1"], "predictions is -1, expected 0 or more"),
        (["--threads", "0"], "threads is 0, expected 1 or more"),
        (["--data", "nowhere"], "cannot be read"),
    ],
)
def test_a_mistake_is_one_message_and_2(run, tmp_path, capsys, arguments, message):
    assert cli.main(["evaluate", str(run), "--out", str(tmp_path / "out"), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_data_that_does_not_fit_the_model_is_refused(run, tmp_path, capsys):
    other = write_shard_set(tmp_path / "rate", train=1, val=1, sample_rate=16_000)
    assert cli.main(["evaluate", str(run), "--out", str(tmp_path), "--data", str(other)]) == 2
    assert "has sample rate 16000, expected 8000" in capsys.readouterr().err
    other = write_shard_set(tmp_path / "split", train=1, val=1)
    assert (
        cli.main(["evaluate", str(run), "--out", str(tmp_path), "--data", str(other), "--split", "test"]) == 2
    )
    assert (
        "has no recording in split 'test', but in train, val; choose one of these as the split"
        in capsys.readouterr().err
    )


def test_a_place_for_the_page_is_asked_for_and_tried_first(run, tmp_path, capsys):
    [checkpoint] = (run / "checkpoints").glob("*.ckpt")
    assert cli.main(["evaluate", str(checkpoint)]) == 2
    assert "name one with --out" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert cli.main(["evaluate", str(run), "--out", str(tmp_path / "file" / "out")]) == 2
    assert "cannot be made" in capsys.readouterr().err


@pytest.mark.parametrize("numbers", [".", "file/numbers.json", "file/deeper/numbers.json"])
def test_a_file_for_the_numbers_is_tried_before_the_work(run, tmp_path, monkeypatch, capsys, numbers):
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    assert cli.main(["evaluate", str(run), "--out", "out", "--json", numbers, *QUICK]) == 2
    error = capsys.readouterr().err
    assert f"--json {numbers} cannot be written (" in error and error.count("\n") == 1
    assert not list((tmp_path / "out").iterdir())


def test_too_many_damaged_recordings_are_3_and_named(run, tmp_path, capsys):
    shards = write_shard_set(tmp_path / "set", train=1, val=3, recordings_per_shard=1)
    spoil(shards, "val/shard-000001.tar")
    arguments = ["evaluate", str(run), "--data", str(shards), "--out", str(tmp_path / "out"), *QUICK]
    assert cli.main(arguments) == 3
    assert "1 of 3 recordings cannot be read, more than data.max_bad_fraction=0.01" in capsys.readouterr().err
    assert "Stopped before its end" in (tmp_path / "out/report.html").read_text()


def test_a_model_whose_numbers_are_not_finite_is_3(shards, tmp_path, capsys):
    module = Model(small_config(shards), sample_rate=8_000)
    torch.nn.init.constant_(module.network.hidden.weight, 1e38)  # finite, but not what comes of it
    assert cli.main(["evaluate", str(write_run(tmp_path / "run", module)), *QUICK]) == 3
    assert "are nan, expected a number; the model's weights are damaged" in capsys.readouterr().err


def test_data_that_moved_is_asked_for(tmp_path, capsys):
    run = write_run(tmp_path / "run", Model(small_config(tmp_path / "gone"), sample_rate=8_000))
    assert cli.main(["evaluate", str(run), *QUICK]) == 2
    assert "or say with data, on the command line --data, where it is" in capsys.readouterr().err


def test_few_damaged_recordings_are_left_out_and_said(tmp_path, capsys, caplog):
    shards = write_shard_set(tmp_path / "set", train=1, val=3, recordings_per_shard=1)
    config = small_config(shards, "data.max_bad_fraction=0.5")
    torch.manual_seed(0)
    run = write_run(tmp_path / "run", Model(config, sample_rate=8_000).eval())
    spoil(shards, "val/shard-000001.tar")
    key = load_index(shards).splits["val"][1].recordings[0].key
    assert cli.main(["evaluate", str(run), *QUICK]) == 0
    assert f"left out: {key}" in caplog.text and "2 of 3 recordings" in capsys.readouterr().out
    assert key in (run / "evaluation/report.html").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("settings", [(), SIXTEEN_BITS], ids=["softmax", "16 bits"])
def test_bits_are_those_that_training_logged(shards, tmp_path, settings):
    train(shards, tmp_path, "trainer.max_steps=20", "trainer.val_check_interval=20",
          "trainer.check_val_every_n_epoch=null", *settings)  # fmt: skip
    run = the_run(tmp_path)
    assert cli.main(["evaluate", str(run.path), "--json", str(tmp_path / "numbers.json"), *QUICK]) == 0
    found = json.loads((tmp_path / "numbers.json").read_text())
    [logged] = validation_bits(run).values()
    assert found["overall"]["bits"][0] == pytest.approx(logged, rel=1e-5)
    [comparable] = validation_bits(run, "val/bits_mulaw256" if settings else "val/bits").values()
    assert found["overall"]["comparable_bits"][0] == pytest.approx(comparable, rel=1e-5)
    assert found["baselines"] == asdict(load_baselines(run.baselines))


@pytest.mark.slow
def test_ctrl_c_leaves_what_is_finished(run, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "wavenet_pl", "evaluate", str(run), "--out", str(tmp_path), "--seconds", "600",
         "--json", str(tmp_path / "numbers.json"), "--threads", "1"],
        stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=tmp_path,
        start_new_session=True,
    )  # fmt: skip
    ends_with_test(process)
    assert process.stderr is not None
    for line in process.stderr:
        if "clips" in line:  # the last stage, which would take minutes
            assert " left" in line
            break
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130 and "Traceback" not in err and "what is finished is kept" in err
    found = json.loads((tmp_path / "numbers.json").read_text())
    assert (
        not found["complete"] and found["scored_recordings"] == 4 and found["context"] and not found["clips"]
    )
    assert "Stopped before its end" in (tmp_path / "report.html").read_text()
