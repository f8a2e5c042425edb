"""The index of a set as others would leave it: as text of an earlier version, or with columns that were changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from wavenet_pl.shards import legacy
from wavenet_pl.shards.index import INDEX_NAME, Index, load_index
from wavenet_pl.shards.text import text_of

Arrays = dict[str, np.ndarray[Any, Any]]


def text_index(index: Index) -> str:
    """An index as it was written before there were columns."""
    base = {} if index.base is None else {"base": index.base}
    more = {"fingerprint": index.fingerprint, **base}
    return "".join(text_of(index.sample_rate, index.labels, index.splits, **more)) + "\n"


def as_text(folder: Path) -> Path:
    """Put the index of a set there as text, in place of columns; its path."""
    path = folder / legacy.INDEX_NAME
    path.write_text(text_index(load_index(folder)), encoding="utf-8")
    (folder / INDEX_NAME).unlink()
    return path


def change_columns(folder: Path, change: Callable[[dict[str, str], Arrays], object]) -> Path:
    """Change an index and seal it anew, as anyone can who has read docs/formats.md; its path.

    Args:
        folder: of the set.
        change: is given the metadata and the columns.
    """
    path = folder / INDEX_NAME
    facts, arrays = read(path)
    change(facts, arrays)
    path.write_bytes(sealed(facts, arrays))
    return path


def read(path: Path) -> tuple[dict[str, str], Arrays]:
    """Metadata and columns."""
    header, data = split(path.read_bytes())
    facts = header.pop("__metadata__")
    kinds = {"U8": "u1", "U16": "<u2", "U32": "<u4", "U64": "<u8"}
    return facts, {
        name: np.frombuffer(data[slice(*each["data_offsets"])], kinds[each["dtype"]])
        .reshape(each["shape"])
        .copy()
        for name, each in header.items()
    }


def sealed(facts: dict[str, str], arrays: Arrays) -> bytes:
    """The content of a file, with a checksum that is right."""
    content = save(arrays, {**facts, "sha256": "0" * 64})
    header, data = split(content)
    del header["__metadata__"]["sha256"]
    text = json.dumps(header, sort_keys=True, separators=(",", ":"))
    return content.replace(b"0" * 64, hashlib.sha256(text.encode() + data).hexdigest().encode(), 1)


def split(content: bytes) -> tuple[dict[str, Any], bytes]:
    """Header and data of a safetensors file."""
    size = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def write_many(folder: Path, recordings: int, per_shard: int = 100) -> None:
    """An index of so many made-up recordings in one split, with one name each."""
    numbers = np.arange(recordings, dtype=np.uint64)
    shards = -(-recordings // per_shard)
    names = b"".join(b"train/%06d.tar" % number for number in range(shards))
    arrays = {
        "frames": 4_000 + numbers % 4_000,
        "keys": np.frombuffer(b"".join(b"rec-%08d" % number for number in range(recordings)), np.uint8),
        "keys/bounds": np.arange(recordings + 1, dtype=np.uint64) * 12,
        "offset/flac": 512 + numbers % per_shard * 10_240,
        "size/flac": 5_000 + numbers % 999,
        "crc32/flac": numbers * 2_654_435_761 % 2**32,
        "rows/speaker": numbers % 3,
        "rows/speaker/bounds": np.arange(recordings + 1, dtype=np.uint64),
        "shards/bytes": np.full(shards, 10_240 * per_shard + 10_240),
        "shards/recordings": np.diff(np.minimum(np.arange(shards + 1) * per_shard, recordings)),
        "shards/sha256": np.zeros((shards, 32), np.uint8),
        "shards/names": np.frombuffer(names, np.uint8),
        "shards/names/bounds": np.arange(shards + 1) * 16,
    }
    facts = {
        "format": "4",
        "sample_rate": "8000",
        "labels": json.dumps({"tables": {"speaker": ["a", "b", "c"]}, "frames": {}}),
        "fingerprint": hashlib.sha256(names).hexdigest(),
    }
    narrow = {
        f"train/{name}": array.astype(np.uint8 if array.max() < 256 else np.uint32)
        for name, array in arrays.items()
    }
    (folder / INDEX_NAME).write_bytes(sealed(facts, narrow))
