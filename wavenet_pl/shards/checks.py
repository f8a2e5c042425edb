"""What columns have to be before anything is read by them: anyone may have written the file.

Shapes: N recordings, S shards.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from wavenet_pl.audio.formats import AUDIO_EXTENSIONS
from wavenet_pl.numbers.counter import MIX_1, MIX_2
from wavenet_pl.shards.columns import BOUNDS, Columns, Numbers
from wavenet_pl.shards.format import BLOCK, MAX_AUDIO_BYTES, MAX_SECONDS, Span, check_key
from wavenet_pl.shards.labels import Labels
from wavenet_pl.shards.text import LARGEST, short

_AT_ONCE = 2**17
"""Recordings, or bytes of keys, so that they stay in a core's cache."""
_SIGNS = (string.ascii_letters + string.digits + "_-/").encode()
_LONGEST_KEY = 4096
_EXTENSION = re.compile(r"[A-Za-z0-9_\-][A-Za-z0-9_ .\-]{0,199}")
_WIDEST_FRAMES = 4
"""Bytes of a number of samples: an hour at any rate has room."""


def build_columns(split: str, arrays: Mapping[str, Numbers], labels: Labels, sample_rate: int) -> Columns:
    """Columns that somebody else may have written, once it was seen that they are sound.

    Args:
        split: which they are of.
        arrays: see `Columns`.
        labels: of the set.
        sample_rate: of the set.

    Raises:
        ValueError: they are not; names the first recording that is not, where it is one.
        BadDataError: a key is none.
    """
    _check_shapes(arrays)
    columns = Columns(arrays)
    _check_shards(columns)
    _check_keys(columns)
    _check_rows(columns, labels)
    if (longest := int(columns.frames.max(initial=0))) > MAX_SECONDS * sample_rate:
        raise ValueError(f"split {split} has a recording of {longest} samples, more than {MAX_SECONDS} s")
    if columns.frames.itemsize > _WIDEST_FRAMES:
        raise ValueError(
            f"its column 'frames' is {columns.frames.dtype}, expected {8 * _WIDEST_FRAMES} bits at most"
        )
    for begin in range(0, columns.num_recordings, _AT_ONCE):
        _check_members(columns, labels, slice(begin, min(begin + _AT_ONCE, columns.num_recordings)))
    _check_unique(columns, split)
    return columns


def _check_shapes(arrays: Mapping[str, Numbers]) -> None:
    """Refuse columns that are missing, too many, or not as long as others; and bounds that are none."""
    ragged = ["keys", "shards/names", *(name for name in arrays if name.startswith("rows/"))]
    ragged = [name for name in ragged if not name.endswith(BOUNDS)]
    extensions = [name.partition("/")[2] for name in arrays if name.startswith("offset/")]
    expected = {"frames", "shards/bytes", "shards/recordings", "shards/sha256"}
    expected |= {name + end for name in ragged for end in ("", BOUNDS)}
    expected |= {f"{kind}/{name}" for name in extensions for kind in ("offset", "size", "crc32")}
    if odd := sorted(expected ^ arrays.keys()):
        raise ValueError(f"it has {'no' if odd[0] in expected else 'a'} column {short(odd[0])}")
    if odd := [name for name in extensions if not _EXTENSION.fullmatch(name)]:
        raise ValueError(f"it has members called {short(odd[0])}, expected letters, digits, dots, _ and -")
    shards, recordings = arrays["shards/bytes"].shape[:1], arrays["frames"].shape[:1]
    for name, array in arrays.items():
        rows = shards if name.startswith("shards/") else recordings
        shape: tuple[int, ...] = (*rows, 32) if name == "shards/sha256" else rows
        if name.endswith(BOUNDS):
            shape = (rows[0] + 1,) if rows else ()
        if array.shape != (array.shape[:1] if name in ragged else shape) or array.ndim == 0:
            raise ValueError(f"its column {short(name)} has the shape {short(array.shape)}, expected {shape}")
    for name in ragged:
        bounds = arrays[name + BOUNDS]
        if bounds[0] != 0 or bounds[-1] != len(arrays[name]) or (bounds[1:] < bounds[:-1]).any():
            raise ValueError(f"the bounds of its column {short(name)} are not in order")
    counts = arrays["shards/recordings"]
    if int(counts.max(initial=0)) > recordings[0] or int(counts.sum(dtype=np.uint64)) != recordings[0]:
        raise ValueError(f"its shards have other numbers of recordings than {recordings[0]} in all")
    if arrays["shards/sha256"].dtype != np.uint8:
        raise ValueError("its column 'shards/sha256' does not hold bytes")
    if any(arrays[name].dtype != np.uint8 for name in ("keys", "shards/names")):
        raise ValueError("its keys or the names of its shards are no text")


def _check_shards(columns: Columns) -> None:
    items, bounds = columns.items("shards/names")
    text = items.tobytes()
    for begin, end in pairwise(bounds.tolist()):
        name = text[begin:end].decode()
        foreign = "\\" in name or ":" in name or not name.isprintable()
        if name.startswith("/") or ".." in name.split("/") or not name.endswith(".tar") or foreign:
            raise ValueError(f"shard {short(name)} is no path below the set's folder")
    if len(columns) and (size := int(columns.shard_bytes.max())) >= LARGEST:
        raise ValueError(f"bytes of a shard are {size}")


def _check_keys(columns: Columns) -> None:
    """Refuse what `check_key` does; it is looked for in all keys at a time."""
    keys, bounds = columns.items("keys")
    begins, ends = bounds[:-1], bounds[1:]
    row = _first(ends == begins)
    row = _first(ends - begins > _LONGEST_KEY) if row is None else row
    for at in range(0, len(keys) if row is None else 0, _AT_ONCE):
        some = keys[at : at + _AT_ONCE + 1]  # and one that follows
        slash = some == ord("/")
        odd = np.zeros(len(some), bool)
        odd[:-1] = slash[1:] & slash[:-1]
        if some.tobytes().translate(None, _SIGNS):
            odd |= ~np.isin(some, np.frombuffer(_SIGNS, np.uint8))
        if (position := _first(odd)) is not None:
            row = int(np.searchsorted(bounds, at + position, side="right")) - 1
            break
    if row is None:
        row = _first((keys[begins] == ord("/")) | (keys[ends - 1] == ord("/")))
    if row is not None:
        text = keys[begins[row] : ends[row]].tobytes().decode(errors="backslashreplace")
        check_key(text)
        raise ValueError(f"the key {short(text)} has {len(text)} signs, expected {_LONGEST_KEY} at most")


def _check_rows(columns: Columns, labels: Labels) -> None:
    for table in columns.tables:
        if table not in labels.tables:
            raise ValueError(f"it has rows of {short(table)}, which is none of its tables")
        items, bounds = columns.table_rows(table)
        if (position := _first(items >= len(labels.tables[table]))) is not None:
            row = int(np.searchsorted(bounds, position, side="right")) - 1
            raise ValueError(f"{table} of {_entry(columns, row)} is {items[position]}")


def _check_members(columns: Columns, labels: Labels, rows: slice) -> None:
    """Refuse spans that lie outside their shard, recordings without audio or frames, and those that are too large."""

    def refuse(bad: npt.NDArray[np.bool_], text: str, values: Numbers = columns.frames) -> None:
        if (position := _first(bad)) is not None:
            raise ValueError(
                text.format(entry=_entry(columns, rows.start + position), value=values[position])
            )

    number = rows.stop - rows.start
    refuse(columns.frames[rows] == 0, "frames of {entry} is 0")
    limits = _shard_bytes(columns, rows)
    sizes = {}
    for extension in columns.extensions:
        offset, size, crc32 = (columns.column(kind, extension)[rows] for kind in Span._fields)
        is_there = offset > 0
        refuse(is_there & ((offset < BLOCK) | (offset >= LARGEST)), "offset of {entry} is {value}", offset)
        refuse(size >= LARGEST, "size of {entry} is {value}", size)
        refuse(crc32 >= 2**32, "crc32 of {entry} is {value}", crc32)
        refuse(is_there & (offset.astype(np.uint64) + size > limits), "{entry} points outside its shard")
        sizes[extension] = is_there, size
    audio, has_audio = np.zeros(number, np.uint64), np.zeros(number, bool)
    for extension in (name for name in AUDIO_EXTENSIONS if name in sizes):
        is_there, size = sizes[extension]
        audio = np.where(is_there & ~has_audio, size, audio)
        has_audio |= is_there
    most = f"more than {MAX_AUDIO_BYTES}"
    refuse(~has_audio, "{entry} has no audio")
    refuse(audio > MAX_AUDIO_BYTES, f"{{entry}} has {{value}} bytes of audio, {most}", audio)
    for name in labels.frames:
        is_there, size = sizes.get(f"{name}.npy", (np.zeros(number, bool), audio))
        refuse(~is_there, f"{{entry}} has no {name}.npy, expected one in every recording")
        refuse(size > MAX_AUDIO_BYTES, f"{{entry}} has {{value}} bytes of {name}, {most}", size)


def _shard_bytes(columns: Columns, rows: slice) -> Numbers:
    """The sizes of the shards that these recordings are in."""
    inside = np.clip(columns.shard_bounds, rows.start, rows.stop)
    return np.repeat(columns.shard_bytes, np.diff(inside))


def _check_unique(columns: Columns, split: str) -> None:
    """Refuse a key that is there twice. Keys are compared where their hashes are equal."""
    hashes = _hashes(*columns.items("keys"))
    ordered = np.sort(hashes)
    repeated = ordered[1:][ordered[1:] == ordered[:-1]]
    seen: set[str] = set()
    for row in np.flatnonzero(np.isin(hashes, repeated)).tolist() if len(repeated) else ():
        key = columns.key(row)
        if key in seen:
            raise ValueError(f"split {split} names the key {short(key)} twice")
        seen.add(key)


def _hashes(keys: Numbers, bounds: Numbers) -> npt.NDArray[np.uint64]:
    """64 bits of each key, those of one length at a time."""
    lengths = np.diff(bounds).astype(np.uint16)  # none is longer
    by_length = np.argsort(lengths, kind="stable")
    hashes = np.zeros(len(lengths), np.uint64)
    ends = np.searchsorted(lengths[by_length], np.unique(lengths), side="right")
    for first, end in zip([0, *ends.tolist()], ends.tolist(), strict=False):
        length = int(lengths[by_length[first]])
        windows = np.lib.stride_tricks.sliding_window_view(keys, length)
        for at in range(first, end, _AT_ONCE):
            rows = by_length[at : min(at + _AT_ONCE, end)]
            padded = np.zeros((len(rows), -(-length // 8) * 8), np.uint8)
            padded[:, :length] = windows[bounds[rows]]
            mixed = np.full(len(rows), length << 32, np.uint64)
            for word in padded.view(np.uint64).T:
                mixed = (mixed ^ word) * MIX_1
                mixed = (mixed ^ (mixed >> np.uint64(29))) * MIX_2
                mixed ^= mixed >> np.uint64(32)
            hashes[rows] = mixed
    return hashes


def _first(bad: npt.NDArray[np.bool_]) -> int | None:
    """Where something is bad."""
    return int(bad.argmax()) if bad.any() else None


def _entry(columns: Columns, row: int) -> str:
    return f"{short(columns.key(row))} in {columns.shard_name(int(columns.shard_of(row)))}"
