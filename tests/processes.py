"""Real `wavenet-pl train` processes of a small model, and what they leave in their run folder."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from tests.small import SETTINGS
from tests.started import ends_with_test
from wavenet_pl.runs.folder import RunFolder
from wavenet_pl.tracking.rows import read_metrics

ROOT = Path(__file__).resolve().parents[1]
EACH_STEP = ("train.checkpoint_every_n_steps=1", "train.keep_last=20", "trainer.limit_val_batches=0")
"""A checkpoint after every step, all of them kept."""


def start(
    shards: Path, folder: Path, *arguments: str, trouble: tuple[str, int, str] | None = None
) -> subprocess.Popen[str]:
    """`wavenet-pl train` in a process of its own, in a session of its own; with `tests.troubled_train`'s trouble.

    It ends with the test at the latest.
    """
    module = ["wavenet_pl", "train"] if trouble is None else ["tests.troubled_train", *map(str, trouble)]
    command = [sys.executable, "-m", *module, f"data.path={shards}", *SETTINGS, "--runs", str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [*command, *arguments], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder,
        start_new_session=True,
    )  # fmt: skip
    return ends_with_test(process)


def train(
    shards: Path, folder: Path, *arguments: str, code: int = 0, trouble: tuple[str, int, str] | None = None
) -> str:
    """Run to the end; returns all that was printed."""
    process = start(shards, folder, *arguments, trouble=trouble)
    out, err = process.communicate(timeout=240)
    assert process.returncode == code, err[-3000:]
    assert "Traceback" not in err
    return out + err


def the_run(folder: Path) -> RunFolder:
    """The one run in a folder of runs."""
    [path] = [path for path in folder.iterdir() if path.name.startswith("wavenet-")]
    return RunFolder(path)


def losses(folder: Path) -> dict[int, float]:
    """Step -> loss of the one run, which has each step once."""
    rows = [row for row in read_metrics(the_run(folder).metrics) if "train/loss" in row]
    steps = [row["step"] for row in rows]
    assert steps == list(range(1, len(steps) + 1)), "each step once, in order"
    return {row["step"]: row["train/loss"] for row in rows}


def weights(folder: Path) -> dict[str, Any]:
    """The weights of its newest checkpoint."""
    path = max(the_run(folder).checkpoints.glob("*.ckpt"))
    return torch.load(path, weights_only=True)["state_dict"]


def weights_at(folder: Path, step: int) -> torch.Tensor:
    """All weights of the checkpoint of a step, end to end."""
    path = the_run(folder).checkpoints / f"step-{step:09d}.ckpt"
    state = torch.load(path, weights_only=True)["state_dict"]
    return torch.cat([state[name].flatten() for name in sorted(state)])


def wait_for_step(folder: Path, step: int, process: subprocess.Popen[str]) -> None:
    """Wait until the run has a row of this step."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        rows = list(folder.glob("wavenet-*/metrics.jsonl"))
        if rows and any(row["step"] >= step for row in read_metrics(rows[0])):
            return
        time.sleep(0.05)
    raise AssertionError(f"no step {step} within two minutes")


def are_gone(pids: list[int], seconds: float) -> bool:
    """Whether processes end within some time, be it that their parents have not asked yet how they ended."""
    limit = time.monotonic() + seconds
    while any(map(_runs, pids)) and time.monotonic() < limit:
        time.sleep(0.05)
    return not any(map(_runs, pids))


def _runs(pid: int) -> bool:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return False
    state, threads = fields[0], int(fields[17])
    return state not in ("Z", "X") or threads > 1  # as long as one of them is there, its files are open
