"""What an offline W&B run of the command says of a run, and what it does not say unless it is asked."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import wavenet_pl
from scripts import draw_tracking
from tests.processes import ROOT
from tests.shards.made import write_shard_set
from tests.small import SETTINGS
from tests.wandb_offline import OfflineRun, offline_folders, read_offline_run
from tests.wandb_server import WandbServer
from wavenet_pl.config.training import WandbConfig
from wavenet_pl.runs.folder import RunFolder
from wavenet_pl.runs.versions import installed_versions
from wavenet_pl.shards.index import load_index
from wavenet_pl.tracking.rows import read_metrics
from wavenet_pl.tracking.wandb_log import read_log
from wavenet_pl.training import metrics_file
from wavenet_pl.training.metrics_file import MetricsFile
from wavenet_pl.training.wandb_logger import build_wandb_logger

pytestmark = pytest.mark.slow
PLANTED = {"USER": "planted-user", "LOGNAME": "planted-user", "MY_LAB": "planted-in-the-environment"}


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pytest.MonkeyPatch]:
    """A host and a user whose names are seen wherever they come."""
    tmp_path_factory.getbasetemp()  # else it is called after the user
    with pytest.MonkeyPatch.context() as patch:
        for name, value in PLANTED.items():
            patch.setenv(name, value)
        patch.delenv("WANDB_MODE", raising=False)
        patch.setattr(socket, "gethostname", lambda: "planted-host")
        yield patch


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shard_set(tmp_path_factory.mktemp("planted-above-the-data") / "speech")


@pytest.fixture(scope="module")
def run(machine: pytest.MonkeyPatch, data: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A speaker model in two starts, the second with a rate that makes it worse, and without system metrics."""
    runs = tmp_path_factory.mktemp("planted-above-the-runs")
    settings = [
        "name=voices", f"data.path={data}", *SETTINGS, "model.kind=speaker", "model.condition.channels=4",
        "wandb.mode=offline", "wandb.tags=[trial]", "wandb.log_every_n_steps=1", "trainer.val_check_interval=2",
        "trainer.check_val_every_n_epoch=null", "samples.every_n_steps=4", "samples.count=1", "samples.seconds=0.05",
        "samples.prompt_seconds=0.02",
    ]  # fmt: skip
    wavenet_pl.train([*settings, "trainer.max_steps=4"], runs=runs)
    return RunFolder(
        wavenet_pl.train([*settings, "trainer.max_steps=6", "wandb.system_metrics=false"], runs=runs)
    )


@pytest.fixture(scope="module")
def starts(run: RunFolder) -> list[OfflineRun]:
    return [read_offline_run(folder) for folder in offline_folders(run.path)]


def test_a_run_is_called_as_its_folder_and_is_found_by_kind_head_and_job(
    run: RunFolder, starts: list[OfflineRun]
) -> None:
    assert {start.run_id for start in starts} == {run.run_id}
    assert {start.name for start in starts} == {run.name} != {run.run_id}
    assert {start.job_type for start in starts} == {"train"}
    assert starts[0].tags == ["trial", "speaker", "softmax"]


def test_the_config_says_what_the_numbers_are_held_against(
    run: RunFolder, data: Path, starts: list[OfflineRun]
) -> None:
    config, index = starts[0].config, load_index(data)
    assert config["hours"] == {split: index.seconds(split) / 3600 for split in index.splits}
    assert config["names"] == {"speaker": len(index.labels.tables["speaker"])}
    assert {"uniform", "unigram", "order-1"} <= config["baselines"].keys()
    assert config["baselines"]["uniform"] == 8
    assert config["versions"] == installed_versions()
    assert config["git"].keys() == {"commit", "dirty"}
    assert config["sample_rate"] == index.sample_rate


def test_the_load_of_the_machine_is_there_unless_it_is_switched_off(starts: list[OfflineRun]) -> None:
    names = {name for row in starts[0].system for name in row}
    assert {"memory_percent", "proc.memory.rssMB"} <= names
    assert not [name for name in names if "/" in name]
    assert starts[1].system == []
    assert [start.console for start in starts] == ["", ""]


def test_the_best_numbers_are_in_the_summary_over_all_starts(
    run: RunFolder, starts: list[OfflineRun]
) -> None:
    rows = read_metrics(run.metrics)
    bits = {row["step"]: row["val/bits"] for row in rows if "val/bits" in row}
    gaps = {row["step"]: row["val/gap/speaker"] for row in rows if "val/gap/speaker" in row}
    assert list(bits) == [2, 4, 6]
    for start, last in zip(starts, (4, 6), strict=True):
        best = start.summary
        assert best["best/val/bits"] == min(value for step, value in bits.items() if step <= last)
        assert best["best/val/gap/speaker"] == max(value for step, value in gaps.items() if step <= last)
        assert best["val/bits"] == bits[last], "the newest one stays beside it"


def test_hours_of_audio_are_counted_with_each_step(data: Path, starts: list[OfflineRun]) -> None:
    rows = [row for start in starts for row in start.history if "train/hours_seen" in row]
    assert [row["trainer/global_step"] for row in rows] == list(range(1, 7))
    index = load_index(data)
    frames = [recording.frames for shard in index.splits["train"] for recording in shard.recordings]
    batches = -(-sum(-(-length // 1000) for length in frames) // 4)
    an_epoch = sum(frames) / index.sample_rate / 3600
    for row in rows:
        assert row["train/hours_seen"] == pytest.approx(row["trainer/global_step"] / batches * an_epoch)


def test_neither_host_user_path_nor_environment_is_in_what_is_sent(run: RunFolder) -> None:
    secrets = [*PLANTED.values(), "planted-host", "planted-above", str(Path.home()), os.getcwd()]
    checked = 0
    for folder in offline_folders(run.path):
        for record in read_log(folder):
            assert not record.HasField("environment"), "what W&B itself collects of a machine"
            for entry in record.artifact.manifest.contents:
                entry.ClearField("local_path")  # where `wandb sync` finds what it sends
            text = str(record)
            assert not [secret for secret in secrets if secret in text]
            checked += 1
        for path in (folder / "files").rglob("*"):
            content = path.read_bytes() if path.is_file() else b""
            assert not [secret for secret in secrets if secret.encode() in content], path
    assert checked > 50
    logs = [path.read_text() for path in (run.path / "wandb").rglob("*.log")]
    assert logs and not [text for text in logs if "planted-user" in text or "planted-host" in text]


def test_of_a_path_in_the_config_its_last_name_is_shown(starts: list[OfflineRun]) -> None:
    assert starts[0].config["data"]["path"] == "speech"


def test_the_picture_of_a_run_has_its_numbers_clips_and_facts(run: RunFolder, tmp_path: Path) -> None:
    tracked = draw_tracking.read(run.path)
    assert [step for step, _ in tracked.numbers["val/bits"]] == [2, 4, 6]
    assert {kind: sorted(steps) for kind, steps in tracked.clips.items()} == {
        "recorded": [4],
        "teacher-forced": [4, 6],
        "free-running": [4, 6],
    }
    assert all(path.is_file() for steps in tracked.clips.values() for path in steps.values())
    assert run.name in draw_tracking.facts(tracked)["run"]
    draw_tracking.main(run.path, tmp_path / "picture.svg")
    assert "<svg" in (tmp_path / "picture.svg").read_text()


def test_host_user_and_folder_are_there_for_who_asks(machine: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tracker = build_wandb_logger(
        WandbConfig(mode="offline", machine=True, system_metrics=False),
        run_dir=tmp_path / "run",
        run_id="r1",
        run_config={"data": {"path": "/planted-above/speech"}, "url": "https://me:password@host/set"},
        index_fingerprint="f" * 64,
    )
    assert tracker is not None
    tracker.log_metrics({"val/bits": 3.0}, step=1)
    tracker.finish()
    [start] = [read_offline_run(folder) for folder in offline_folders(tmp_path / "run")]
    identity = {"host": "planted-host", "user": "planted-user", "folder": str(tmp_path / "run")}
    assert start.config["machine"] == identity
    assert start.config["data"]["path"] == "/planted-above/speech"
    assert start.config["url"] == "https://[redacted]@host/set"


def test_what_is_printed_is_there_for_who_asks(tmp_path: Path) -> None:
    """In a process of its own: W&B reads what goes to the stdout that it finds when it is imported."""
    program = (
        "from pathlib import Path\n"
        "from wavenet_pl.config.training import WandbConfig\n"
        "from wavenet_pl.training.wandb_logger import build_wandb_logger\n"
        "config = WandbConfig(mode='offline', console=True, system_metrics=False)\n"
        f"facts = dict(run_dir=Path({str(tmp_path)!r}), run_id='r1', run_config={{}}, index_fingerprint='f' * 64)\n"
        "tracker = build_wandb_logger(config, **facts)\n"
        "tracker.log_metrics({'val/bits': 3.0}, step=1)\n"
        "print('a line that is printed')\n"
        "tracker.finish()\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=120)
    [start] = [read_offline_run(folder) for folder in offline_folders(tmp_path)]
    assert "a line that is printed" in start.console


def test_a_run_of_a_sweep_is_the_agent_s_and_has_every_row_of_its_folder(
    machine: pytest.MonkeyPatch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the folder was there before, as of settings that two sweeps have in common."""
    metrics = MetricsFile(tmp_path / metrics_file.NAME)
    with WandbServer() as server:
        for name, value in {**server.env(), "WANDB_PROJECT": "theirs"}.items():
            monkeypatch.setenv(name, value)
        for step, sweep in enumerate([None, "s1", "s2"], start=1):
            if sweep is not None:
                monkeypatch.setenv("WANDB_SWEEP_ID", sweep)
                monkeypatch.setenv("WANDB_RUN_ID", f"of-{sweep}")
            tracker = build_wandb_logger(
                WandbConfig(system_metrics=False), run_dir=tmp_path, run_id="mine", run_config={}, index_fingerprint=""
            )  # fmt: skip
            assert tracker is not None
            tracker.catch_up()
            for logger in (metrics, tracker):
                logger.log_metrics({"val/bits": 10.0 - step}, step=step)
            tracker.finish()
    rows = {name: [row["val/bits"] for row in served.history] for name, served in server.runs.items()}
    assert rows == {"mine": [9.0], "of-s1": [9.0, 8.0], "of-s2": [9.0, 8.0, 7.0]}
    assert [served.summary["best/val/bits"] for served in server.runs.values()] == [9.0, 8.0, 7.0]
