"""The starts of a job of `wavenet-pl slurm`: each is written down beside the runs, and which runs it entered."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from wavenet_pl.errors import UserError
from wavenet_pl.files.line_file import LineFile, whole_lines
from wavenet_pl.runs.folder import RunFolder, checkpoint_step, list_checkpoints

START_VARIABLE = "WAVENET_PL_START"
"""Set by the batch script: `RUNS/.slurm/slurm-JOB-RESTART`, what the names of the ranks' logs begin with."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """One start of a job, with what there was when it began."""

    restart: int
    """0 for the first, as SLURM counts."""
    time: float
    """Seconds since 1970."""
    nodes: str
    """As SLURM writes a list of them."""
    runs: int
    """How many run folders the job had entered."""
    step: int
    """Step of the newest checkpoint of the last of them; 0 for none."""
    exit: int | None = None
    """What it ended with; None where it runs or was killed."""


@dataclass(frozen=True, kw_only=True)
class Starts:
    """What is known of one job, oldest first."""

    starts: tuple[Start, ...]
    runs: tuple[RunFolder, ...]
    """Run folders that it entered: one, or that of each method of an adaptation."""

    def now(self) -> tuple[int, int]:
        """Run folders entered, and the newest checkpoint's step in the last: this grows where a job gets on."""
        checkpoints = list_checkpoints(self.runs[-1]) if self.runs else []
        return len(self.runs), checkpoint_step(checkpoints[-1]) if checkpoints else 0


def read_starts(path: str | os.PathLike[str]) -> Starts:
    """Reads `RUNS/.slurm/JOB.starts.jsonl`; empty where there is no such file.

    Raises:
        UserError: it is damaged, or cannot be read.
    """
    starts: list[Start] = []
    runs: dict[str, RunFolder] = {}
    try:
        lines = list(whole_lines(path))
    except (FileNotFoundError, NotADirectoryError):
        lines = []
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}), expected what jobs of `wavenet-pl slurm` write; mend that"
        ) from None
    for line in lines:
        try:
            row = json.loads(line)
            if "run" in row:
                runs[row["run"]] = RunFolder(Path(row["run"]))
            elif starts and "exit" in row:
                starts[-1] = replace(starts[-1], exit=row["exit"])
            else:
                starts.append(Start(**row))
        except (ValueError, TypeError, RecursionError):
            raise UserError(
                f"{path} has the line {line[:80]!r}, expected what jobs of `wavenet-pl slurm` write; remove it"
            ) from None
    return Starts(starts=tuple(starts), runs=tuple(runs.values()))


def enter(run: RunFolder, rank: int) -> None:
    """Called by each rank when it knows its run folder; does nothing outside of jobs of `wavenet-pl slurm`.

    The rank's log appears in RUN/logs too, and rank 0 writes down that the job has entered the run.
    """
    start = os.environ.get(START_VARIABLE)
    if start is None:
        return
    log = Path(f"{start}-{rank}.log")
    run.logs.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(OSError):  # a file system without: the log itself lies where it was
        (run.logs / log.name).hardlink_to(log)
    if rank == 0:
        job, restart = log.name.removeprefix("slurm-").rsplit("-", 2)[:2]
        write_down(
            log.with_name(f"{job}.starts.jsonl"), {"run": str(run.path.resolve()), "restart": int(restart)}
        )


def write_down(path: Path, row: dict[str, Any]) -> None:
    """Append a row to a file of starts."""
    file = LineFile(path)
    file.append(json.dumps(row).encode() + b"\n")
    file.close()
