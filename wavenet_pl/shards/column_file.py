"""The file of columns: a safetensors file, written one shard after the other, and seen to be whole when it is read."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, BinaryIO

import numpy as np
from safetensors import SafetensorError, safe_open

from wavenet_pl.errors import UserError
from wavenet_pl.files.shared import SharedFile, nameless_file
from wavenet_pl.shards.columns import BOUNDS, Columns, Numbers
from wavenet_pl.shards.format import Span
from wavenet_pl.shards.recording import Recording, Shard

_METADATA = "__metadata__"
_CHECKSUM = "sha256"
_WIDTHS = {"U8": np.uint8, "U16": np.uint16, "U32": np.uint32, "U64": np.uint64}
"""Each column is as narrow as its largest number allows."""
_HEADER_BYTES = 100_000_000
"""A header that is longer safetensors does not read."""
_ABSENT = Span(0, 0, 0)
_EMPTY = Shard("", 0, "0" * 64, ())


def columns_of(shards: Sequence[Shard]) -> Columns:
    """Shards as columns, in a file in memory where they are none yet."""
    return shards if isinstance(shards, Columns) else in_memory({"": shards})[""]


def in_memory(splits: Mapping[str, Sequence[Shard]]) -> dict[str, Columns]:
    """Splits as columns, in a file in memory."""
    with nameless_file() as file:
        write_columns(file, {}, splits)
        return {split: Columns(arrays) for split, arrays in _map(file)[2].items()}


def write_columns(file: BinaryIO, facts: Mapping[str, str], splits: Mapping[str, Sequence[Shard]]) -> None:
    """Write an index in one go.

    The shards are gone through twice, so that one at a time has to be in memory.

    Args:
        file: empty.
        facts: text by name, for the header.
        splits: split -> its shards.

    Raises:
        UserError: the facts are longer than a header may be.
        ValueError: a sha256 is none.
        OverflowError: a number is negative, or larger than 64 bits.
    """
    parts = {split: _Part(splits[split]) for split in sorted(splits)}
    wanted = {f"{split}/{name}": tensor for split, part in parts.items() for name, tensor in part.columns()}
    header: dict[str, Any] = {_METADATA: {**facts, _CHECKSUM: "0" * 64}}
    end = 0
    for name in sorted(wanted, key=lambda name: (-_itemsize(wanted[name][0]), name)):  # so all are aligned
        dtype, shape = wanted[name]
        begin, end = end, end + _itemsize(dtype) * math.prod(shape)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": (begin, end)}
    data = len(_encode(header))
    if data > _HEADER_BYTES:
        raise UserError(
            f"the names of the set's tables take {data} bytes, expected {_HEADER_BYTES} at most; leave a table out"
        )
    file.truncate(data + end)
    for split, part in parts.items():
        done: Counter[str] = Counter()
        for chunk in part.chunks():
            for name, numbers in chunk.items():
                tensor = header[f"{split}/{name}"]
                content = numbers.astype(_WIDTHS[tensor["dtype"]]).tobytes()
                file.seek(data + tensor["data_offsets"][0] + done[name])
                file.write(content)
                done[name] += len(content)
    file.seek(data)
    header[_METADATA][_CHECKSUM] = _checksum(header, iter(partial(file.read, 2**20), b""))
    file.seek(0)
    file.write(_encode(header))
    file.flush()


class _Part:
    """A split, as it is to be written: how long its columns become, and how large their numbers."""

    def __init__(self, shards: Sequence[Shard]) -> None:
        self._shards = shards
        self._recordings = 0
        self._items: Counter[str] = Counter()
        self._largest: Counter[str] = Counter()
        for shard in shards:
            recordings = list(shard.recordings)
            self._recordings += len(recordings)
            extensions = {name for row in recordings for name in row.members}
            tables = {name for row in recordings for name in row.rows}
            numbers, counts = _columns_of(shard, recordings, sorted(extensions), sorted(tables))
            for name, each in numbers.items():
                self._largest[name] = max(self._largest[name], int(each.max(initial=0)))
            for name in counts:
                self._items[name] += len(numbers[name])
        self._names = [
            [name.partition("/")[2] for name in sorted(self._largest) if name.startswith(kind)]
            for kind in ("offset/", "rows/")
        ]

    def columns(self) -> Iterator[tuple[str, tuple[str, tuple[int, ...]]]]:
        """Name, kind of numbers and shape of each."""
        numbers, counts = _columns_of(_EMPTY, [], *self._names)
        for name in numbers:
            rows = len(self._shards) if name.startswith("shards/") else self._recordings
            if name in counts:
                yield name, (_dtype(self._largest[name]), (self._items[name],))
                yield name + BOUNDS, (_dtype(self._items[name]), (rows + 1,))
            else:
                yield name, (_dtype(self._largest[name]), (rows, *numbers[name].shape[1:]))

    def chunks(self) -> Iterator[dict[str, Numbers]]:
        """What each shard adds to the columns, name by name."""
        ends: Counter[str] = Counter()
        yield {name + BOUNDS: _numbers([0]) for name in _columns_of(_EMPTY, [], *self._names)[1]}
        for shard in self._shards:
            numbers, counts = _columns_of(shard, list(shard.recordings), *self._names)
            for name, each in counts.items():
                numbers[name + BOUNDS] = ends[name] + np.cumsum(each, dtype=np.uint64)
                ends[name] += len(numbers[name])
            yield numbers


def _columns_of(
    shard: Shard, recordings: Sequence[Recording], extensions: Sequence[str], tables: Sequence[str]
) -> tuple[dict[str, Numbers], dict[str, list[int]]]:
    """What a shard has for the columns; and for those of any number of items, how many each row has."""
    texts = {"keys": [row.key.encode() for row in recordings], "shards/names": [shard.name.encode()]}
    numbers: dict[str, Numbers] = {
        "frames": _numbers([row.frames for row in recordings]),
        "shards/bytes": _numbers([shard.bytes]),
        "shards/recordings": _numbers([len(recordings)]),
        "shards/sha256": np.frombuffer(bytes.fromhex(shard.sha256), np.uint8).reshape(-1, 32),
    }
    for extension in extensions:
        spans = [row.members.get(extension, _ABSENT) for row in recordings]
        for position, kind in enumerate(Span._fields):
            numbers[f"{kind}/{extension}"] = _numbers([span[position] for span in spans])
    counts: dict[str, list[int]] = {}
    for name, some in texts.items():
        numbers[name] = np.frombuffer(b"".join(some), np.uint8)
        counts[name] = list(map(len, some))
    for table in tables:
        rows = [row.rows.get(table, ()) for row in recordings]
        numbers[f"rows/{table}"] = _numbers([each for some in rows for each in some])
        counts[f"rows/{table}"] = list(map(len, rows))
    return numbers, counts


def read_columns(file: BinaryIO) -> tuple[dict[str, str], dict[str, dict[str, Numbers]]]:
    """The facts of an index, and the columns of each split by their names. They are as they were written.

    Raises:
        ValueError: it is no such file, or was changed; then it is `Changed`.
    """
    try:
        with safe_open(f"/proc/self/fd/{file.fileno()}", framework="np"):
            pass  # no column lies outside the file or over another one
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(f"it is no safetensors file ({error!s:.200})") from None
    header, data, splits = _map(file)
    claimed = header.get(_METADATA, {}).get(_CHECKSUM)
    if claimed != (checksum := _checksum(header, [data])):
        raise Changed(f"its checksum says {claimed!r:.80}, its content has {checksum!r}")
    facts = {name: text for name, text in header[_METADATA].items() if name != _CHECKSUM}
    return facts, splits


class Changed(ValueError):
    """A file is not as it was written."""


def _map(file: BinaryIO) -> tuple[dict[str, Any], memoryview, dict[str, dict[str, Numbers]]]:
    """Header, columns as bytes, and split -> name -> column."""
    size = int.from_bytes(os.pread(file.fileno(), 8, 0), "little")
    header = json.loads(os.pread(file.fileno(), size, 8))
    shared = SharedFile(file)
    splits: dict[str, dict[str, Numbers]] = {}
    for name, tensor in header.items():
        if name == _METADATA:
            continue
        split, _, column = name.partition("/")
        if tensor["dtype"] not in _WIDTHS:
            raise ValueError(f"its column {name!r:.80} is {tensor['dtype']}, expected {', '.join(_WIDTHS)}")
        dtype, shape = _WIDTHS[tensor["dtype"]], tuple(tensor["shape"])
        splits.setdefault(split, {})[column] = shared.array(
            dtype, shape, 8 + size + tensor["data_offsets"][0]
        )
    return header, memoryview(shared.bytes)[8 + size :], splits


def _checksum(header: Mapping[str, Any], data: Iterable[bytes | memoryview]) -> str:
    """sha256 over all that the header says but this, and the columns."""
    facts = {name: text for name, text in header[_METADATA].items() if name != _CHECKSUM}
    digest = hashlib.sha256(_dump({**header, _METADATA: facts}))
    for piece in data:
        digest.update(piece)
    return digest.hexdigest()


def _encode(header: Mapping[str, Any]) -> bytes:
    """As it stands in the file, with its length before it and filled up so that the columns are aligned."""
    text = _dump(header)
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _dump(header: Mapping[str, Any]) -> bytes:
    return json.dumps(header, sort_keys=True, separators=(",", ":")).encode()


def _numbers(numbers: Sequence[int]) -> Numbers:
    return np.array(numbers, dtype=np.uint64)


def _dtype(largest: int) -> str:
    """The narrowest in which a number has room."""
    return next(name for name in _WIDTHS if largest < 256 ** _itemsize(name))


def _itemsize(dtype: str) -> int:
    return np.dtype(_WIDTHS[dtype]).itemsize
