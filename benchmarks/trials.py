"""Trainings of seconds, in real processes that can be started again and again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wavenet_pl import cli
from wavenet_pl.runs.folder import RunFolder
from wavenet_pl.shards.index import INDEX_NAME

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 120.0
"""Seconds after which a process that should have ended or gone on counts as hung."""
SETTINGS = (
    "data.batch_size=4",
    "data.crop_samples=450",
    "model.network.stacks=1",
    "model.network.layers_per_stack=4",
    "model.network.residual_channels=8",
    "model.network.gate_channels=8",
    "model.network.skip_channels=8",
    "optim.ema_decay=0.99",
    "optim.warmup_steps=10",
    "train.threads=1",
    "trainer.accelerator=cpu",
    "trainer.check_val_every_n_epoch=null",
    "trainer.enable_progress_bar=false",
    "wandb.mode=offline",
    "wandb.log_every_n_steps=1",
)
"""A training whose start takes seconds and whose steps take milliseconds."""


def prepare_set(folder: Path, recordings: int = 35) -> Path:
    """A shard set with so many short recordings to train on, made where it is not there yet.

    An epoch over the default number does not divide into whole batches.
    """
    data = folder / f"data-{recordings}"
    if not (data / INDEX_NAME).exists():  # which is written last
        options = f"--sample-rate 8000 --seconds 0.6 --recordings {recordings / 0.9:.0f} --val-fraction 0.1"
        with open(folder / "prepare.log", "w") as log, redirect_stdout(log), redirect_stderr(log):
            code = cli.main(["prepare", "two_sines", str(data), "--test-fraction", "0", *options.split()])
        assert code == 0, code
    return data


class Start:
    """One start of a command: its process, in a session of its own, and all that this one starts.

    Args:
        command: what to start.
        folder: where, and where `start.log` goes on with what it prints.
    """

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        self._mark = uuid.uuid4().hex
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        ours = {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "WAVENET_PL_TRIAL": self._mark}
        self.log = folder / "start.log"
        self.began = time.time()
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, **ours},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def __enter__(self) -> Start:
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()

    @property
    def alive(self) -> bool:
        """Whether its first process has not ended yet."""
        return self.process.poll() is None

    def wait(self, seconds: float = PATIENCE) -> int | None:
        """The exit code, negative for a signal; None where the process did not end in time."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        """SIGKILL to all that is left: the process group, and whatever has left it."""
        self.signal(signal.SIGKILL)
        self.process.wait()
        for pid in self.orphans(0.0):
            send(pid, signal.SIGKILL)

    def signal(self, number: int) -> None:
        """To the whole process group."""
        if self.alive:
            os.killpg(self.process.pid, number)

    def orphans(self, seconds: float = 20.0) -> set[int]:
        """Processes that are still there so long after the first one has ended."""
        until = time.monotonic() + seconds
        while (left := self._processes()) and time.monotonic() < until:
            time.sleep(0.02)
        return set(left)

    def rank(self, number: int, seconds: float = 0.0) -> int | None:
        """Process id of a rank, if it is there within so long."""
        if number == 0:
            return self.process.pid
        wanted, until = f"\0LOCAL_RANK={number}\0".encode(), time.monotonic() + seconds
        while True:
            for pid, environment in self._processes().items():
                if wanted in environment and _parent(pid) == self.process.pid:
                    return pid
            if time.monotonic() >= until or not self.alive:
                return None

    def said(self, lines: int = 15) -> str:
        """The end of what was printed."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _processes(self) -> dict[int, bytes]:
        """All that inherited our mark, with their environments. (Those that have ended have none.)"""
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    environment = b"\0" + (entry / "environ").read_bytes()
                except OSError:  # it is gone, or not ours
                    continue
                if self._mark.encode() in environment:
                    found[int(entry.name)] = environment
        return found


@dataclass(frozen=True)
class Training:
    """A command `wavenet-pl train` that can be started again and again, and the folder that its run lies in."""

    folder: Path
    data: Path
    steps: int
    settings: tuple[str, ...] = ()

    def start(self) -> Start:
        """Start it once more."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return Start([sys.executable, "-m", "wavenet_pl", "train", *self.arguments], self.folder)

    @property
    def arguments(self) -> list[str]:
        """Of the command, less its name."""
        steps = f"trainer.max_steps={self.steps}"
        return [f"data.path={self.data}", "--runs", ".", steps, *SETTINGS, *self.settings]

    @property
    def run(self) -> RunFolder:
        """The run's folder; one that is not there before the first start has made it."""
        return RunFolder(next(self.folder.glob("wavenet-*"), self.folder / "wavenet"))

    def newest_row(self, since: float = 0.0) -> dict[str, Any] | None:
        """The last whole row of metrics.jsonl, if it was written after ``since``."""
        try:
            with open(self.run.metrics, "rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - 4096))
                lines = file.read().split(b"\n")
        except OSError:
            return None
        row: dict[str, Any] = json.loads(lines[-2]) if len(lines) > 1 else {"time": -1.0}
        return row if row["time"] >= since else None

    @property
    def step(self) -> int:
        """The step of that row, 0 where there is none."""
        return int((self.newest_row() or {"step": 0})["step"])

    def passed(self, step: int, since: float) -> bool:
        """Whether a row of this step or a later one was written after ``since``."""
        return (self.newest_row(since) or {"step": -1})["step"] >= step


def send(pid: int, number: int) -> None:
    """A signal to one process, if it is still there."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _parent(pid: int) -> int | None:
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    return int(text.partition("PPid:")[2].split()[0])
