"""The index of a shard set: every recording with its span in a shard, so that any of them is one range read away."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from wavenet_pl.audio.formats import AUDIO_EXTENSIONS, SAMPLE_RATES
from wavenet_pl.errors import BadDataError, UserError
from wavenet_pl.files.durable import replacing
from wavenet_pl.shards import legacy
from wavenet_pl.shards.format import (
    BLOCK,
    MAX_AUDIO_BYTES,
    MAX_SECONDS,
    Span,
    check_key,
)
from wavenet_pl.shards.labels import Labels
from wavenet_pl.shards.storage import Storage

INDEX_NAME = "index.json"
SPLITS = ("train", "val", "test")
_FORMAT = 3
_MAX_BYTES = 2**31
"""Of an index: ten million recordings."""
_LARGEST = 2**60  # of any count: sums of them still fit 64 bits
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Recording:
    """One entry of a shard."""

    key: str
    frames: int
    """Length in samples."""
    rows: Mapping[str, tuple[int, ...]]
    """Table -> rows that apply; without those that have none."""
    members: dict[str, Span]
    """Extension -> span of the member's content within the shard."""

    @property
    def audio(self) -> tuple[str, Span]:
        """Extension and span of the audio member."""
        return next((name, self.members[name]) for name in AUDIO_EXTENSIONS if name in self.members)


@dataclass(frozen=True)
class Shard:
    """One tar file of recordings."""

    name: str
    """Path below the set's folder, such as `train/shard-000000.tar`."""
    bytes: int
    sha256: str
    recordings: tuple[Recording, ...]


@dataclass(frozen=True, kw_only=True)
class Index:
    """What a shard set holds."""

    sample_rate: int
    splits: dict[str, Sequence[Shard]]
    labels: Labels = field(default_factory=Labels)
    """What the rows of tables stand for, and how the frames were made that every recording has."""
    base: str | None = field(default=None, compare=False)
    """Folder or URL of the shards, where they are not beside the index."""

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over all that the index says (64 hex digits), but not over where the shards lie.

        Of the text that version 0.1.0 would have written, where it could: a set keeps its fingerprint.
        """
        digest = hashlib.sha256()
        for piece in _legacy_text(self) or _text(self):
            digest.update(piece.encode())
        return digest.hexdigest()

    def seconds(self, split: str) -> float:
        """Length of a split in seconds."""
        frames = sum(
            recording.frames for shard in self.splits.get(split, ()) for recording in shard.recordings
        )
        return frames / self.sample_rate


def save_index(index: Index, folder: str | os.PathLike[str]) -> Path:
    """Write the index beside its shards: the same bytes for the same set, and never half of it.

    One shard after another is looked at, so that one at a time has to be in memory.
    """
    path = Path(folder) / INDEX_NAME
    base = {} if index.base is None else {"base": index.base}
    pieces = _text(index, fingerprint=index.fingerprint, **base)
    with replacing(path) as file:
        for piece in pieces:
            file.write(piece.encode())
        file.write(b"\n")
    return path


def load_index(location: str | os.PathLike[str]) -> Index:
    """Read and check the index of a shard set.

    Args:
        location: folder or URL of the set.

    Raises:
        UserError: there is none, it was changed or damaged, or it points outside its shards.
    """
    storage = Storage(os.fspath(location))
    path = storage.path(INDEX_NAME)
    try:
        text = storage.read(INDEX_NAME, _MAX_BYTES)
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror or error}), expected the index of a shard set; "
            "write one with `wavenet-pl prepare`, or with `wavenet-pl index` for shards made elsewhere"
        ) from None
    try:
        tree = json.loads(text)
        if not isinstance(tree, dict):
            raise ValueError(f"it is a {type(tree).__name__}, expected an object")
        if tree.get("format") not in (_FORMAT, legacy.INDEX_FORMAT):
            raise ValueError(f"its format is {_short(tree.get('format'))}, expected {_FORMAT}")
        index = _parse(tree, old=tree["format"] == legacy.INDEX_FORMAT)
        fingerprint = index.fingerprint
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, BadDataError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise UserError(
            f"{path} is no index that can be used: {reason}; run `wavenet-pl index` again"
        ) from None
    if tree.get("fingerprint") != fingerprint:
        raise UserError(
            f"{path} was changed: its fingerprint says {_short(tree.get('fingerprint'))}, its content has "
            f"{fingerprint}; run `wavenet-pl index` again"
        )
    return index


def shard_storage(index: Index, location: str | os.PathLike[str]) -> Storage:
    """Where the shards of an index lie that was loaded from `location`."""
    return Storage(index.base or os.fspath(location))


def _text(index: Index, **more: str) -> Iterator[str]:
    """In pieces. One recording a line, so that a person and a diff can read it."""
    head = {"format": _FORMAT, "sample_rate": index.sample_rate, **index.labels.to_plain(), **more}
    return _lines(head, index, lambda row: [row.key, row.frames, row.rows, row.members])


def _legacy_text(index: Index) -> Iterator[str] | None:
    """The text of the set in the earlier format; None where that format cannot express it."""
    labels = legacy.labels_of(index.labels.tables, index.labels.frames)
    shards = (shard for some in index.splits.values() for shard in some)
    if labels is None or not all(legacy.can_say(row.rows) for shard in shards for row in shard.recordings):
        return None
    if not labels["features"]:
        del labels["features"]  # without any, the text is what it was before there were any
    head = {"format": legacy.INDEX_FORMAT, "sample_rate": index.sample_rate, **labels}
    return _lines(head, index, lambda row: legacy.write_row(row.key, row.frames, row.rows, row.members))


def _lines(head: Mapping[str, Any], index: Index, line: Callable[[Recording], list[Any]]) -> Iterator[str]:
    yield "{" + "".join(f"{json.dumps(name)}: {_dump(value)},\n" for name, value in head.items())
    yield '"splits": {\n'
    for number, split in enumerate(sorted(index.splits)):
        yield (",\n" if number else "") + f"{_dump(split)}: ["
        for position, shard in enumerate(index.splits[split]):
            rows = ",\n".join(_dump(line(row)) for row in shard.recordings)
            yield (
                (",\n" if position else "")
                + f'{{"name": {_dump(shard.name)}, "bytes": {shard.bytes}, "sha256": "{shard.sha256}", '
                f'"recordings": [\n{rows}]}}'
            )
        yield "]"
    yield "}}"


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _parse(tree: dict[str, Any], *, old: bool) -> Index:
    if tree["sample_rate"] not in SAMPLE_RATES or isinstance(tree["sample_rate"], bool):
        raise ValueError(f"sample_rate is {_short(tree['sample_rate'])}")
    base = tree.get("base")
    if base is not None and not isinstance(base, str):
        raise ValueError(f"base is {_short(base)}")
    header = {"features": {}, **tree} if old else tree
    labels = Labels.read({name: header[name] for name in (legacy.LABELS if old else ("tables", "frames"))})
    splits: dict[str, Sequence[Shard]] = {}
    for split, shards in tree["splits"].items():
        if split not in SPLITS:
            raise ValueError(f"it has a split {_short(split)}, expected {', '.join(SPLITS)}")
        splits[split] = tuple(_shard(shard, labels, old=old) for shard in shards)
        longest = max((row.frames for shard in splits[split] for row in shard.recordings), default=0)
        if longest > MAX_SECONDS * tree["sample_rate"]:
            raise ValueError(f"split {split} has a recording of {longest} samples, more than {MAX_SECONDS} s")
        keys = [recording.key for shard in splits[split] for recording in shard.recordings]
        if len(set(keys)) != len(keys):
            raise ValueError(f"split {split} names a key twice")
    return Index(sample_rate=int(tree["sample_rate"]), splits=splits, labels=labels, base=base)


def _shard(tree: dict[str, Any], labels: Labels, *, old: bool) -> Shard:
    name = tree["name"]
    path = PurePosixPath(name)
    foreign = "\\" in name or ":" in name or not name.isprintable()
    if path.is_absolute() or ".." in path.parts or not name.endswith(".tar") or foreign:
        raise ValueError(f"shard {_short(name)} is no path below the set's folder")
    if not _SHA256.fullmatch(tree["sha256"]):
        raise ValueError(f"sha256 of {name} is {_short(tree['sha256'])}")
    size = _count(tree["bytes"], f"bytes of {name}", 0)
    rows = map(legacy.read_row, tree["recordings"]) if old else tree["recordings"]
    recordings = tuple(_recording(row, name, size, labels) for row in rows)
    return Shard(name, size, tree["sha256"], recordings)


def _recording(row: list[Any], shard: str, size: int, labels: Labels) -> Recording:
    key, frames, tables, members = row
    entry = f"{_short(key)} in {shard}"
    check_key(key)
    _count(frames, f"frames of {entry}", 1)
    for table, rows in tables.items():
        for number in rows:
            _count(number, f"{table} of {entry}", 0, len(labels.tables.get(table, ())))
    spans = {}
    for extension, values in members.items():
        span = Span(*values)
        _count(span.offset, f"offset of {entry}", BLOCK)
        _count(span.size, f"size of {entry}", 0)
        _count(span.crc32, f"crc32 of {entry}", 0, 2**32)
        if span.offset + span.size > size:
            raise ValueError(f"{entry} points outside its shard")
        spans[extension] = span
    rows_of = {table: tuple(rows) for table, rows in tables.items() if rows}
    recording = Recording(key, frames, rows_of, spans)
    if not any(extension in spans for extension in AUDIO_EXTENSIONS):
        raise ValueError(f"{entry} has no audio")
    if (size := recording.audio[1].size) > MAX_AUDIO_BYTES:
        raise ValueError(f"{entry} has {size} bytes of audio, more than {MAX_AUDIO_BYTES}")
    for name in labels.frames:
        member = recording.members.get(f"{name}.npy")
        if member is None:
            raise ValueError(f"{entry} has no {name}.npy, expected one in every recording")
        if member.size > MAX_AUDIO_BYTES:
            raise ValueError(f"{entry} has {member.size} bytes of {name}, more than {MAX_AUDIO_BYTES}")
    return recording


def _count(value: object, what: str, lowest: int, bound: int = _LARGEST) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value < bound:
        raise ValueError(f"{what} is {_short(value)}")
    return value


def _short(value: object) -> str:
    """What stands in the file, on one line whatever it is."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
