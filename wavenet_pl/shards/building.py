"""The one builder of an index: recordings that carry names become recordings with rows of tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from wavenet_pl.shards.column_file import in_memory
from wavenet_pl.shards.format import Span
from wavenet_pl.shards.index import Index
from wavenet_pl.shards.labels import Labels, Spec
from wavenet_pl.shards.lazily import Lazily
from wavenet_pl.shards.recording import Recording, Shard


class NamedRecording(Protocol):
    """A recording with the names that apply to it, as a scan or `prepare` has it."""

    @property
    def key(self) -> str:
        """Its key, unique in its split."""

    @property
    def frames(self) -> int:
        """Its length in samples."""

    @property
    def names(self) -> Mapping[str, tuple[str, ...]]:
        """Table -> names that apply."""

    @property
    def members(self) -> dict[str, Span]:
        """Extension -> span of the member in the shard."""


class NamedShard(Protocol):
    """A shard of named recordings."""

    @property
    def name(self) -> str:
        """Path below the set's folder."""

    @property
    def bytes(self) -> int:
        """Size of the file."""

    @property
    def sha256(self) -> str:
        """Hash of the file, 64 hex digits."""

    @property
    def recordings(self) -> Sequence[NamedRecording]:
        """Its recordings, in the order of the file."""


def build_index(
    sample_rate: int,
    splits: Mapping[str, Iterable[NamedShard]],
    frames: Mapping[str, Spec],
    base: str | None = None,
) -> Index:
    """The index of a set. Tables have their names in order of the alphabet.

    Args:
        sample_rate: of every recording.
        splits: split -> its shards. They are gone through a few times, so that one at a time has to be in memory.
        frames: name of the frames that every recording has -> how they were made.
        base: where the shards lie, if not beside the index.
    """
    kept = {
        split: shards if isinstance(shards, Sequence) else list(shards) for split, shards in splits.items()
    }
    names_by_table: dict[str, set[str]] = {}
    for some in kept.values():
        for shard in some:
            for recording in shard.recordings:
                for table, names in recording.names.items():
                    names_by_table.setdefault(table, set()).update(names)
    tables = {
        table: tuple(sorted(names_by_table[table]))
        for table in sorted(names_by_table)
        if names_by_table[table]
    }
    rows = {table: {name: row for row, name in enumerate(names)} for table, names in tables.items()}

    def of(recording: NamedRecording) -> Recording:
        numbered = {
            table: tuple(sorted({rows[table][name] for name in names}))
            for table, names in recording.names.items()
            if names
        }
        return Recording(recording.key, recording.frames, numbered, recording.members)

    def numbered(shard: NamedShard) -> Shard:
        return Shard(shard.name, shard.bytes, shard.sha256, tuple(map(of, shard.recordings)))

    def all_of(shards: Sequence[NamedShard]) -> Sequence[Shard]:
        return Lazily(len(shards), lambda position: numbered(shards[position]))

    return Index(
        sample_rate=sample_rate,
        splits=in_memory({split: all_of(shards) for split, shards in kept.items()}),
        labels=Labels(tables, dict(frames)),
        base=base,
    )
