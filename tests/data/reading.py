"""A program that reads one batch from two workers, says their pids, and then waits or comes to its end.

python -m tests.data.reading forkserver wait
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Iterator

from torch.utils.data import IterableDataset

from wavenet_pl.data.workers import Batch, Workers, read_ahead


class Numbers(IterableDataset[Batch]):
    """Each worker counts."""

    def __iter__(self) -> Iterator[Batch]:
        yield from ({"number": number} for number in range(20))


if __name__ == "__main__":
    start_method, then = sys.argv[1:]
    held = read_ahead(Numbers(), Workers(2, start_method))
    next(held)
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    time.sleep(600 if then == "wait" else 0)
