"""What a model is trained on or held against: a shard set, or several as one, with what each of them is read from."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from operator import add

from wavenet_pl.errors import UserError
from wavenet_pl.files.redaction import redact
from wavenet_pl.numbers.shares import parts_of
from wavenet_pl.shards.index import Index, load_index, shard_storage
from wavenet_pl.shards.labels import Labels
from wavenet_pl.shards.near import NearFolder, NearStorage
from wavenet_pl.shards.split import Split
from wavenet_pl.shards.storage import Storage

Location = str | Mapping[str, float]
"""Folder or URL of a set, or those of several and their shares: what `data.path` is."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """One of the sets."""

    path: str
    """Folder or URL."""
    index: Index
    storage: Storage
    """Of the shards."""
    part: int = 1
    """Of all crops that are trained on, this many parts are of this set."""

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return set_name(self.path)


@dataclass(frozen=True, kw_only=True)
class ShardSet:
    """One or more sets. Names of tables are joined: those of the first keep their rows, and new ones come after."""

    sources: tuple[Source, ...]

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return " + ".join(source.name for source in self.sources)

    @property
    def sample_rate(self) -> int:
        """Samples per second of every recording."""
        return self.sources[0].index.sample_rate

    @property
    def parts(self) -> tuple[int, ...]:
        """How many parts of the crops that are trained on each set has."""
        return tuple(source.part for source in self.sources)

    @cached_property
    def fingerprint(self) -> str:
        """That of the index; of several sets one over theirs, their shares and their order. 64 hex digits."""
        facts = [(source.index.fingerprint, source.part) for source in self.sources]
        return facts[0][0] if len(facts) == 1 else hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    @cached_property
    def labels(self) -> Labels:
        """What rows stand for, and how frames were made that are the same in all sets."""
        first, *others = (source.index.labels for source in self.sources)
        tables = dict(first.tables)
        for other in others:
            for table, names in other.tables.items():
                tables[table] = tuple(dict.fromkeys((*tables.get(table, ()), *names)))
        frames = {
            name: spec
            for name, spec in first.frames.items()
            if all(other.frames.get(name) == spec for other in others)
        }
        return Labels(tables, frames)

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits that there are."""
        return tuple(dict.fromkeys(name for source in self.sources for name in source.index.splits))

    def split(self, name: str, inputs: Iterable[str] | None = None) -> Split:
        """The recordings of a split, set after set; none where there is no such split.

        Args:
            name: of the split.
            inputs: of which labels are wanted; None for all.
        """
        labels = self.labels if inputs is None else self.labels.of(inputs)
        return reduce(
            add, (self._part(number, name).numbered_as(labels) for number in range(len(self.sources)))
        )

    def seconds(self, split: str) -> float:
        """Length of a split in seconds."""
        return sum(source.index.seconds(split) for source in self.sources)

    def near(self, setting: str) -> ShardSet:
        """The same, read from copies where there are any.

        Args:
            setting: `data.cache`.
        """
        sources = (
            replace(
                source,
                storage=NearStorage(source.storage, NearFolder.of(setting, source.index.fingerprint)),
            )
            for source in self.sources
        )
        return replace(self, sources=tuple(sources))

    @property
    def near_folders(self) -> list[NearFolder]:
        """Where copies of each set lie; none where there is no cache."""
        storages = (source.storage for source in self.sources)
        return [storage.near for storage in storages if isinstance(storage, NearStorage)]

    def _part(self, number: int, name: str) -> Split:
        source = self.sources[number]
        index = source.index
        split = Split(index.splits.get(name, ()), source.storage, index.sample_rate, index.labels)
        # Two sets may have shards, and recordings, of the same names.
        return split if len(self.sources) == 1 else split.called(f"{source.name}/", f"{number + 1}/")


def paths_of(location: Location) -> list[str]:
    """Folders and URLs of the sets."""
    return [location] if isinstance(location, str) else list(location)


def set_name(location: Location) -> str:
    """What one or more sets are called in messages: a URL may have a password in it."""
    return str(redact(" + ".join(paths_of(location))))


def open_set(location: Location | os.PathLike[str]) -> ShardSet:
    """Read and check the index of a set, or of each of several.

    A mapping of one set is that set, whatever its share.

    Args:
        location: folder or URL, or several and their shares.

    Raises:
        UserError: there is no usable index, sets have different rates, or two are the same.
    """
    shares = location if isinstance(location, Mapping) else {os.fspath(location): 1.0}
    sources = []
    for path, part in zip(shares, parts_of(tuple(shares.values())), strict=True):
        index = load_index(path)
        sources.append(Source(path=path, index=index, storage=shard_storage(index, path), part=part))
    first = sources[0]
    seen: dict[str, str] = {}
    for source in sources:
        if source.index.sample_rate != first.index.sample_rate:
            raise UserError(
                f"{first.name} has sample rate {first.index.sample_rate} and {source.name} has "
                f"{source.index.sample_rate}, expected the same in all sets of data.path; prepare one of them again "
                "with --sample-rate"
            )
        if (other := seen.setdefault(source.index.fingerprint, source.path)) != source.path:
            raise UserError(
                f"{set_name(other)} and {source.name} hold the same recordings, expected different sets in data.path; "
                "name one of them, with both shares"
            )
    return ShardSet(sources=tuple(sources))
