"""What a shard really holds: every recording decoded in full, and the damage that others pass over."""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, TypeGuard

from wavenet_pl.audio.formats import AUDIO_EXTENSIONS
from wavenet_pl.errors import BadDataError
from wavenet_pl.shards.damage import Damage, unreadable
from wavenet_pl.shards.format import (
    BLOCK,
    MAX_AUDIO_BYTES,
    MAX_SECONDS,
    Span,
    check_finite,
    check_key,
    check_mono,
    open_member,
    read_member,
    read_metadata,
)
from wavenet_pl.shards.members import Fault, Member, read_members
from wavenet_pl.shards.storage import Storage

_CHUNK = 2**22  # bytes read at a time
_MAX_JSON = 2**24
_EXTENSION = re.compile(r"[a-z0-9_\-]+(\.[a-z0-9_\-]+)*")


@dataclass(frozen=True)
class ScannedRecording:
    """A recording that is sound in itself."""

    key: str
    frames: int
    sample_rate: int
    names: Mapping[str, tuple[str, ...]]
    """Table -> names that apply; without those that have none."""
    source: str
    """What it is a part of: parts of one source belong in one split."""
    members: dict[str, Span]
    suspect: bool
    """Something beside it in the shard was lost, which may have been a part of it."""
    flaws: Mapping[str, str] = field(default_factory=dict)
    """Of `audio.formats.ODDITIES`, with what was found: what is odd about it, and does not lose any of it."""


@dataclass(frozen=True)
class ScannedShard:
    """One shard, scanned without a look at the others."""

    name: str
    bytes: int
    sha256: str
    recordings: tuple[ScannedRecording, ...]
    damage: tuple[Damage, ...]


def scan_shard(
    storage: Storage,
    name: str,
    tables: Mapping[str, bool],
    progress: Callable[[int], object] = lambda size: None,
) -> ScannedShard:
    """Read one shard to its last byte and decode all of its audio.

    Args:
        storage: where it lies.
        name: of the shard.
        tables: what the JSON of a recording may name, and whether several names of each.
        progress: called with the number of bytes that were done since the last call.
    """
    try:
        with storage.open(name) as file:
            digest = hashlib.sha256()
            while block := file.read(_CHUNK):
                digest.update(block)
            size = file.tell()
            recordings, damage = _scan(file, size, name, tables, progress)
    except OSError as error:
        fault = Damage(name, "", *unreadable(error))
        return ScannedShard(name, 0, "", (), (fault,))
    return ScannedShard(name, size, digest.hexdigest(), tuple(recordings), tuple(damage))


@dataclass
class _Run:
    """Members of one key that follow each other, as tar readers put them together."""

    key: str
    members: dict[str, tuple[int, int]] = field(default_factory=dict)
    twice: str = ""
    suspect: bool = False


def _scan(
    file: BinaryIO, size: int, shard: str, tables: Mapping[str, bool], progress: Callable[[int], object]
) -> tuple[list[ScannedRecording], list[Damage]]:
    runs, damage = _group(list(read_members(file, size)), shard)
    lost = {row.key for row in damage}
    by_key: dict[str, list[_Run]] = {}
    for run in runs:
        by_key.setdefault(run.key, []).append(run)
    recordings = []
    done = 0
    for key, parts in by_key.items():
        extensions = [extension for part in parts for extension in part.members]
        if key in lost:
            results: list[ScannedRecording | Damage] = []
        elif len(parts) > 1 and len(set(extensions)) == len(extensions):
            results = [Damage(shard, key, "interleaved", "members of other recordings stand between its own")]
        else:
            again = Damage(shard, key, "duplicate", "its key comes again in the same shard")
            results = [_check(file, parts[0], shard, tables), *[again] * (len(parts) - 1)]
        recordings += [row for row in results if isinstance(row, ScannedRecording)]
        damage += [row for row in results if isinstance(row, Damage)]
        end = max(offset + length for part in parts for offset, length in part.members.values())
        progress(max(end - done, 0))
        done = max(end, done)
    progress(size - done)
    return recordings, damage


def _group(items: Iterable[Member | Fault], shard: str) -> tuple[list[_Run], list[Damage]]:
    """Members by key, and a damage for each fault."""
    items = list(items)
    dotted = {item.name.rpartition(".")[0] for item in items if _is_dotted_audio(item.name)}
    runs: list[_Run] = []
    damage: list[Damage] = []
    after_fault = False
    for item in items:
        parts = _split_name(item.name, dotted)
        if isinstance(item, Fault):
            description = f"{item.name}: {item.description}" if item.name else item.description
            damage.append(Damage(shard, parts[0] if parts else "", item.kind, description))
            after_fault = True
            if runs:
                runs[-1].suspect = True
        elif parts is not None:
            key, extension = parts
            if not runs or runs[-1].key != key:
                runs.append(_Run(key))
            if extension in runs[-1].members:
                runs[-1].twice = extension
            runs[-1].members.setdefault(extension, (item.offset, item.size))
            runs[-1].suspect |= after_fault
            after_fault = False
    return runs, damage


def _split_name(name: str, dotted: set[str]) -> tuple[str, str] | None:
    """Key and extension of a member, None for one that other readers pass over (hidden, `__x__`, no dot)."""
    folder, slash, base = name.rpartition("/")
    stem, _, extension = base.partition(".")
    if not stem or not extension or any(_is_meta(part) for part in name.split("/")):
        return None
    before, _, last = name.rpartition(".")
    if before in dotted:
        return before, last.lower()
    return folder + slash + stem, extension.lower()


def _is_meta(part: str) -> bool:
    return len(part) > 4 and part.startswith("__") and part.endswith("__")


def _is_dotted_audio(name: str) -> bool:
    """Whether a name has more dots than the one before an audio extension."""
    base = name.rpartition("/")[2]
    return base.count(".") > 1 and not base.startswith(".") and base.lower().endswith(AUDIO_EXTENSIONS)


def _check(file: BinaryIO, run: _Run, shard: str, tables: Mapping[str, bool]) -> ScannedRecording | Damage:
    """Read one recording in full."""
    try:
        if "." in run.key.rpartition("/")[2]:
            return Damage(shard, run.key, "dotted key", f"other readers take it for {run.key.split('.')[0]}")
        check_key(run.key)
        odd = [extension for extension in run.members if not _EXTENSION.fullmatch(extension)]
        if odd:
            return Damage(shard, run.key, "bad key", f"the extension {odd[0]!r} has other signs than letters")
        if run.twice:
            return Damage(shard, run.key, "duplicate", f"its .{run.twice} is there twice")
        extension = next((name for name in AUDIO_EXTENSIONS if name in run.members), "")
        if not extension:
            return Damage(shard, run.key, "no audio", f"only {', '.join(sorted(run.members))}")
        if (size := run.members[extension][1]) > MAX_AUDIO_BYTES:
            return Damage(shard, run.key, "too long", f"{size} bytes, more than {MAX_AUDIO_BYTES}")
        members = {name: _span(file, *member) for name, member in run.members.items()}
        span = members[extension]
        file.seek(span.offset - BLOCK)
        data = read_member(file.read(BLOCK + span.size), run.key, extension, span)
        with open_member(data) as reader:
            check_mono(reader)
            for block in reader.blocks():
                check_mono(reader)
                check_finite(block)
                if reader.seconds > MAX_SECONDS:
                    return Damage(shard, run.key, "too long", f"more than {MAX_SECONDS / 3600:g} hours")
            if not reader.at:
                return Damage(shard, run.key, "audio", "no samples")
        metadata = _metadata(file, members["json"]) if "json" in members else {}
        names = {table: some for table, many in tables.items() if (some := _names(metadata, table, many))}
    except BadDataError as error:
        return Damage(shard, run.key, error.kind, str(error))
    source = metadata.get("source")
    return ScannedRecording(
        key=run.key,
        frames=reader.at,
        sample_rate=reader.sample_rate,
        names=names,
        source=source if is_name(source) else run.key,
        members=members,
        suspect=run.suspect,
        flaws=reader.flaws,
    )


def _names(metadata: Mapping[str, Any], table: str, many: bool) -> tuple[str, ...]:
    """The names of one table that the JSON of a recording has.

    Raises:
        BadDataError: it is no name, or no list of them.
    """
    value = metadata.get(table)
    if many:
        if not (value is None or isinstance(value, list)) or not all(map(is_name, value or ())):
            raise BadDataError(f"{table} is {value!r}, expected a list of names", "metadata")
        return tuple(value or ())
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if value is None:
        return ()
    if not is_name(value):
        raise BadDataError(f"{table} is {value!r}, expected a name", "metadata")
    return (value,)


def is_name(value: object) -> TypeGuard[str]:
    """Whether it can be the name of anything. An unpaired surrogate is text that no file can hold."""
    return isinstance(value, str) and bool(value) and not any("\ud800" <= sign <= "\udfff" for sign in value)


def _span(file: BinaryIO, offset: int, size: int) -> Span:
    file.seek(offset)
    crc32, left = 0, size
    while block := file.read(min(left, _CHUNK)):
        crc32, left = zlib.crc32(block, crc32), left - len(block)
    return Span(offset, size, crc32)


def _metadata(file: BinaryIO, span: Span) -> dict[str, Any]:
    if span.size > _MAX_JSON:
        raise BadDataError(f"has {span.size} bytes of JSON, more than {_MAX_JSON}", "broken JSON")
    file.seek(span.offset)
    return read_metadata(file.read(span.size))
