"""A whole shard set, from shards that were scanned one by one to one index."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from wavenet_pl.errors import UserError
from wavenet_pl.numbers import counter
from wavenet_pl.shards.damage import Damage
from wavenet_pl.shards.index import INDEX_NAME, SPLITS, Index, Recording, Shard
from wavenet_pl.shards.scan import ScannedRecording, ScannedShard
from wavenet_pl.shards.storage import Storage

Splits = dict[str, list[ScannedShard]]
"""Split -> its shards; the one split "" where the shards lie in no folder of a split."""

_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")


def find_shards(storage: Storage) -> tuple[dict[str, list[str]], list[str]]:
    """Names of the shards by split, and of those that were found where no split is.

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
    aside = [name for folder, some in splits.items() if folder not in ("", *SPLITS) for name in some]
    splits = {split: some for split, some in splits.items() if split in ("", *SPLITS)}
    if "" in splits and len(splits) > 1:
        others = ", ".join(f"{split}/" for split in splits if split)
        raise UserError(
            f"{storage.location} has shards both in itself and in {others}, expected one of the two; "
            f"move {splits[''][0]} and its like into the folder of their split"
        )
    if not splits:
        raise UserError(f"{storage.location} has no shards *.tar, {_instead(names, aside)}")
    for name in shards:
        if ":" in name or "\\" in name or not name.isprintable():
            raise UserError(f"shard {name!r} has : or \\ or control characters in its name; rename it")
    return splits, aside


def _instead(names: list[str], aside: list[str]) -> str:
    """What is there instead of shards, and what to do."""
    if aside:
        return f"but {aside[0]}; splits are folders named {', '.join(SPLITS)}: rename"
    compressed = [name for name in names if name.lower().endswith(_COMPRESSED)]
    if compressed:
        return f"but {compressed[0]}; recordings are read by their place in the file: unpack to plain .tar"
    if INDEX_NAME in names:
        return f"but {INDEX_NAME}; index the place where its shards are"
    return "in itself or in train/, val/, test/; give the folder or URL that they are in"


def survey(scanned: Splits, older: Index | None) -> tuple[Splits, list[Damage]]:
    """Find what is wrong only beside the rest of the set, or beside what an older index says of it.

    That is half a recording, another sample rate, no speaker, a key twice in a split, a recording gone, shorter or
    changed.

    Returns:
        The splits with sound recordings only, and all damage, that of the single shards included.
    """
    listed = _listed(older)
    everything = [row for shards in scanned.values() for shard in shards for row in shard.recordings]
    rates = Counter(row.sample_rate for row in everything)
    rate = max(rates, key=lambda rate: (rates[rate], rate), default=0)
    having = Counter(extension for row in everything for extension in row.members)
    usual = {extension for extension, count in having.items() if 2 * count > len(everything)}
    spoken = 2 * sum(row.speaker is not None for row in everything) > len(everything)
    sound: Splits = {}
    damage: list[Damage] = []
    for split, shards in scanned.items():
        seen: dict[str, str] = {}
        sound[split] = []
        for shard in shards:
            damage += shard.damage
            kept = []
            for row in shard.recordings:
                wrong = _unlike(row, rate, usual)
                if not wrong and row.key in seen:
                    wrong = "duplicate", f"its key is also in {seen[row.key]}"
                if not wrong and spoken and row.speaker is None:
                    wrong = "no speaker", "no speaker, where most of the set has one"
                wrong = wrong or _not_as_before(row, listed.get((shard.name, row.key)))
                if wrong:
                    damage.append(Damage(shard.name, row.key, *wrong))
                else:
                    kept.append(row)
                    seen[row.key] = shard.name
            sound[split].append(replace(shard, recordings=tuple(kept)))
    named = {(row.shard, row.key) for row in damage}
    there = {row.key for row in everything}
    shards_there = {shard.name for shards in scanned.values() for shard in shards}
    for name, key in listed:
        if key not in there and (name, key) not in named:
            kind = "missing" if name in shards_there else "missing shard"
            damage.append(Damage(name, key, kind, "an older index lists it"))
    return sound, sorted(damage, key=lambda row: row.shard)


def _listed(index: Index | None) -> dict[tuple[str, str], Recording]:
    """(shard, key) -> what an older index says."""
    shards = [shard for some in index.splits.values() for shard in some] if index else []
    return {(shard.name, row.key): row for shard in shards for row in shard.recordings}


def _unlike(row: ScannedRecording, rate: int, usual: set[str]) -> tuple[str, str] | None:
    lacks = sorted(usual - set(row.members))
    if row.sample_rate != rate:
        return "sample rate", f"{row.sample_rate} Hz, where most of the set has {rate} Hz"
    if lacks and row.suspect:
        return "half", f"no .{', .'.join(lacks)}, and something was lost beside it"
    if "json" in lacks:
        return "no JSON", "no .json, where most of the set has one"
    return None


def _not_as_before(row: ScannedRecording, before: Recording | None) -> tuple[str, str] | None:
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


def build_index(splits: Splits, base: str | None, older: Index | None = None) -> Index:
    """The index of a set: speakers and tags in order of their names.

    How features were made only an older index can say; it is believed where every recording still has them.
    """
    everything = [row for shards in splits.values() for shard in shards for row in shard.recordings]
    speakers = sorted({row.speaker for row in everything if row.speaker is not None})
    tags = sorted({tag for row in everything for tag in row.tags})
    speaker_rows = {speaker: place for place, speaker in enumerate(speakers)}
    tag_rows = {tag: place for place, tag in enumerate(tags)}

    def recording(row: ScannedRecording) -> Recording:
        speaker = -1 if row.speaker is None else speaker_rows[row.speaker]
        tags = tuple(sorted({tag_rows[tag] for tag in row.tags}))
        return Recording(row.key, row.frames, speaker, tags, row.members)

    return Index(
        sample_rate=everything[0].sample_rate,
        splits={
            split: tuple(
                Shard(shard.name, shard.bytes, shard.sha256, tuple(map(recording, shard.recordings)))
                for shard in shards
            )
            for split, shards in splits.items()
        },
        speakers=tuple(speakers),
        tags=tuple(tags),
        features={
            name: spec
            for name, spec in (older.features if older else {}).items()
            if all(spec.extension in row.members for row in everything)
        },
        base=base,
    )


def same_content(one: Index, other: Index) -> bool:
    """Whether two indexes say the same of the same recordings, whatever the order of their tables."""
    return (one.base, one.features) == (other.base, other.features) and _plain(one) == _plain(other)


def _plain(index: Index) -> dict[str, Any]:
    def rows(shards: Iterable[Shard]) -> list[Any]:
        return [
            (
                (shard.name, shard.bytes, shard.sha256),
                row.key,
                row.frames,
                index.speakers[row.speaker] if row.speaker >= 0 else None,
                {index.tags[tag] for tag in row.tags},
                row.members,
            )
            for shard in shards
            for row in shard.recordings
        ]

    splits = {split: rows(shards) for split, shards in index.splits.items()}
    return {"sample_rate": index.sample_rate, **{split: some for split, some in splits.items() if some}}
