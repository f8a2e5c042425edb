"""A real offline W&B run of a real training, read back."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.small_run import RUN_ID
from tests.wandb_offline import OfflineRun, offline_folders, read_offline_run
from wavenet_pl.shards.index import load_index
from wavenet_pl.tracking.rows import read_metrics

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
PLANTED = {
    "WANDB_API_KEY": "planted0" * 5,
    "HF_TOKEN": "planted-hub-token",
    "SOME_SETTING": "planted-plain-value",
    "PATH": f"{os.environ['PATH']}:/planted-in-the-path",
}
ARGUMENT = "--password=planted-on-the-command-line"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training that was started twice, with secrets in its environment, command line and config."""
    place = tmp_path_factory.mktemp("tracked")
    home = tmp_path_factory.mktemp("home")
    # Nothing else that a machine may have set: some word of it may stand in a run for good reasons.
    environment = {**PLANTED, "WANDB_MODE": "offline", "HOME": str(home), "OMP_NUM_THREADS": "1"}
    program = [sys.executable, "-m", "tests.training.tracked_run", str(place), "2", ARGUMENT]
    done = subprocess.run(program, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (place / "stderr").write_text(done.stderr)
    assert not list(home.rglob("*wandb*")), "everything belongs to the run folder"
    return place


@pytest.fixture(scope="module")
def runs(folder: Path) -> list[OfflineRun]:
    return [read_offline_run(place) for place in offline_folders(folder / "run")]


def test_each_start_goes_on_with_the_same_run(runs: list[OfflineRun]) -> None:
    assert [run.run_id for run in runs] == [RUN_ID, RUN_ID]
    assert [run.exit_code for run in runs] == [0, 0]
    assert [run.steps("train/loss") for run in runs] == [[2, 4], []], "nothing is logged twice"
    assert [run.steps("val/clips/free-running") for run in runs] == [[2, 4], []]
    assert (runs[0].project, runs[0].group, runs[0].tags) == ("wavenet_pl", "trials", ["small"])


KINDS = {
    "recorded": "recorded | ",
    "teacher-forced": "teacher-forced | seed 0, clip {}, temperature 1 | peak ",
    "free-running": "free-running after 0.02 s | seed 0, clip {}, temperature 1 | peak ",
}


def test_clips_are_there_by_kind_with_their_captions_and_the_recorded_ones_once(
    folder: Path, runs: list[OfflineRun]
) -> None:
    steps = {kind: runs[0].steps(f"val/clips/{kind}") for kind in KINDS}
    assert steps == {"recorded": [2], "teacher-forced": [2, 4], "free-running": [2, 4]}
    keys = [recording.key for recording in load_index(folder / "data").splits["val"][0].recordings]
    for row, kind in ((row, kind) for row in runs[0].history for kind in KINDS if f"val/clips/{kind}" in row):
        clips = row[f"val/clips/{kind}"]
        assert len(clips["captions"]) == len(keys)
        for number, (caption, key) in enumerate(zip(clips["captions"], keys, strict=True)):
            start = f"step {row['trainer/global_step']} | {key} | {KINDS[kind].format(number)}"
            assert caption.startswith(start)
        assert clips["durations"] == [0.05] * 2
        assert clips["sampleRates"] == [8000] * 2


@pytest.mark.parametrize(("kind", "step"), [("recorded", 2), ("teacher-forced", 4), ("free-running", 4)])
def test_clips_sound_as_in_the_run_folder(folder: Path, runs: list[OfflineRun], kind: str, step: int) -> None:
    files = offline_folders(folder / "run")[0] / "files"
    (row,) = (
        row
        for row in runs[0].history
        if row.get("trainer/global_step") == step and f"val/clips/{kind}" in row
    )
    for number, clip in enumerate(row[f"val/clips/{kind}"]["audio"]):
        name = f"{number:02d}-{kind}.wav"
        local, rate = soundfile.read(folder / "run" / "clips" / f"step-{step:09d}" / name, dtype="int16")
        logged, logged_rate = soundfile.read(files / clip["path"], dtype="int16")
        assert rate == logged_rate
        assert np.array_equal(local, logged)


def test_each_clip_has_a_picture_and_a_row_of_the_table(runs: list[OfflineRun]) -> None:
    for row in (row for row in runs[0].history if "val/clips/free-running" in row):
        assert row["val/spectrograms"]["count"] == 2
        assert row["val/clips_table"]["nrows"] == 6


def test_the_config_says_what_the_run_is(folder: Path, runs: list[OfflineRun]) -> None:
    config = runs[0].config
    assert config["index_fingerprint"] == load_index(folder / "data").fingerprint
    assert config["git"] == {"commit": "0" * 40}
    assert (config["parameters"], config["receptive_field"], config["num_tokens"]) == (1234, 17, 512)
    assert config["data"]["batch_size"] == 4
    assert config["hub"] == {"api_key": "[redacted]", "url": "x"}


def test_training_rows_are_thinned_and_all_others_are_not(runs: list[OfflineRun]) -> None:
    run = runs[0]
    assert run.steps("train/loss") == [2, 4]
    assert run.steps("optim/lr") == [2, 4]
    assert run.steps("val/bits") == [3]
    assert run.steps("perf/samples_per_second") == [2, 4]


def test_metrics_jsonl_has_every_step_with_the_same_numbers(folder: Path, runs: list[OfflineRun]) -> None:
    rows = read_metrics(folder / "run" / "metrics.jsonl")
    losses = [(row["step"], row["train/loss"]) for row in rows if "train/loss" in row]
    assert [step for step, _ in losses] == [1, 2, 3, 4]
    sent = [(row["trainer/global_step"], row["train/loss"]) for row in runs[0].history if "train/loss" in row]
    assert set(sent) < set(losses)
    assert [row["step"] for row in rows if "val/bits" in row] == [3]


def test_the_model_descends_from_the_index_and_no_audio_is_sent(folder: Path, runs: list[OfflineRun]) -> None:
    fingerprint = load_index(folder / "data").fingerprint
    artifacts = {artifact["type"]: artifact for artifact in runs[0].artifacts}
    dataset, model = artifacts["dataset"], artifacts["model"]
    assert dataset["used"]
    assert dataset["metadata"] == {"index_fingerprint": fingerprint}
    assert (dataset["files"], dataset["references"]) == ([], [f"wavenet-index:{fingerprint}"])
    assert not model["used"]
    assert model["name"] == f"model-{RUN_ID}"
    assert {"best", "last"} <= set(model["aliases"])
    assert model["metadata"] == {"step": 4, "bits": 7.5, "index_fingerprint": fingerprint}
    assert model["files"] == ["step-000000004.ckpt"]


def test_a_model_waits_in_the_run_folder_until_it_is_sent(folder: Path) -> None:
    staged = [path for path in (folder / "run" / "wandb" / "data").rglob("*") if path.is_file()]
    assert any(path.stat().st_size > 10_000 for path in staged)


def test_no_secret_and_no_variable_is_in_any_file(folder: Path) -> None:
    texts = {*PLANTED.values(), ARGUMENT}
    texts |= {"planted-in-the-config", "planted-in-a-url", "planted-on-the-command-line"}
    files = [path for path in (folder / "run").rglob("*") if path.is_file()]
    assert len(files) > 30
    found = [f"{path}: {text!r}" for path in files for text in texts if text.encode() in path.read_bytes()]
    assert not found


def test_no_host_name_and_no_package_list_is_recorded(folder: Path, runs: list[OfflineRun]) -> None:
    assert [run.host for run in runs] == ["", ""]
    names = {path.name for path in (folder / "run" / "wandb").rglob("*")}
    assert names.isdisjoint({"wandb-metadata.json", "requirements.txt", "output.log", "diff.patch"})


def test_one_line_says_where_the_run_is_and_how_to_send_it(folder: Path) -> None:
    lines = [
        line for line in (folder / "stderr").read_text().splitlines() if "W&B" in line or "wandb" in line
    ]
    places = offline_folders(folder / "run")
    assert lines == [f"W&B is offline; send it later with `wandb sync {place}`" for place in places]
