"""How a training ends, on each of its ranks, where something else than its last step ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import pytest

import wavenet_pl
from tests.processes import ROOT, losses, start, the_run, wait_for_step
from tests.shards.made import write_shard_set
from tests.small import SETTINGS, small_config
from tests.wandb_offline import offline_folders, read_offline_run
from wavenet_pl.errors import ExitCode
from wavenet_pl.runs.folder import RunFolder, list_checkpoints
from wavenet_pl.signals import StopRun

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shard_set(tmp_path_factory.mktemp("leaving") / "set", train=10, val=3)


def stop_reading(process: subprocess.Popen[str]) -> None:
    """As `tee` does that the Ctrl-C has ended."""
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    process.stderr.close()


@pytest.mark.parametrize("devices", [1, 2])
def test_ctrl_c_saves_where_nobody_reads_what_is_written_any_more(shards, tmp_path, devices):
    process = start(shards, tmp_path, "trainer.max_steps=100000", f"trainer.devices={devices}")
    wait_for_step(tmp_path, 8, process)
    stop_reading(process)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(120) == 130
    assert max(the_run(tmp_path).checkpoints.glob("*.ckpt")).name == f"step-{len(losses(tmp_path)):09d}.ckpt"


def test_a_second_ctrl_c_ends_it_at_once_where_nobody_reads_what_is_written_any_more(shards, tmp_path):
    settings = ("trainer.max_steps=50", "train.hang_after=null")
    process = start(shards, tmp_path, *settings, trouble=("forward", 0, "6"))
    wait_for_step(tmp_path, 6, process)
    stop_reading(process)
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(1)  # two at once would be one
    assert process.wait(60) == 130


def test_a_run_comes_to_its_end_where_nobody_reads_what_is_written_any_more(shards, tmp_path):
    """With the lines about its progress, which each validation writes, and those of its end."""
    process = start(shards, tmp_path, "trainer.max_steps=30")
    wait_for_step(tmp_path, 2, process)
    stop_reading(process)
    assert process.wait(120) == 0
    assert max(the_run(tmp_path).checkpoints.glob("*.ckpt")).name == "step-000000030.ckpt"


def test_a_stop_is_raised_on_every_rank_of_a_script_and_rank_0_outlives_the_others(shards, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "tests.training.stopped_script", shards, tmp_path],
        cwd=ROOT, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == ExitCode.SAVED, done.stderr[-3000:]
    said = sorted(line for line in done.stdout.splitlines() if line.startswith(("rank", "went")))
    assert said == ["rank 0 goes on", "rank 0 was stopped with 85", "rank 1 was stopped with 85"]


def test_a_mistake_that_all_ranks_meet_is_said_with_its_own_code(shards, tmp_path):
    settings = ("trainer.devices=2", "trainer.max_steps=5", "wandb.mode=offline", "samples.every_n_steps=2",
                "samples.seconds=10", "samples.prompt_seconds=9")  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "tests.training.slow_to_finish", f"data.path={shards}", *SETTINGS, *settings,
         "--runs", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == ExitCode.USER, done.stderr[-3000:]
    assert "error: samples.prompt_seconds is 9" in done.stderr


class Damage(L.Callback):
    """Asks the run to stop at its third step, and damages something behind its last save."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def on_train_batch_end(self, trainer: L.Trainer, *batch: Any) -> None:
        """Asks."""
        if trainer.global_step == 3:
            os.kill(os.getpid(), signal.SIGUSR1)

    def on_exception(self, trainer: L.Trainer, *_: Any) -> None:
        """Damages."""
        run = RunFolder(Path(trainer.default_root_dir))
        with open(run.metrics if self.kind == "metrics" else list_checkpoints(run)[-1], "ab") as file:
            file.write(b"nobody can read this\n")


@pytest.mark.parametrize(("kind", "last"), [("metrics", None), ("checkpoint", "step-000000002.ckpt")])
def test_what_cannot_be_kept_as_an_artifact_changes_no_exit_code(shards, tmp_path, caplog, kind, last):
    settings = ("trainer.max_steps=9", "train.checkpoint_every_n_steps=1", "trainer.limit_val_batches=0",
                "wandb.mode=offline", "wandb.artifacts=true")  # fmt: skip
    with pytest.raises(StopRun) as caught:
        wavenet_pl.train(small_config(shards, *settings), [Damage(kind)], runs=tmp_path)
    assert caught.value.code == ExitCode.SAVED
    [folder] = offline_folders(the_run(tmp_path).path)
    tracked = read_offline_run(folder)
    assert tracked.exit_code == ExitCode.SAVED
    models = [each for each in tracked.artifacts if each["type"] == "model" and not each["used"]]
    assert [name for each in models if "last" in each["aliases"] for name in each["files"]] == [last] * bool(
        last
    )
    assert ("no checkpoint is kept as an artifact" in caplog.text) is (last is None)


def test_a_second_ctrl_c_is_a_keyboard_interrupt_in_a_script_too(shards, tmp_path):
    class Strike(L.Callback):
        def on_train_batch_end(self, trainer: L.Trainer, *batch: Any) -> None:
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        wavenet_pl.train(small_config(shards, "trainer.max_steps=4"), [Strike()], runs=tmp_path)
    assert signal.getsignal(signal.SIGINT) == before
    assert not list_checkpoints(the_run(tmp_path)), "it saved nothing"
