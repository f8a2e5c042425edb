"""Items in a temporary file: each is read when it is looked at, as all together they may be too large."""

from __future__ import annotations

import os
import pickle
import tempfile
from array import array
from collections.abc import Iterable
from contextlib import suppress
from typing import TypeVar

from wavenet_pl.files.temporary import on_temporary_disk
from wavenet_pl.shards.lazily import Lazily

T = TypeVar("T")


class Spool(Lazily[T]):
    """What was added, in this order. The file is gone with the spool.

    Args:
        items: that are there from the beginning, looked at one after the other.

    Raises:
        UserError: the disk is full.
    """

    def __init__(self, items: Iterable[T] = ()) -> None:
        with on_temporary_disk():
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
            UserError: the disk is full.
        """
        content = pickle.dumps(item, pickle.HIGHEST_PROTOCOL)
        with on_temporary_disk():
            self._file.write(content)
        self._bounds.append(self._bounds[-1] + len(content))

    def _item(self, position: int) -> T:
        with on_temporary_disk():
            self._file.flush()
        begin, end = self._bounds[position : position + 2]
        item: T = pickle.loads(os.pread(self._file.fileno(), end - begin, begin))  # only this process has it
        return item
