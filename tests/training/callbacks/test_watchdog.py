"""A run that hangs is left, whatever its disk and its terminal do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = """
import sys, time
from pathlib import Path
import lightning.pytorch as L
from tests.small_run import small_config, train
from wavenet_pl.config.training import WandbConfig
from wavenet_pl.training.callbacks.watchdog import Watchdog

class Sleep(L.Callback):
    def on_train_batch_start(self, *batch):
        print("asleep", flush=True)
        time.sleep(600)

folder = Path(sys.argv[1])
config = small_config(folder, wandb=WandbConfig(mode="disabled"))
train(config, folder / "run", [Watchdog(3, folder), Sleep()])
"""


@pytest.mark.slow
@pytest.mark.parametrize("trouble", ["full disk", "disk that hangs", "nobody listens"])
def test_a_run_that_hangs_is_left_whatever_its_disk_does(tmp_path: Path, trouble: str) -> None:
    stacks = tmp_path / "hang-rank-0.txt"
    if trouble == "full disk":
        stacks.symlink_to("/dev/full")
    elif trouble == "disk that hangs":
        os.mkfifo(stacks)  # opening it waits for a reader
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    try:
        assert process.stdout is not None and process.stderr is not None
        assert "asleep\n" in iter(process.stdout.readline, "")
        error = "" if trouble == "nobody listens" else process.stderr.read()
        process.stderr.close()
        process.stdout.close()
        assert process.wait(timeout=120) == 85
    finally:
        process.kill()
    if trouble == "full disk":
        assert f"stand above, as {stacks} could not be written (No space left on device)" in error
        assert "most recent call first" in error
    if trouble == "nobody listens":
        assert "most recent call first" in stacks.read_text()
