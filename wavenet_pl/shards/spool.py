"""Items in a temporary file: each is read when it is looked at, as all together they may be too large."""

from __future__ import annotations

import os
import pickle
import tempfile
from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from wavenet_pl.shards.lazily import Lazily

T = TypeVar("T")


class Spool(Lazily[T]):
    """What was added, in this order. The file is gone with the spool.

    Args:
        items: that are there from the beginning, looked at one after the other.

    Raises:
        OSError: the disk is full.
    """

    def __init__(self, items: Iterable[T] = ()) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - it stays open as long as the spool is there
        self._bounds = array("q", [0])
        for item in items:
            self.add(item)

    def __del__(self) -> None:
        if "_file" in vars(self):
            with suppress(OSError):  # of what nobody will read any more
                self._file.close()

    def __len__(self) -> int:
        return len(self._bounds) - 1

    def add(self, item: T) -> None:
        """Keep one.

        Raises:
            OSError: the disk is full.
        """
        content = pickle.dumps(item, pickle.HIGHEST_PROTOCOL)
        with _named():
            self._file.write(content)
        self._bounds.append(self._bounds[-1] + len(content))

    def _item(self, position: int) -> T:
        with _named():
            self._file.flush()
        begin, end = self._bounds[position : position + 2]
        item: T = pickle.loads(os.pread(self._file.fileno(), end - begin, begin))  # only this process has it
        return item


@contextmanager
def _named() -> Iterator[None]:
    """Say where the disk is that is full: the file has no name."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, tempfile.gettempdir()) from None
