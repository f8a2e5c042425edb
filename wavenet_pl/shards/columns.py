"""The recordings of a split as columns of one file: mapped, shared by all processes, and made into rows on demand.

Shapes: N recordings, S shards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from wavenet_pl.shards.format import Span
from wavenet_pl.shards.lazily import Lazily
from wavenet_pl.shards.recording import Recording, Shard

Numbers = npt.NDArray[Any]
"""Integers, of whatever width is enough."""
BOUNDS = "/bounds"
"""Behind the name of a column in which a row has any number of items: where the items of each begin, and the end."""


class Columns(Lazily[Shard]):
    """The shards of a split, and below them its recordings, one row for each.

    Args:
        arrays: the columns by their names in the file. ``frames`` (N,). ``offset/EXTENSION``, ``size/EXTENSION`` and
            ``crc32/EXTENSION`` (N,); an offset of 0 stands for no such member. ``shards/bytes`` and
            ``shards/recordings`` (S,), ``shards/sha256`` (S, 32). ``keys``, ``rows/TABLE`` and ``shards/names`` have
            those of all rows one behind the other, text as UTF-8, and beside them their `BOUNDS`, one more than rows.
    """

    def __init__(self, arrays: Mapping[str, Numbers]) -> None:
        self.arrays = dict(arrays)
        plain = {name: np.asarray(array) for name, array in arrays.items()}  # the same numbers, found faster
        self.frames: Numbers = self.arrays["frames"]
        """(N,) length of each recording in samples; handed to another process, it is mapped there."""
        self.shard_bounds = np.concatenate([[0], np.cumsum(plain["shards/recordings"], dtype=np.int64)])
        """(S + 1,) the first recording of each shard, and the end."""
        self._plain = plain
        self.extensions = _below("offset", plain)
        """Of the members that some recording has."""
        self.tables = tuple(name for name in _below("rows", plain) if not name.endswith(BOUNDS))
        """Those of which rows apply to some recording."""
        self._spans = {
            name: tuple(plain[f"{kind}/{name}"] for kind in ("offset", "size", "crc32"))
            for name in self.extensions
        }

    def __reduce__(self) -> tuple[type[Columns], tuple[dict[str, Numbers]]]:
        return Columns, (self.arrays,)

    def __len__(self) -> int:
        return len(self.shard_bytes)

    @property
    def num_recordings(self) -> int:
        """N."""
        return len(self.frames)

    @property
    def shard_bytes(self) -> Numbers:
        """(S,) sizes of the files."""
        return self._plain["shards/bytes"]

    def column(self, kind: str, name: str) -> Numbers:
        """(N,) `offset`, `size` or `crc32` of the members with this extension."""
        return self._plain[f"{kind}/{name}"]

    def items(self, name: str) -> tuple[Numbers, Numbers]:
        """A column in which a row has any number of items: these, and their bounds."""
        return self._plain[name], self._plain[name + BOUNDS]

    def table_rows(self, table: str) -> tuple[Numbers, Numbers]:
        """The rows of a table that apply to the recordings, and (N + 1,) where those of each begin, and the end."""
        if table not in self.tables:
            return np.zeros(0, np.uint8), np.zeros(self.num_recordings + 1, np.uint8)
        return self.items(f"rows/{table}")

    def without(self, table: str) -> npt.NDArray[np.int64]:
        """The recordings to which no row of a table applies."""
        bounds = self.table_rows(table)[1]
        return np.flatnonzero(bounds[1:] == bounds[:-1])

    def key(self, row: int) -> str:
        """Of a recording."""
        return self._text("keys", row)

    def recording(self, row: int) -> Recording:
        """All that is known of one."""
        rows = {}
        for table in self.tables:
            items, bounds = self.items(f"rows/{table}")
            if some := tuple(items[bounds[row] : bounds[row + 1]].tolist()):
                rows[table] = some
        members = {
            name: Span(int(offset[row]), int(size[row]), int(crc32[row]))
            for name, (offset, size, crc32) in self._spans.items()
            if offset[row]
        }
        return Recording(self.key(row), int(self._plain["frames"][row]), rows, members)

    def shard_name(self, shard: int) -> str:
        """Of the shard at this position."""
        return self._text("shards/names", shard)

    def shard_of(self, rows: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """The shards that recordings are in."""
        return np.asarray(np.searchsorted(self.shard_bounds, rows, side="right") - 1)

    def sha256(self, shard: int) -> str:
        """Of the shard at this position."""
        return self._plain["shards/sha256"][shard].tobytes().hex()

    def _item(self, shard: int) -> Shard:
        first, end = self.shard_bounds[shard : shard + 2].tolist()
        recordings: Sequence[Recording] = Lazily(end - first, lambda row: self.recording(first + row))
        return Shard(self.shard_name(shard), int(self.shard_bytes[shard]), self.sha256(shard), recordings)

    def _text(self, name: str, row: int) -> str:
        items, bounds = self.items(name)
        return items[bounds[row] : bounds[row + 1]].tobytes().decode()


def _below(kind: str, names: Mapping[str, object]) -> tuple[str, ...]:
    return tuple(sorted(name.partition("/")[2] for name in names if name.startswith(f"{kind}/")))
