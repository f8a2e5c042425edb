"""Scanned shards in a temporary file: each is read when it is looked at, as all together they may be too large."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Sequence

from wavenet_pl.shards.lazily import Lazily
from wavenet_pl.shards.scan import ScannedShard


class Spool:
    """Shards by their names."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - it stays open as long as the spool is there
        self._begins: dict[str, int] = {}

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, shard: ScannedShard) -> None:
        """Keep one.

        Raises:
            OSError: the disk is full.
        """
        self._begins[shard.name] = self._file.seek(0, 2)
        pickle.dump(shard, self._file, pickle.HIGHEST_PROTOCOL)

    def shards(self, names: Sequence[str]) -> Sequence[ScannedShard]:
        """Some of them, in this order."""
        return Lazily(len(names), lambda position: self._read(names[position]))

    def _read(self, name: str) -> ScannedShard:
        self._file.seek(self._begins[name])
        shard: ScannedShard = pickle.load(self._file)  # of a file that only this process has
        return shard
