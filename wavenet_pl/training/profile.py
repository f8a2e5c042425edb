"""What `trainer.profiler` measures: where its report goes, also that of a run that is stopped."""

from __future__ import annotations

import sys
from pathlib import Path

import lightning.pytorch as L
from lightning.pytorch.profilers import PassThroughProfiler

_NAME = "profile"


def is_measured(trainer: L.Trainer) -> bool:
    """Whether there is a profiler; Lightning's stand-in for one would write an empty report."""
    return not isinstance(trainer.profiler, PassThroughProfiler)


def direct_profile(trainer: L.Trainer, folder: Path) -> None:
    """Let what the profiler measures go to a folder, a report for each rank of each node."""
    if is_measured(trainer):
        node = f"-node{trainer.node_rank}" if trainer.num_nodes > 1 else ""
        trainer.profiler.dirpath, trainer.profiler.filename = folder, f"{_NAME}{node}"


def end_profile(trainer: L.Trainer) -> None:
    """Write the report of a run that was stopped: Lightning writes those of others."""
    trainer.profiler.describe()


def say_profile(trainer: L.Trainer, folder: Path) -> None:
    """Where the reports are, on stderr, a line each."""
    for path in sorted(folder.glob(f"*{_NAME}*")) if is_measured(trainer) else ():
        print(f"{'profile':>10}  {path}", file=sys.stderr)
