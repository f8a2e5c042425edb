"""A whole shard set, from shards that were scanned one by one to one index."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Any

import numpy as np
import numpy.typing as npt

from wavenet_pl.errors import UserError
from wavenet_pl.numbers import counter
from wavenet_pl.shards.building import build_index
from wavenet_pl.shards.damage import Damage
from wavenet_pl.shards.index import INDEX_NAME, SPLITS, Index
from wavenet_pl.shards.lazily import Lazily
from wavenet_pl.shards.recording import Recording, Shard
from wavenet_pl.shards.scan import ScannedRecording, ScannedShard
from wavenet_pl.shards.storage import Storage

Splits = dict[str, Sequence[ScannedShard]]
"""Split -> its shards; the one split "" where the shards lie in no folder of a split."""

_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")


def find_shards(storage: Storage) -> tuple[dict[str, list[str]], list[str]]:
    """Names of the shards by split, and of the misplaced ones: those in a folder that is no split.

    Raises:
        UserError: there is none, or some lie in a folder of a split and some do not.
    """
    try:
        names = [name for name in storage.names(SPLITS) if not name.rpartition("/")[2].startswith(".")]
    except OSError as error:
        raise UserError(
            f"{storage.location} cannot be listed ({error.strerror or error}), "
            "expected a folder or URL of shards; is it spelled right?"
        ) from None
    shards = [name for name in names if name.endswith(".tar")]
    splits: dict[str, list[str]] = {}
    for name in shards:
        splits.setdefault(name.rpartition("/")[0], []).append(name)
    misplaced = [name for folder, some in splits.items() if folder not in ("", *SPLITS) for name in some]
    splits = {split: some for split, some in splits.items() if split in ("", *SPLITS)}
    if "" in splits and len(splits) > 1:
        others = ", ".join(f"{split}/" for split in splits if split)
        raise UserError(
            f"{storage.location} has shards both in itself and in {others}, expected one of the two; "
            f"move {splits[''][0]} and the other shards there into the folder of their split"
        )
    if not splits:
        raise UserError(f"{storage.location} has no shards *.tar, {_explain_no_shards(names, misplaced)}")
    for name in shards:
        if ":" in name or "\\" in name or not name.isprintable():
            raise UserError(f"shard {name!r} has : or \\ or control characters in its name; rename it")
    return splits, misplaced


def _explain_no_shards(names: list[str], misplaced: list[str]) -> str:
    """What there is instead of shards, and what to do: the end of a message."""
    if misplaced:
        return f"but {misplaced[0]}; the folder of a split is called one of {', '.join(SPLITS)}: rename it"
    compressed = [name for name in names if name.lower().endswith(_COMPRESSED)]
    if compressed:
        return f"but {compressed[0]}; recordings are read at offsets, which needs a plain .tar: unpack it"
    if INDEX_NAME in names:
        return f"but {INDEX_NAME}, whose shards are elsewhere; give the folder or URL that they are in"
    return "in itself or in train/, val/, test/; give the folder or URL that they are in"


def survey(scanned: Splits, older: Index | None, tables: Mapping[str, bool]) -> tuple[Splits, list[Damage]]:
    """Find damage that shows only in comparison: with the rest of the set, or with an older index.

    That is half a recording, another sample rate, no name, a key twice in a split, a recording gone, shorter or
    changed. The shards are looked at one by one, twice; what is kept of each recording meanwhile are eight bytes.

    Args:
        scanned: the shards, each seen alone.
        older: the index from before, if there is one.
        tables: what recordings may name, and whether several names of each: of several, none is no damage.

    Returns:
        The splits with sound recordings only, and all damage, that of the single shards included.
    """
    rates, extensions, common = Counter[int](), Counter[str](), Counter[str]()
    hashes = {split: array("q") for split in scanned}
    for split, shards in scanned.items():
        for row in (row for shard in shards for row in shard.recordings):
            rates[row.sample_rate] += 1
            extensions.update(row.members.keys())
            common.update(table for table in row.names if not tables.get(table, False))
            hashes[split].append(hash(row.key))
    rate = max(rates, key=lambda rate: (rates[rate], rate), default=0)
    number = rates.total()
    common_extensions, common_tables = _had_by_most(extensions, number), _had_by_most(common, number)
    earlier = _shards_by_name(older)
    damage: list[Damage] = []
    left_out: dict[str, set[str]] = {}
    for split, shards in scanned.items():
        repeated, seen = _repeated(hashes[split]), dict[str, str]()
        for shard in shards:
            damage += shard.damage
            before = {row.key: row for known in earlier.get(shard.name, ()) for row in known.recordings}
            for row in shard.recordings:
                problem = _differs_from_set(row, rate, common_extensions)
                if not problem and row.key in seen:
                    problem = "duplicate", f"its key is also in {seen[row.key]}"
                if not problem and (lacks := sorted(common_tables - row.names.keys())):
                    problem = "no name", f"no {lacks[0]}, where most of the set has one"
                problem = problem or _changed_since(row, before.get(row.key))
                if problem:
                    damage.append(Damage(shard.name, row.key, *problem))
                    left_out.setdefault(shard.name, set()).add(row.key)
                elif hash(row.key) in repeated:
                    seen[row.key] = shard.name
    damage += _gone(
        earlier,
        scanned,
        np.sort(np.concatenate([np.array(each, np.int64) for each in hashes.values()])),
        damage,
    )
    kept = {
        split: _only(shards, lambda shard, row: row.key not in left_out.get(shard.name, ()))
        for split, shards in scanned.items()
    }
    return kept, sorted(damage, key=lambda row: row.shard)


def _had_by_most(counts: Counter[str], number: int) -> set[str]:
    """What more than half of so many have."""
    return {each for each, count in counts.items() if 2 * count > number}


def _repeated(hashes: array[int]) -> set[int]:
    """Those that are there more than once."""
    ordered = np.sort(np.array(hashes, np.int64))
    return set(ordered[1:][ordered[1:] == ordered[:-1]].tolist())


def _shards_by_name(index: Index | None) -> dict[str, list[Shard]]:
    """The shards of an index; recordings of one may be in several splits."""
    shards: dict[str, list[Shard]] = {}
    for shard in (shard for some in index.splits.values() for shard in some) if index else ():
        shards.setdefault(shard.name, []).append(shard)
    return shards


def _gone(
    earlier: Mapping[str, Sequence[Shard]],
    scanned: Splits,
    hashes: npt.NDArray[np.int64],
    damage: list[Damage],
) -> Iterator[Damage]:
    """The recordings of an older index that are in no shard any more, and of which no damage tells.

    Args:
        earlier: shards of the older index.
        scanned: the shards that are there.
        hashes: of all keys that are there, sorted.
        damage: what is known of.
    """
    there = {shard.name for shards in scanned.values() for shard in shards}
    damaged = {(row.shard, row.key) for row in damage}
    for name, shards in earlier.items():
        for row in (row for shard in shards for row in shard.recordings):
            position = int(np.searchsorted(hashes, hash(row.key)))
            is_there = position < len(hashes) and hashes[position] == hash(row.key)
            if not is_there and (name, row.key) not in damaged:
                kind = "missing" if name in there else "missing shard"
                yield Damage(name, row.key, kind, "an older index lists it")


def _only(
    shards: Sequence[ScannedShard], keeps: Callable[[ScannedShard, ScannedRecording], bool]
) -> Sequence[ScannedShard]:
    """The shards with some of their recordings."""

    def filtered(position: int) -> ScannedShard:
        shard = shards[position]
        return replace(shard, recordings=tuple(row for row in shard.recordings if keeps(shard, row)))

    return Lazily(len(shards), filtered)


def _not_empty(shards: Sequence[ScannedShard]) -> Sequence[ScannedShard]:
    positions = [position for position, shard in enumerate(shards) if shard.recordings]
    return Lazily(len(positions), lambda number: shards[positions[number]])


def _differs_from_set(
    row: ScannedRecording, rate: int, common_extensions: set[str]
) -> tuple[str, str] | None:
    """Kind of damage and its description, where a recording is unlike most of the set."""
    lacks = sorted(common_extensions - set(row.members))
    if row.sample_rate != rate:
        return "sample rate", f"{row.sample_rate} Hz, where most of the set has {rate} Hz"
    if lacks and row.suspect:
        return "half", f"no .{', .'.join(lacks)}, and something was lost beside it"
    if "json" in lacks:
        return "no JSON", "no .json, where most of the set has one"
    return None


def _changed_since(row: ScannedRecording, before: Recording | None) -> tuple[str, str] | None:
    """Kind of damage and its description, where a recording is not what an older index lists."""
    if before is None:
        return None
    if row.frames < before.frames:
        return "shorter", f"{row.frames} samples, where an older index has {before.frames}"
    for extension in sorted(set(row.members) & set(before.members)):
        now, then = row.members[extension], before.members[extension]
        if now.size == then.size and now.crc32 != then.crc32:  # another size is another recording, and meant
            return "changed", f"other bytes in its .{extension} than an older index says (CRC-32)"
    return None


def divide(splits: Splits, val_fraction: float) -> Splits:
    """Take recordings for validation where there are none: by a hash of their source, at least one, not all.

    Raises:
        UserError: there are too few.
    """
    left = {split: kept for split, shards in splits.items() if (kept := _not_empty(shards))}
    if "val" in left or set(left) == {"test"}:
        return left
    parts = [left.pop(split) for split in ("", "train") if split in left]  # the shards lie in one of the two
    shards = parts[0] if parts else ()
    sources = (_hash(row.source) for shard in shards for row in shard.recordings)
    hashes = np.unique(np.fromiter(sources, np.uint64))
    if len(hashes) < 2:
        raise UserError(
            f"found {len(hashes)} sound recordings, expected at least 2: one to train on and one for "
            "validation; add more"
        )
    wanted = int(np.searchsorted(hashes, np.uint64(math.ceil(val_fraction * 2**64))))
    end = int(hashes[min(max(wanted, 1), len(hashes) - 1)])  # of those for validation
    left["train"] = _not_empty(_only(shards, lambda _, row: _hash(row.source) >= end))
    left["val"] = _not_empty(_only(shards, lambda _, row: _hash(row.source) < end))
    return left


def _hash(source: str) -> int:
    return counter.stream_key("split", source)


def index_of(splits: Splits, base: str | None, older: Index | None = None) -> Index:
    """The index of a set that was scanned.

    How frames were made only an older index can say; it is believed where every recording still has them.
    """

    def everything() -> Iterator[ScannedRecording]:
        return (row for shards in splits.values() for shard in shards for row in shard.recordings)

    frames = {
        name: spec
        for name, spec in (older.labels.frames if older else {}).items()
        if all(f"{name}.npy" in row.members for row in everything())
    }
    return build_index(next(everything()).sample_rate, splits, frames, base)


def same_content(one: Index, other: Index) -> bool:
    """Whether two indexes say the same of the same recordings, whatever the order of their tables."""
    facts = [(index.base, index.labels.frames, index.sample_rate) for index in (one, other)]
    return facts[0] == facts[1] and all(
        ours == theirs
        for split in {*one.splits, *other.splits}
        for ours, theirs in zip_longest(_plain(one, split), _plain(other, split))
    )


def _plain(index: Index, split: str) -> Iterator[Any]:
    """Of each recording all that is known, with names in position of rows."""
    for shard in index.splits.get(split, ()):
        for row in shard.recordings:
            names = {
                (table, index.labels.tables[table][each]) for table, some in row.rows.items() for each in some
            }
            yield (shard.name, shard.bytes, shard.sha256), row.key, row.frames, names, row.members
