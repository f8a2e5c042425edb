"""The starts of a job: each is written down, and one that leads nowhere is stopped, with the reason."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from wavenet_pl.errors import UserError
from wavenet_pl.run import RunFolder, checkpoint_step, list_checkpoints
from wavenet_pl.signals import BAD
from wavenet_pl.tracking.line_file import LineFile, whole_lines

START_VARIABLE = "WAVENET_PL_START"
"""Set by the batch script: `RUNS/.slurm/slurm-JOB-RESTART`, what the names of the ranks' logs begin with."""
_FUTILE = 2
"""So many starts in a row without a new checkpoint are one more than a node's or a scheduler's bad luck explains."""


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
        UserError: it is damaged.
    """
    starts: list[Start] = []
    runs: dict[str, RunFolder] = {}
    if Path(path).exists():
        for line in whole_lines(path):
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


def reason_to_stop(known: Starts, restart: int, max_restarts: int) -> str | None:
    """Why the job must not be started again; None where it may.

    Args:
        known: its starts, the last of which is over.
        restart: the number of the start that would come next.
        max_restarts: how often it may be started again.
    """
    if restart > max_restarts:
        return (
            f"was started again {max_restarts} times, which is --max-restarts; look why, and submit it again"
        )
    began = [(start.runs, start.step) for start in known.starts[-_FUTILE:]]
    runs, step = now = known.now()
    # A run folder that is entered is no progress; a second one is, as the first is finished then.
    if len(began) == _FUTILE and all(max(then, (1, 0)) == max(now, (1, 0)) for then in began):
        where = f"{known.runs[-1].path} is at step {step}" if runs else "no run folder was entered"
        return (
            f"was started {_FUTILE} times in a row without a new checkpoint: {where}; see the logs of the last start. "
            "A time limit that is too short needs a longer --time or a smaller train.checkpoint_every_n_steps"
        )
    return None


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
        _append(
            log.with_name(f"{job}.starts.jsonl"), {"run": str(run.path.resolve()), "restart": int(restart)}
        )


def main(arguments: Sequence[str]) -> int:
    """`start` or an exit code, the file of starts, how often the job was restarted, and how often it may be.

    Writes the start or its end down. Returns 3, and says why, where the job must not go on.
    """
    what, path, restart, max_restarts = arguments[0], Path(arguments[1]), int(arguments[2]), int(arguments[3])
    try:
        known = read_starts(path)
    except UserError as error:
        print(f"stopped: {error}")
        return BAD
    if what != "start":
        _append(path, {"exit": int(what), "restart": restart, "time": time.time()})
        restart += 1
    if reason := reason_to_stop(known, restart, max_restarts):
        print(f"stopped: the job {reason}")
        return BAD
    if what == "start":
        runs, step = known.now()
        nodes = os.environ.get("SLURM_JOB_NODELIST", "")
        start = Start(restart=restart, time=time.time(), nodes=nodes, runs=runs, step=step)
        _append(path, {name: value for name, value in asdict(start).items() if name != "exit"})
    return 0


def _append(path: Path, row: dict[str, Any]) -> None:
    file = LineFile(path)
    file.append(json.dumps(row).encode() + b"\n")
    file.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
