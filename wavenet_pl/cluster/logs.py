"""What a job wrote: of its batch script, and of one rank over all starts."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from wavenet_pl.cluster.records import Record, find_records
from wavenet_pl.cluster.scheduler import Scheduler
from wavenet_pl.errors import UserError

_PAUSE = 1.0
"""Seconds between two looks at the files."""
_STATE_PAUSE = 15.0
"""Seconds between two questions to the controller, which has others to answer too."""
_BLOCK = 2**20


def main(args: argparse.Namespace) -> int:
    """`slurm logs`: of one job or task; with -f until it is over."""
    chosen = find_records(args.runs, args.job)
    record, id = chosen[-1]
    if record.tasks and len(chosen) > 1:
        print(f"task {id}; name another one as {record.ids[0]}", file=sys.stderr)
    shown = Shown(record, id, args.rank)
    scheduler, asked, over = Scheduler(), 0.0, not args.follow
    while True:
        printed = shown.more()
        if over and not printed:
            break
        if not over and time.monotonic() >= asked + _STATE_PAUSE:
            over, asked = all(state.is_over for state in scheduler.job(id)), time.monotonic()
        elif not printed:
            time.sleep(_PAUSE)
    if not shown.offsets:
        raise UserError(
            f"job {id} has written nothing yet, expected {record.records / f'{id}.log'}; see "
            f"`wavenet-pl slurm status {id}`, or wait with -f"
        )
    return 0


class Shown:
    """Logs of a job, and how far each was printed.

    Args:
        record: the job.
        id: of it or its task.
        rank: whose log is shown beside that of the batch script.
    """

    def __init__(self, record: Record, id: str, rank: int) -> None:
        self.record, self.id, self.rank = record, id, rank
        self.offsets: dict[Path, int] = {}  # file -> bytes that were printed
        self._last: Path | None = None

    def files(self) -> Iterator[Path]:
        """The batch script's log, and the rank's of each start in order."""
        folder = self.record.records
        ranks = folder.glob(f"slurm-{self.id}-*-{self.rank}.log")
        yield from (path for path in [folder / f"{self.id}.log"] if path.exists())
        yield from sorted(ranks, key=lambda path: int(path.stem.rsplit("-", 2)[1]))

    def more(self) -> bool:
        """Print what is new; returns whether anything was."""
        printed = False
        for path in self.files():
            with open(path, "rb") as file:
                file.seek(self.offsets.get(path, 0))
                while block := file.read(_BLOCK):
                    if path != self._last:
                        print(f"==> {path.name} <==")
                    self._last, printed = path, True
                    print(block.decode("utf-8", "replace"), end="", flush=True)
                self.offsets[path] = file.tell()
        return printed
