"""A part of a split: the columns of one set, what they are read from, and rows of tables in a model's numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from wavenet_pl.errors import BadDataError
from wavenet_pl.shards.columns import Columns
from wavenet_pl.shards.damage import Damage, unreadable
from wavenet_pl.shards.format import Span
from wavenet_pl.shards.recording import Recording
from wavenet_pl.shards.storage import Storage

Integers = npt.NDArray[np.int64]


class StoredRecording(NamedTuple):
    """A recording, and what it is read from."""

    storage: Storage
    shard: str
    """Path below the storage."""
    recording: Recording


class StoredShard(NamedTuple):
    """A shard, and what it is read from."""

    storage: Storage
    name: str
    """Path below the storage."""
    bytes: int
    sha256: str
    recordings: int
    """How many recordings of the split, one after the other, are in it."""


@dataclass(frozen=True)
class Part:
    """The columns of one set, and what they are read from."""

    columns: Columns
    storage: Storage
    moved: Mapping[str, int | Integers]
    """Table -> the row that stands for each of its own, or the one that applies to all recordings instead."""
    source: str = ""
    """What comes before the name of a shard in a message, where there are several sets."""
    prefix: str = ""
    """What comes before the keys of recordings, so that no other set has the same."""

    def table_rows(self, table: str) -> tuple[Integers, Integers]:
        """The rows of a table that apply to the recordings, and where those of each begin, and the end."""
        moved = self.moved.get(table)
        if isinstance(moved, int):
            return np.full(len(self.columns.frames), moved), np.arange(len(self.columns.frames) + 1)
        rows, bounds = (each.astype(np.int64) for each in self.columns.table_rows(table))
        if moved is not None:
            rows = moved[rows]
            rows = rows[np.lexsort((rows, np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))))]
        return rows, bounds

    def key(self, row: int) -> str:
        """Of a recording, as it is called here."""
        return self.prefix + self.columns.key(row)

    def recording(self, row: int) -> Recording:
        """The recording, with its key and its rows as they are here."""
        recording = self.columns.recording(row)
        if not self.moved and not self.prefix:
            return recording
        rows = dict(recording.rows)
        for table, moved in self.moved.items():
            if isinstance(moved, int):
                rows[table] = (moved,)
            elif table in rows:
                rows[table] = tuple(sorted(moved[list(rows[table])].tolist()))
        return replace(recording, key=self.prefix + recording.key, rows=rows)

    def shard_name(self, row: int) -> str:
        """Path below the storage of the shard that a recording is in."""
        return self.columns.shard_name(int(self.columns.shard_of(row)))

    def try_member(
        self, row: int, extension: str, span: Span, decode: Callable[[bytes], npt.NDArray[Any]]
    ) -> npt.NDArray[Any] | Damage:
        """What `decode` makes of a member of a recording, or what is wrong with it."""
        shard, key = self.shard_name(row), self.columns.key(row)
        try:
            return decode(self.storage.read_member(shard, key, extension, span))
        except OSError as error:
            return Damage(self.source + shard, self.prefix + key, *unreadable(error))
        except BadDataError as error:
            return Damage(self.source + shard, self.prefix + key, error.kind, str(error))

    def moved_to(self, numbers: Mapping[str, Integers]) -> Part:
        """The same, with each row of these tables moved to the number in its place."""
        after = dict(self.moved)
        for table, moved in numbers.items():
            known = after.get(table)
            after[table] = (
                moved if known is None else int(moved[known]) if isinstance(known, int) else moved[known]
            )
        return replace(self, moved=after)
