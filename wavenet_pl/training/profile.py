"""What `trainer.profiler` measures: where its report goes, also that of a run that is stopped."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import lightning.pytorch as L
from lightning.pytorch.profilers import PassThroughProfiler, Profiler

_log = logging.getLogger(__name__)

_NAME = "profile"


def _profiler(trainer: L.Trainer) -> Profiler | None:
    """None where there is none: Lightning's stand-in for one would write an empty report."""
    profiler: Profiler = trainer.profiler  # type: ignore[attr-defined]
    return None if isinstance(profiler, PassThroughProfiler) else profiler


def direct_profile(trainer: L.Trainer, folder: Path) -> None:
    """Let what the profiler measures, if there is one, go to a folder, a report for each rank of each node."""
    if profiler := _profiler(trainer):
        node = f"-node{trainer.node_rank}" if trainer.num_nodes > 1 else ""
        profiler.dirpath, profiler.filename = folder, f"{_NAME}{node}"


def end_profile(trainer: L.Trainer) -> None:
    """Write the report of a run that was stopped: Lightning writes those of others."""
    if profiler := _profiler(trainer):
        try:
            profiler.describe()
        except OSError as error:  # how the run ended is what counts
            _log.warning(f"the profile could not be written ({error.strerror or error})")


def say_profile(trainer: L.Trainer, folder: Path) -> None:
    """Where the reports are, on stderr, a line each."""
    for path in sorted(folder.glob(f"*{_NAME}*")) if _profiler(trainer) else ():
        print(f"{'profile':>10}  {path}", file=sys.stderr)
