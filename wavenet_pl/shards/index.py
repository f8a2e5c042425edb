"""The index of a shard set: every recording with its place in its shard, so that any of them is one range read away."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from wavenet_pl.audio.features import FeatureSpec, read_spec
from wavenet_pl.errors import BadDataError, UserError
from wavenet_pl.files.durable import write_durably
from wavenet_pl.shards.format import (
    AUDIO_EXTENSIONS,
    BLOCK,
    MAX_AUDIO_BYTES,
    MAX_SECONDS,
    SAMPLE_RATES,
    Place,
    check_key,
)
from wavenet_pl.shards.labels import Labels
from wavenet_pl.shards.storage import Storage

INDEX_NAME = "index.json"
SPLITS = ("train", "val", "test")
_FORMAT = 2
_MAX_BYTES = 2**31
"""Of an index: ten million recordings."""
_LARGEST = 2**60  # of any count: sums of them still fit 64 bits
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Recording:
    """One entry of a shard."""

    key: str
    frames: int
    speaker: int
    """Row in the speaker table, -1 for none."""
    tags: tuple[int, ...]
    """Rows in the tag table."""
    members: dict[str, Place]
    """Extension -> place of the member's content within the shard."""

    @property
    def audio(self) -> tuple[str, Place]:
        """Extension and place of the audio member."""
        return next((name, self.members[name]) for name in AUDIO_EXTENSIONS if name in self.members)


@dataclass(frozen=True)
class Shard:
    """One tar."""

    name: str
    """Path below the set's folder, such as `train/shard-000000.tar`."""
    bytes: int
    sha256: str
    recordings: tuple[Recording, ...]


@dataclass(frozen=True, kw_only=True)
class Index:
    """What a shard set holds."""

    sample_rate: int
    splits: dict[str, tuple[Shard, ...]]
    speakers: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    features: dict[str, FeatureSpec] = field(default_factory=dict)
    """Name of the features that every recording has -> how they were made."""
    base: str | None = field(default=None, compare=False)
    """Folder or URL of the shards, where they are not beside the index."""

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over all that the index says (64 hex digits), but not over where the shards lie."""
        return hashlib.sha256(_canonical(self).encode()).hexdigest()

    @property
    def labels(self) -> Labels:
        """What the numbers of speakers, tags and features stand for."""
        return Labels(self.speakers, self.tags, self.features)

    def seconds(self, split: str) -> float:
        """Length of a split."""
        frames = sum(
            recording.frames for shard in self.splits.get(split, ()) for recording in shard.recordings
        )
        return frames / self.sample_rate


def save_index(index: Index, folder: str | os.PathLike[str]) -> Path:
    """Write the index beside its shards: the same bytes for the same set, and never half of it."""
    path = Path(folder) / INDEX_NAME
    base = {} if index.base is None else {"base": index.base}
    write_durably(path, _canonical(index, fingerprint=index.fingerprint, **base) + "\n")
    return path


def load_index(location: str | os.PathLike[str]) -> Index:
    """Read and check the index of a shard set.

    Args:
        location: folder or URL of the set.

    Raises:
        UserError: there is none, it was changed or damaged, or it points outside its shards.
    """
    storage = Storage(os.fspath(location))
    where = storage.path(INDEX_NAME)
    try:
        text = storage.read(INDEX_NAME, _MAX_BYTES)
    except OSError as error:
        raise UserError(
            f"{where} cannot be read ({error.strerror or error}), expected the index of a shard set; "
            "write one with `wavenet-pl prepare`, or with `wavenet-pl index` for shards made elsewhere"
        ) from None
    try:
        tree = json.loads(text)
        if not isinstance(tree, dict):
            raise ValueError(f"it is a {type(tree).__name__}, expected an object")
        if tree.get("format") != _FORMAT:
            raise ValueError(f"its format is {_short(tree.get('format'))}, expected {_FORMAT}")
        index = _parse(tree)
        fingerprint = index.fingerprint
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, BadDataError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise UserError(
            f"{where} is no index that can be used: {reason}; run `wavenet-pl index` again"
        ) from None
    if tree.get("fingerprint") != fingerprint:
        raise UserError(
            f"{where} was changed: its fingerprint says {_short(tree.get('fingerprint'))}, its content has "
            f"{fingerprint}; run `wavenet-pl index` again"
        )
    return index


def shard_storage(index: Index, location: str | os.PathLike[str]) -> Storage:
    """Where the shards of an index lie that was loaded from `location`."""
    return Storage(index.base or os.fspath(location))


def _canonical(index: Index, **more: str) -> str:
    """One recording a line, so that a person and a diff can read it."""
    features = index.labels.to_plain()["features"]
    head = {
        "format": _FORMAT,
        "sample_rate": index.sample_rate,
        "speakers": index.speakers,
        "tags": index.tags,
        **(
            {"features": features} if features else {}
        ),  # without any, the text is what it was before there were any
        **more,
    }
    lines = [f"{json.dumps(name)}: {_dump(value)}," for name, value in head.items()]
    lines.append('"splits": {')
    splits = []
    for split in sorted(index.splits):
        shards = []
        for shard in index.splits[split]:
            rows = ",\n".join(
                _dump([row.key, row.frames, row.speaker, row.tags, row.members]) for row in shard.recordings
            )
            shards.append(
                f'{{"name": {_dump(shard.name)}, "bytes": {shard.bytes}, "sha256": "{shard.sha256}", '
                f'"recordings": [\n{rows}]}}'
            )
        splits.append(f"{_dump(split)}: [" + ",\n".join(shards) + "]")
    return "{" + "\n".join(lines) + "\n" + ",\n".join(splits) + "}}"


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _parse(tree: dict[str, Any]) -> Index:
    speakers, tags = _names(tree["speakers"], "speakers"), _names(tree["tags"], "tags")
    if tree["sample_rate"] not in SAMPLE_RATES or isinstance(tree["sample_rate"], bool):
        raise ValueError(f"sample_rate is {_short(tree['sample_rate'])}")
    base = tree.get("base")
    if base is not None and not isinstance(base, str):
        raise ValueError(f"base is {_short(base)}")
    features = {name: read_spec(name, spec) for name, spec in tree.get("features", {}).items()}
    splits = {}
    for split, shards in tree["splits"].items():
        if split not in SPLITS:
            raise ValueError(f"it has a split {_short(split)}, expected {', '.join(SPLITS)}")
        splits[split] = tuple(_shard(shard, len(speakers), len(tags), features.values()) for shard in shards)
        longest = max((row.frames for shard in splits[split] for row in shard.recordings), default=0)
        if longest > MAX_SECONDS * tree["sample_rate"]:
            raise ValueError(f"split {split} has a recording of {longest} samples, more than {MAX_SECONDS} s")
        keys = [recording.key for shard in splits[split] for recording in shard.recordings]
        if len(set(keys)) != len(keys):
            raise ValueError(f"split {split} names a key twice")
    return Index(
        sample_rate=int(tree["sample_rate"]),
        splits=splits,
        speakers=speakers,
        tags=tags,
        features=features,
        base=base,
    )


def _names(values: object, what: str) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError(f"{what} is no list of names")
    if len(set(values)) != len(values):
        raise ValueError(f"{what} names one twice")
    return tuple(values)


def _shard(tree: dict[str, Any], num_speakers: int, num_tags: int, features: Iterable[FeatureSpec]) -> Shard:
    name = tree["name"]
    path = PurePosixPath(name)
    foreign = "\\" in name or ":" in name or not name.isprintable()
    if path.is_absolute() or ".." in path.parts or not name.endswith(".tar") or foreign:
        raise ValueError(f"shard {_short(name)} is no path below the set's folder")
    if not _SHA256.fullmatch(tree["sha256"]):
        raise ValueError(f"sha256 of {name} is {_short(tree['sha256'])}")
    size = _count(tree["bytes"], f"bytes of {name}", 0)
    recordings = tuple(_recording(row, name, size, num_speakers, num_tags) for row in tree["recordings"])
    for recording in recordings:
        _check_features(recording, features, f"{_short(recording.key)} in {name}")
    return Shard(name, size, tree["sha256"], recordings)


def _recording(row: list[Any], shard: str, size: int, num_speakers: int, num_tags: int) -> Recording:
    key, frames, speaker, tags, members = row
    where = f"{_short(key)} in {shard}"
    check_key(key)
    _count(frames, f"frames of {where}", 1)
    _count(speaker, f"speaker of {where}", -1, num_speakers)
    for tag in tags:
        _count(tag, f"tag of {where}", 0, num_tags)
    places = {}
    for extension, values in members.items():
        place = Place(*values)
        _count(place.offset, f"offset of {where}", BLOCK)
        _count(place.size, f"size of {where}", 0)
        _count(place.crc32, f"crc32 of {where}", 0, 2**32)
        if place.offset + place.size > size:
            raise ValueError(f"{where} points outside its shard")
        places[extension] = place
    recording = Recording(key, frames, speaker, tuple(tags), places)
    if not any(extension in places for extension in AUDIO_EXTENSIONS):
        raise ValueError(f"{where} has no audio")
    if (size := recording.audio[1].size) > MAX_AUDIO_BYTES:
        raise ValueError(f"{where} has {size} bytes of audio, more than {MAX_AUDIO_BYTES}")
    return recording


def _check_features(recording: Recording, features: Iterable[FeatureSpec], where: str) -> None:
    for spec in features:
        place = recording.members.get(spec.extension)
        if place is None:
            raise ValueError(f"{where} has no {spec.extension}, expected one in every recording")
        if place.size > MAX_AUDIO_BYTES:
            raise ValueError(f"{where} has {place.size} bytes of {spec.name}, more than {MAX_AUDIO_BYTES}")


def _count(value: object, what: str, lowest: int, bound: int = _LARGEST) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value < bound:
        raise ValueError(f"{what} is {_short(value)}")
    return value


def _short(value: object) -> str:
    """What stands in the file, on one line whatever it is."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
