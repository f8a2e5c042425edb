"""Whether a job may be started again: one that leads nowhere is stopped, with the reason."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from wavenet_pl.errors import ExitCode, UserError
from wavenet_pl.runs.starts import Start, Starts, read_starts, write_down

_FUTILE = 2
"""So many starts in a row without a new checkpoint are one more than a node's or a scheduler's bad luck explains."""


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
        state = f"{known.runs[-1].path} is at step {step}" if runs else "no run folder was entered"
        return (
            f"was started {_FUTILE} times in a row without a new checkpoint: {state}; see the logs of the last start. "
            "A time limit that is too short needs a longer --time or a smaller train.checkpoint_every_n_steps"
        )
    return None


def main(arguments: Sequence[str]) -> int:
    """`start` or an exit code, the file of starts, how often the job was restarted, and how often it may be.

    Writes the start or its end down. Returns 3, and says why, where the job must not go on.
    """
    what, path, restart, max_restarts = arguments[0], Path(arguments[1]), int(arguments[2]), int(arguments[3])
    try:
        return _guard(what, path, restart, max_restarts)
    except UserError as error:  # what cannot be read says nothing of how far the job is
        print(f"stopped: {error}")
        return ExitCode.BAD_DATA


def _guard(what: str, path: Path, restart: int, max_restarts: int) -> int:
    known = read_starts(path)
    if what != "start":
        write_down(path, {"exit": int(what), "restart": restart, "time": time.time()})
        restart += 1
    if reason := reason_to_stop(known, restart, max_restarts):
        print(f"stopped: the job {reason}")
        return ExitCode.BAD_DATA
    if what == "start":
        runs, step = known.now()
        nodes = os.environ.get("SLURM_JOB_NODELIST", "")
        start = Start(restart=restart, time=time.time(), nodes=nodes, runs=runs, step=step)
        write_down(path, {name: value for name, value in asdict(start).items() if name != "exit"})
    return ExitCode.DONE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
