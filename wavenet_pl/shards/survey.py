"""A whole shard set, from shards that were scanned one by one to one index."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from wavenet_pl.errors import UserError
from wavenet_pl.numbers import counter
from wavenet_pl.shards.building import build_index
from wavenet_pl.shards.damage import Damage
from wavenet_pl.shards.index import INDEX_NAME, SPLITS, Index
from wavenet_pl.shards.recording import Recording, Shard
from wavenet_pl.shards.scan import ScannedRecording, ScannedShard
from wavenet_pl.shards.storage import Storage

Splits = dict[str, list[ScannedShard]]
"""Split -> its shards; the one split "" where the shards lie in no folder of a split."""

_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")


def find_shards(storage: Storage) -> tuple[dict[str, list[str]], list[str]]:
    """Names of the shards by split, and of the misplaced ones: those in a folder that is no split.

    Raises:
        UserError: there is none, or some lie in a folder of a split and some do not.
    """
    try:
        names = [name for name in storage.names() if not name.rpartition("/")[2].startswith(".")]
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
    changed.

    Args:
        scanned: the shards, each seen alone.
        older: the index from before, if there is one.
        tables: what recordings may name, and whether several names of each: of several, none is no damage.

    Returns:
        The splits with sound recordings only, and all damage, that of the single shards included.
    """
    earlier = _earlier_recordings(older)
    everything = [row for shards in scanned.values() for shard in shards for row in shard.recordings]
    rates = Counter(row.sample_rate for row in everything)
    rate = max(rates, key=lambda rate: (rates[rate], rate), default=0)
    common_extensions = _had_by_most([set(row.members) for row in everything])
    common_tables = _had_by_most(
        [{table for table in row.names if not tables.get(table, False)} for row in everything]
    )
    kept_splits: Splits = {}
    damage: list[Damage] = []
    for split, shards in scanned.items():
        seen: dict[str, str] = {}
        kept_splits[split] = []
        for shard in shards:
            damage += shard.damage
            kept = []
            for row in shard.recordings:
                problem = _differs_from_set(row, rate, common_extensions)
                if not problem and row.key in seen:
                    problem = "duplicate", f"its key is also in {seen[row.key]}"
                if not problem and (lacks := sorted(common_tables - row.names.keys())):
                    problem = "no name", f"no {lacks[0]}, where most of the set has one"
                problem = problem or _changed_since(row, earlier.get((shard.name, row.key)))
                if problem:
                    damage.append(Damage(shard.name, row.key, *problem))
                else:
                    kept.append(row)
                    seen[row.key] = shard.name
            kept_splits[split].append(replace(shard, recordings=tuple(kept)))
    damaged = {(row.shard, row.key) for row in damage}
    keys = {row.key for row in everything}
    shard_names = {shard.name for shards in scanned.values() for shard in shards}
    for name, key in earlier:
        if key not in keys and (name, key) not in damaged:
            kind = "missing" if name in shard_names else "missing shard"
            damage.append(Damage(name, key, kind, "an older index lists it"))
    return kept_splits, sorted(damage, key=lambda row: row.shard)


def _had_by_most(sets: Sequence[set[str]]) -> set[str]:
    """What is in more than half of the sets."""
    counts = Counter(each for members in sets for each in members)
    return {each for each, count in counts.items() if 2 * count > len(sets)}


def _earlier_recordings(index: Index | None) -> dict[tuple[str, str], Recording]:
    """(shard, key) -> the recording in an older index."""
    shards = [shard for some in index.splits.values() for shard in some] if index else []
    return {(shard.name, row.key): row for shard in shards for row in shard.recordings}


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
    left = {split: [shard for shard in shards if shard.recordings] for split, shards in splits.items()}
    left = {split: shards for split, shards in left.items() if shards}
    if "val" in left or set(left) == {"test"}:
        return left
    shards = left.pop("", []) + left.pop("train", [])
    sources = sorted({row.source for shard in shards for row in shard.recordings}, key=_hash)
    if len(sources) < 2:
        raise UserError(
            f"found {len(sources)} sound recordings, expected at least 2: one to train on and one for "
            "validation; add more"
        )
    chosen = sum(_hash(source) < val_fraction * 2**64 for source in sources)
    val = set(sources[: min(max(chosen, 1), len(sources) - 1)])
    for split, inside in (("train", False), ("val", True)):
        some = [
            replace(shard, recordings=tuple(r for r in shard.recordings if (r.source in val) is inside))
            for shard in shards
        ]
        left[split] = [shard for shard in some if shard.recordings]
    return left


def _hash(source: str) -> int:
    return counter.stream_key("split", source)


def index_of(splits: Splits, base: str | None, older: Index | None = None) -> Index:
    """The index of a set that was scanned.

    How frames were made only an older index can say; it is believed where every recording still has them.
    """
    everything = [row for shards in splits.values() for shard in shards for row in shard.recordings]
    frames = {
        name: spec
        for name, spec in (older.labels.frames if older else {}).items()
        if all(f"{name}.npy" in row.members for row in everything)
    }
    return build_index(everything[0].sample_rate, splits, frames, base)


def same_content(one: Index, other: Index) -> bool:
    """Whether two indexes say the same of the same recordings, whatever the order of their tables."""
    return (one.base, one.labels.frames) == (other.base, other.labels.frames) and _plain(one) == _plain(other)


def _plain(index: Index) -> dict[str, Any]:
    def rows(shards: Iterable[Shard]) -> list[Any]:
        return [
            (
                (shard.name, shard.bytes, shard.sha256),
                row.key,
                row.frames,
                {
                    (table, index.labels.tables[table][each])
                    for table, numbers in row.rows.items()
                    for each in numbers
                },
                row.members,
            )
            for shard in shards
            for row in shard.recordings
        ]

    splits = {split: rows(shards) for split, shards in index.splits.items()}
    return {"sample_rate": index.sample_rate, **{split: some for split, some in splits.items() if some}}
