"""`adapt` from a folder of recordings to a voice, with real processes: what it writes, how it goes on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import wavenet_pl
from tests.processes import ROOT, train
from tests.shards.made import SAMPLE_RATE, make_audio, write_shard_set
from tests.small import only_clip
from tests.wandb_offline import offline_folders, read_offline_run
from wavenet_pl import cli
from wavenet_pl.adaptation.report import NUMBERS, REPORT
from wavenet_pl.runs.checkpoints import best_checkpoint
from wavenet_pl.runs.delta import BASE_NAME, DELTA_NAME, SPEAKER_TABLE, model_hash, read_delta
from wavenet_pl.runs.folder import RunFolder
from wavenet_pl.tracking.rows import read_metrics

pytestmark = pytest.mark.slow
SPEAKERS = ("anna", "ben", "cleo")
TRAINING = ("model.kind=speaker", "model.condition.channels=8", "trainer.max_steps=60", "trainer.val_check_interval=30",
            "trainer.check_val_every_n_epoch=null", "optim.lr=4.0e-3")  # fmt: skip
SETTINGS = ("trainer.max_steps=30", "trainer.val_check_interval=5", "data.batch_size=4", "data.num_workers=0",
            "samples.count=2", "samples.seconds=0.05", "train.threads=1", "train.checkpoint_every_n_steps=4",
            "trainer.accelerator=cpu", "wandb.mode=offline")  # fmt: skip
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
Command = list[str]


def write_voice(folder: Path, seed: int, number: int = 8, seconds: float = 1.5) -> Path:
    """Recordings of one made voice: the same pitch in all, which no other voice has."""
    folder.mkdir(parents=True)
    for place in range(number):
        audio = make_audio(round(seconds * SAMPLE_RATE), SAMPLE_RATE, seed)
        audio = np.roll(audio, place * 1777)
        soundfile.write(folder / f"say-{place}.wav", audio, SAMPLE_RATE, subtype="PCM_16")
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """base/ with a trained run, set/ with its data, dora/ and emil/ with recordings."""
    place = tmp_path_factory.mktemp("adapt")
    write_shard_set(place / "set", train=12, val=6, speakers=SPEAKERS)
    (place / "base").mkdir()
    train(place / "set", place / "base", *TRAINING)
    write_voice(place / "dora", 301)
    write_voice(place / "emil", 302)
    return place


def base_of(place: Path) -> Path:
    [run] = (place / "base").glob("wavenet-*")
    return run


def command(base: Path, audio: Path, speaker: str, runs: Path, *arguments: str) -> Command:
    told = ["--audio", str(audio), "--speaker", speaker, "--runs", str(runs)]
    return [sys.executable, "-m", "wavenet_pl", "adapt", str(base), *told, *arguments, *SETTINGS]


def adapt(words: Command, code: int = 0) -> str:
    """Runs it; returns all that was printed."""
    done = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == code, done.stderr[-3000:]
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def run_of(runs: Path, pattern: str) -> Path:
    [run] = runs.glob(pattern)
    return run


def numbers(run: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((run / NUMBERS).read_text())
    return found


@pytest.fixture(scope="module")
def learned(place: Path) -> Path:
    """runs/ with both steps to dora's voice."""
    runs = place / "runs"
    (place / "printed").write_text(
        adapt(command(base_of(place), place / "dora", "dora", runs, "--method", "all"))
    )
    return runs


def test_both_steps_are_runs_of_their_own_with_all_that_belongs_to_them(place: Path, learned: Path) -> None:
    printed = (place / "printed").read_text()
    for method in ("embedding", "all"):
        run = run_of(learned, f"dora-{method}-*")
        said, _ = read_delta(run / DELTA_NAME)
        base = json.loads((run / "base.json").read_text())
        assert base["path"].endswith(f"/{said.base}") and said.base_hash == base["hash"]
        assert str(place).encode() not in (run / DELTA_NAME).read_bytes(), "it is there to be sent"
        assert base["hash"] == model_hash(wavenet_pl.load(base_of(place)))
        page = (run / REPORT).read_text()
        assert f"method {method}" in page and "## Rows on the new voice" in page
        assert len(list((run / "clips").glob("*.wav"))) == 6 and (run / "clips" / "clips-1.png").exists()
        found = numbers(run)
        assert set(found["rows"]) == {*SPEAKERS, "dora"}
        assert found["after"][0] == pytest.approx(min(bits for _, bits in found["curve"][1:]), abs=1e-3)
        assert found["curve"][0] == [0, found["beginning"]["validated"]] and found["seconds"] > 0
    assert printed.count("type next    wavenet-pl generate") == 1 and "--speaker dora" in printed
    first, second = (numbers(run_of(learned, f"dora-{method}-*")) for method in ("embedding", "all"))
    assert first["beginning"] == second["beginning"]
    assert second["after"][0] < first["after"][0] < first["beginning"]["before"][0]
    assert first["forgetting"] == {} and set(second["forgetting"]) == set(SPEAKERS)


def test_the_first_step_leaves_all_that_was_there_bit_for_bit(place: Path, learned: Path) -> None:
    base, adapted = wavenet_pl.load(base_of(place)), wavenet_pl.load(run_of(learned, "dora-embedding-*"))
    before, after = base.state_dict(), adapted.state_dict()
    assert torch.equal(after.pop(SPEAKER_TABLE)[:3], before.pop(SPEAKER_TABLE))
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    for speaker in SPEAKERS:
        clips = [model.generate(0.02, speaker=speaker, seed=3) for model in (base, adapted)]
        assert np.array_equal(*clips)


def test_the_delta_is_the_run_where_it_is_said_where_the_base_lies(learned: Path, tmp_path: Path) -> None:
    for method in ("embedding", "all"):
        run = run_of(learned, f"dora-{method}-*")
        alone = tmp_path / method
        alone.mkdir()
        for name in (DELTA_NAME, BASE_NAME):
            (alone / name).write_bytes((run / name).read_bytes())
        assert model_hash(wavenet_pl.load(alone)) != ""
        ours, theirs = wavenet_pl.load(alone).state_dict(), wavenet_pl.load(run).state_dict()
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_the_tracker_has_the_clips_and_knows_the_base(learned: Path) -> None:
    run = run_of(learned, "dora-all-*")
    tracked = read_offline_run(offline_folders(run)[0])
    [row] = [row for row in tracked.history if "adapt/clips/after" in row]
    captions = {kind: row[f"adapt/clips/{kind}"]["captions"] for kind in ("before", "after", "recorded")}
    assert all(caption.startswith(kind) for kind, each in captions.items() for caption in each)
    assert ["speaker dora" in captions[kind][0] for kind in ("before", "after")] == [False, True]
    assert tracked.job_type == "adapt"
    used = [artifact for artifact in tracked.artifacts if artifact["used"] and artifact["type"] == "model"]
    assert [artifact["metadata"]["model_hash"] for artifact in used] == [numbers(run)["base_hash"]]
    assert tracked.config["speaker"] == "dora" and tracked.exit_code == 0


def test_every_command_takes_it_like_any_run(learned: Path, tmp_path: Path) -> None:
    run = str(run_of(learned, "dora-all-*"))
    told = ["--speaker", "dora", "--seconds", "0.05"]
    assert cli.main(["generate", run, "--out", str(tmp_path / "clips"), *told]) == 0
    assert cli.main(["export", run, "--out", str(tmp_path / "export")]) == 0
    assert cli.main(["generate", str(tmp_path / "export"), "--out", str(tmp_path / "again"), *told]) == 0
    one, two = (only_clip(tmp_path / name).read_bytes() for name in ("clips", "again"))
    assert one == two
    found = tmp_path / "found.json"
    options = ["--count", "0", "--predictions", "0", "--out", str(tmp_path), "--json", str(found)]
    assert cli.main(["evaluate", run, *options]) == 0
    scored = json.loads(found.read_text())
    assert [group["name"] for group in scored["tables"]["speaker"]] == ["dora"]
    assert scored["overall"]["bits"][0] == pytest.approx(numbers(Path(run))["after"][0], abs=1e-4)


def test_the_same_command_again_has_nothing_to_do(place: Path, learned: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in learned.rglob("*") if path.is_file()}
    printed = adapt(command(base_of(place), place / "dora", "dora", learned, "--method", "all"))
    assert printed.count("is finished") == 2 and "type next" in printed
    assert {path: path.stat().st_mtime_ns for path in learned.rglob("*") if path.is_file()} == before


def test_an_adaptation_is_a_base_too_and_so_is_a_merged_one(
    place: Path, learned: Path, tmp_path: Path
) -> None:
    dora = run_of(learned, "dora-embedding-*")
    merged = tmp_path / "dora.ckpt"
    assert cli.main(["adapt", str(dora), "--merge", str(merged)]) == 0
    for number, base in enumerate((dora, merged)):
        runs = tmp_path / f"runs{number}"
        adapt(command(base, place / "emil", "emil", runs, "--method", "embedding"))
        model = wavenet_pl.load(run_of(runs, "emil-embedding-*"))
        assert model.labels.tables["speaker"] == (*SPEAKERS, "dora", "emil")
        theirs = wavenet_pl.load(dora)
        assert np.array_equal(*(each.generate(0.02, speaker="dora", seed=1) for each in (model, theirs)))
    one, two = (
        wavenet_pl.load(run_of(tmp_path / f"runs{number}", "emil-*")).state_dict() for number in (0, 1)
    )
    assert all(torch.equal(one[name], two[name]) for name in one), (
        "the base is what it is, whatever file it is in"
    )


def test_a_name_that_is_there_is_refused_or_trained_on(place: Path, learned: Path, tmp_path: Path) -> None:
    dora = run_of(learned, "dora-embedding-*")
    words = command(dora, place / "dora", "dora", tmp_path, "--method", "embedding")
    assert "has the speaker dora already, expected a new name" in adapt(words, code=2)
    adapt([*words, "--continue"])
    model, base = wavenet_pl.load(run_of(tmp_path, "dora-*")), wavenet_pl.load(dora)
    assert model.labels == base.labels
    rows, old = model.get_parameter(SPEAKER_TABLE), base.get_parameter(SPEAKER_TABLE)
    assert torch.equal(rows[:3], old[:3])


def test_replay_mixes_in_the_voices_of_the_base(place: Path, learned: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(learned, runs)
    without = run_of(runs, "dora-all-*")
    words = command(base_of(place), place / "dora", "dora", runs, "--method", "all")
    printed = adapt([*words, "--replay", str(place / "set"), "--replay-share", "0.75"])
    assert printed.count("is finished") == 1, "the row is learned already"
    [with_replay] = {*runs.glob("dora-all-*")} - {without}
    assert numbers(without)["replay"] == "nothing" and "75 %" in str(numbers(with_replay)["replay"])
    assert numbers(with_replay)["forgotten"] < numbers(without)["forgotten"]


def wait_for(runs: Path, method: str, step: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until the training of a method is at a step; at step 0, until there is any file."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, "it ended before it was killed"
        rows = [row for path in runs.glob(f"dora-{method}-*/metrics.jsonl") for row in read_metrics(path)]
        if any(row["step"] >= step > 0 for row in rows) or (step == 0 and any(runs.rglob("*"))):
            return
        time.sleep(0.01)
    raise AssertionError(f"no step {step} of {method} within two minutes")


def test_killed_again_and_again_it_goes_on_and_comes_to_the_same_result(
    place: Path, learned: Path, tmp_path: Path
) -> None:
    runs, went_on = tmp_path / "runs", []
    words = command(base_of(place), place / "dora", "dora", runs, "--method", "all")
    for method, step in (("embedding", 0), ("embedding", 6), ("all", 6), ("all", 14)):
        with open(tmp_path / "printed", "wb") as file:
            process = subprocess.Popen(
                words, env=ENVIRONMENT, start_new_session=True, stdout=subprocess.DEVNULL, stderr=file
            )
            wait_for(runs, method, step, process)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        assert not list(runs.glob(f"dora-{method}-*/{NUMBERS}")), "it was killed before its end"
        went_on.append("going on from step-" in (tmp_path / "printed").read_text())
    went_on.append("going on from step-" in adapt(words))
    assert went_on == [False, False, True, True, True]
    for method in ("embedding", "all"):
        ours, theirs = run_of(runs, f"dora-{method}-*"), run_of(learned, f"dora-{method}-*")
        assert (ours / DELTA_NAME).read_bytes() == (theirs / DELTA_NAME).read_bytes()
        assert ours.name == theirs.name
        kept = [
            [row["train/loss"] for row in read_metrics(RunFolder(run).metrics) if "train/loss" in row]
            for run in (ours, theirs)
        ]
        assert kept[0] == kept[1]


def test_two_ranks_learn_the_same_voice(place: Path, learned: Path, tmp_path: Path) -> None:
    words = command(base_of(place), place / "dora", "dora", tmp_path, "--method", "all")
    adapt([*words, "trainer.devices=2"])
    for method in ("embedding", "all"):
        found = [numbers(run_of(runs, f"dora-{method}-*")) for runs in (tmp_path, learned)]
        assert found[0]["beginning"] == found[1]["beginning"]
        assert found[0]["after"][0] == pytest.approx(found[1]["after"][0], abs=0.02)


def test_the_best_checkpoint_is_what_is_kept(learned: Path) -> None:
    run = run_of(learned, "dora-all-*")
    said, _ = read_delta(run / DELTA_NAME)
    assert best_checkpoint(RunFolder(run)).name == f"step-{said.step:09d}.ckpt"


def test_a_dry_run_examines_and_writes_nothing(place: Path, tmp_path: Path) -> None:
    printed = adapt(command(base_of(place), place / "emil", "emil", tmp_path / "runs", "--dry-run"))
    assert "would adapt" in printed and "method embedding: 0.2 minutes are less than" in printed
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--replay", "set"], "--replay is set, and method embedding"),
        (["--method", "embedding", "--replay", "set"], "trains nothing that could be forgotten"),
        (["--minutes", "0"], "--minutes is 0, expected a number above 0"),
        (["--method", "all", "--replay-share", "1.5"], "--replay-share is 1.5, expected a share"),
        (
            ["model={network: {residual_channels: 6}}"],
            "command line: model.network.residual_channels is 6, expected 16: the model is the base's",
        ),
        (["data.path=set"], "data.path=set is set, expected nothing of it: the data are --audio"),
        (["optim.weight_decay=0.1"], "optim.weight_decay is 0.1, expected 0"),
        (
            ["train.init_from=runs/x"],
            "train.init_from is runs/x, expected none: an adaptation begins with the base",
        ),
        (["--continue"], "--continue is set, and .* has no speaker emil, but anna"),
        (["--speaker", " x"], "expected up to 100 printable characters"),
        (["--base", "x"], "--base is set without --merge"),
        (["--merge", "/dev/null/x/m.ckpt"], "--merge /dev/null/x/m.ckpt cannot be written"),
        (["optim.lrr=1"], "lrr"),
    ],
)
def test_what_cannot_be_is_one_message(
    place: Path, tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = command(base_of(place), place / "emil", "emil", tmp_path / "runs")[3:]
    assert cli.main([*words[: -len(SETTINGS)], *arguments]) == 2
    error = capsys.readouterr().err.strip().split("\n")[-1]
    import re

    assert re.search(message, error), error
    assert not (tmp_path / "runs").exists()


def test_a_file_that_says_another_model_is_one_message(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One whose weights have the same shapes, so that they could be loaded into it."""
    network = wavenet_pl.load(base_of(place)).network.config
    other = tmp_path / "other.yaml"
    other.write_text(
        f"model:\n  kind: speaker\n  network:\n    stacks: {network.num_layers}\n    layers_per_stack: 1\n"
    )
    words = command(base_of(place), place / "emil", "emil", tmp_path / "runs")[3:]
    assert cli.main([*words[: -len(SETTINGS)], str(other)]) == 2
    assert (
        f"other.yaml:4: model.network.stacks is {network.num_layers}, expected {network.stacks}: the model is the "
        "base's; remove it\n"
    ) in capsys.readouterr().err


def test_a_base_without_speakers_is_refused(place: Path, tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    train(place / "set", tmp_path / "base", "trainer.max_steps=2")
    [base] = (tmp_path / "base").glob("wavenet-*")
    printed = adapt(command(base, place / "emil", "emil", tmp_path), code=2)
    assert "has no speaker table: it is conditioned on nothing" in printed


def test_silence_is_one_message(place: Path, tmp_path: Path) -> None:
    (tmp_path / "quiet").mkdir()
    soundfile.write(tmp_path / "quiet" / "ten.wav", np.zeros(10 * SAMPLE_RATE), SAMPLE_RATE)
    printed = adapt(command(base_of(place), tmp_path / "quiet", "emil", tmp_path / "runs"), code=2)
    [error] = [line for line in printed.split("\n") if "error:" in line]
    assert "ten.wav: silent: nothing above -72 dBFS" in error
    assert not (tmp_path / "runs").exists()
