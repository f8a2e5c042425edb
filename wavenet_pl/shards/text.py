"""An index as JSON, as it was written before there were columns: still read, and what fingerprints are taken of."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from wavenet_pl.audio.formats import SAMPLE_RATES
from wavenet_pl.shards import legacy
from wavenet_pl.shards.format import BLOCK, Span
from wavenet_pl.shards.labels import Labels
from wavenet_pl.shards.lazily import Lazily
from wavenet_pl.shards.recording import Recording, Shard

FORMAT = 3
LARGEST = 2**60
"""Of any count: sums of them still fit 64 bits."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_dump = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode


class Head(NamedTuple):
    """What an index says of the whole set, whatever it is written as."""

    sample_rate: int
    labels: Labels
    base: str | None
    fingerprint: Any
    """As it stands there."""

    @classmethod
    def read(cls, sample_rate: Any, labels: Any, base: Any, fingerprint: Any) -> Head:
        """The same, once it was seen that it can be.

        Raises:
            ValueError: it cannot.
        """
        if sample_rate not in SAMPLE_RATES or isinstance(sample_rate, bool):
            raise ValueError(f"sample_rate is {short(sample_rate)}")
        if base is not None and not isinstance(base, str):
            raise ValueError(f"base is {short(base)}")
        return cls(int(sample_rate), Labels.read(labels), base, fingerprint)


def fingerprint_of(sample_rate: int, labels: Labels, splits: Mapping[str, Sequence[Shard]]) -> str:
    """sha256 of the text that version 0.1.0 would have written, where it could, else of today's.

    Of one shard after another, so that one at a time has to be in memory.
    """
    digest = hashlib.sha256()
    for piece in _legacy_text(sample_rate, labels, splits) or text_of(sample_rate, labels, splits):
        digest.update(piece.encode())
    return digest.hexdigest()


def text_of(
    sample_rate: int, labels: Labels, splits: Mapping[str, Sequence[Shard]], **more: str
) -> Iterator[str]:
    """In pieces. One recording a line, so that a person and a diff can read it."""
    head = {"format": FORMAT, "sample_rate": sample_rate, **labels.to_plain(), **more}
    return _lines(head, splits, lambda row: [row.key, row.frames, row.rows, row.members])


def _legacy_text(
    sample_rate: int, labels: Labels, splits: Mapping[str, Sequence[Shard]]
) -> Iterator[str] | None:
    """The text of the set in the earlier format; None where that format cannot express it."""
    plain = legacy.labels_of(labels.tables, labels.frames)
    shards = (shard for some in splits.values() for shard in some)
    if plain is None or not all(legacy.can_say(row.rows) for shard in shards for row in shard.recordings):
        return None
    if not plain["features"]:
        del plain["features"]  # without any, the text is what it was before there were any
    head = {"format": legacy.INDEX_FORMAT, "sample_rate": sample_rate, **plain}
    return _lines(head, splits, lambda row: legacy.write_row(row.key, row.frames, row.rows, row.members))


def _lines(
    head: Mapping[str, Any], splits: Mapping[str, Sequence[Shard]], line: Callable[[Recording], list[Any]]
) -> Iterator[str]:
    yield "{" + "".join(f"{json.dumps(name)}: {_dump(value)},\n" for name, value in head.items())
    yield '"splits": {\n'
    for number, split in enumerate(sorted(splits)):
        yield (",\n" if number else "") + f"{_dump(split)}: ["
        for position, shard in enumerate(splits[split]):
            rows = ",\n".join(_dump(line(row)) for row in shard.recordings)
            yield (
                (",\n" if position else "")
                + f'{{"name": {_dump(shard.name)}, "bytes": {shard.bytes}, "sha256": "{shard.sha256}", '
                f'"recordings": [\n{rows}]}}'
            )
        yield "]"
    yield "}}"


def read_text(text: bytes) -> tuple[Head, dict[str, Sequence[Shard]]]:
    """What an index says that is JSON. Shards are made when they are looked at: what is wrong with one shows then.

    Raises:
        ValueError, TypeError, KeyError, AttributeError, RecursionError: it is none.
    """
    tree = json.loads(text)
    if not isinstance(tree, dict):
        raise ValueError(f"it is a {type(tree).__name__}, expected an object")
    if tree.get("format") not in (FORMAT, legacy.INDEX_FORMAT):
        raise ValueError(f"its format is {short(tree.get('format'))}, expected {FORMAT}")
    old = tree["format"] == legacy.INDEX_FORMAT
    header = {"features": {}, **tree} if old else tree
    plain = {name: header[name] for name in (legacy.LABELS if old else ("tables", "frames"))}
    head = Head.read(tree["sample_rate"], plain, tree.get("base"), tree.get("fingerprint"))
    return head, {split: _shards(shards, head.labels, old) for split, shards in tree["splits"].items()}


def _shards(shards: Any, labels: Labels, old: bool) -> Sequence[Shard]:
    return Lazily(len(shards), lambda position: _shard(shards[position], labels, old))


def _shard(tree: dict[str, Any], labels: Labels, old: bool) -> Shard:
    name = tree["name"]
    if not _SHA256.fullmatch(tree["sha256"]):
        raise ValueError(f"sha256 of {short(name)} is {short(tree['sha256'])}")
    size = _count(tree["bytes"], f"bytes of {short(name)}", 0)
    rows = map(legacy.read_row, tree["recordings"]) if old else tree["recordings"]
    return Shard(name, size, tree["sha256"], tuple(_recording(row, name, labels) for row in rows))


def _recording(row: list[Any], shard: str, labels: Labels) -> Recording:
    key, frames, tables, members = row
    entry = f"{short(key)} in {short(shard)}"
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
        spans[extension] = span
    return Recording(key, frames, {table: tuple(rows) for table, rows in tables.items() if rows}, spans)


def _count(value: object, what: str, lowest: int, bound: int = LARGEST) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value < bound:
        raise ValueError(f"{what} is {short(value)}")
    return value


def short(value: object) -> str:
    """What stands in a file, on one line whatever it is."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
