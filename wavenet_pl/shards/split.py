"""A split of a shard set: its recordings in index order, and how to read them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from wavenet_pl.audio.wav import from_int16, to_int16
from wavenet_pl.errors import BadDataError
from wavenet_pl.files.shared import share
from wavenet_pl.shards.column_file import columns_of
from wavenet_pl.shards.damage import Damage
from wavenet_pl.shards.format import decode_audio
from wavenet_pl.shards.kept import Kept
from wavenet_pl.shards.labels import Labels
from wavenet_pl.shards.lazily import Lazily
from wavenet_pl.shards.part import Integers, Part, StoredRecording, StoredShard
from wavenet_pl.shards.recording import Recording, Shard
from wavenet_pl.shards.storage import Storage


class Split:
    """The recordings of one split, in index order, and how to read them.

    Nothing of it is as large as the set. To another process it goes as a place in a file, which that one maps too.

    Args:
        shards: of the split.
        storage: which holds them.
        sample_rate: that every recording has to have, in Hz.
        labels: what the rows of tables stand for, and how frames were made.
    """

    def __init__(
        self, shards: Sequence[Shard], storage: Storage, sample_rate: int, labels: Labels | None = None
    ) -> None:
        self.sample_rate, self.labels = sample_rate, labels or Labels()
        self._parts: tuple[Part, ...] = (Part(columns_of(shards), storage, {}),)
        self._most_decoded = 0
        # Of the recordings of all parts, one behind the other; None for all.
        self._chosen: Integers | None = None

    def __getstate__(self) -> dict[str, Any]:
        own = ("sample_rate", "labels", "_parts", "_chosen", "_most_decoded")
        return {name: vars(self)[name] for name in own}

    @property
    def in_flight(self) -> int:
        """How many recordings at a time are worth reading."""
        return max(part.storage.in_flight for part in self._parts)

    def relabelled(self, labels: Labels, mine: str, others: str) -> Split:
        """The same recordings with a model's rows of its tables, looked up by name; its frames have to be theirs.

        What the model has no use for stays as it is.

        Args:
            labels: of the model.
            mine: what the recordings are from, such as a path.
            others: what the model is.

        Raises:
            UserError: the model does not know a name, or is conditioned on other frames; names both sides.
        """
        own = self.labels.of([*labels.tables, *labels.frames])
        tables = {
            name: labels.tables[name] if set(names) <= set(labels.tables[name]) else names
            for name, names in own.tables.items()
        }
        labels.check_same(replace(own, tables=tables), others, mine)
        return self.numbered_as(
            Labels({**self.labels.tables, **labels.tables}, {**self.labels.frames, **labels.frames})
        )

    def numbered_as(self, labels: Labels) -> Split:
        """The same recordings with these labels, whose tables have all of their names, in other rows maybe."""
        moved: dict[str, Integers] = {}
        for name, names in self.labels.tables.items():
            if names != (others := labels.tables.get(name, names)):
                row_of = {each: row for row, each in enumerate(others)}
                moved[name] = np.array([row_of[each] for each in names], dtype=np.int64)
        return self._of([part.moved_to(moved) for part in self._parts], labels, self._chosen)

    def called(self, source: str, prefix: str) -> Split:
        """The same recordings under keys with a prefix, and in messages with what they are from before their shards."""
        parts = [replace(part, source=source, prefix=prefix) for part in self._parts]
        return self._of(parts, self.labels, self._chosen)

    def keeping_decoded(self, most: int) -> Split:
        """The same recordings; each process keeps decoded ones, up to so many bytes, and decodes those as a whole."""
        split = self._of(self._parts, self.labels, self._chosen)
        split._most_decoded = most
        return split

    def with_row(self, table: str, row: int) -> Split:
        """The same recordings, as if one row of a table applied to all of them."""
        parts = [replace(part, moved={**part.moved, table: row}) for part in self._parts]
        return self._of(parts, self.labels, self._chosen)

    def of_row(self, table: str, row: int) -> Split:
        """The recordings that a row of a table applies to."""
        rows, bounds = self.table_rows(table)
        positions = np.searchsorted(bounds, np.flatnonzero(rows == row), side="right") - 1
        return self.at(np.unique(positions))

    def up_to(self, max_samples: int) -> Split:
        """The first recordings, with so many samples at most, or one."""
        number = int(np.searchsorted(np.cumsum(self.frames), max_samples, side="right"))
        return self.at(np.arange(min(len(self), max(1, number))))

    def spread(self) -> Split:
        """The same, with those of several sets mixed: of the first ones, each set has its share of all recordings."""
        if self._chosen is not None or not any(part.prefix for part in self._parts):
            return self
        shares = [np.arange(count) / max(1, count) for count in np.diff(self._begins).tolist()]
        return self.at(np.argsort(np.concatenate(shares), kind="stable"))

    def at(self, positions: Integers) -> Split:
        """The recordings at these positions, in this order."""
        chosen = positions if self._chosen is None else self._chosen[positions]
        return self._of(self._parts, self.labels, share(chosen))

    @property
    def sets(self) -> list[Split]:
        """The recordings of each set, where all of them are there."""
        assert self._chosen is None
        return [self._of((part,), self.labels, None) for part in self._parts]

    def __add__(self, other: Split) -> Split:
        """The recordings of both, which have the same labels and rate; these come first."""
        assert (self.labels, self.sample_rate) == (other.labels, other.sample_rate)
        chosen = None
        if self._chosen is not None or other._chosen is not None:
            chosen = share(np.concatenate([self._rows, int(self._begins[-1]) + other._rows]))
        return self._of((*self._parts, *other._parts), self.labels, chosen)

    def _of(self, parts: Iterable[Part], labels: Labels, chosen: Integers | None) -> Split:
        split = copy(self)  # without what was derived from this one
        split._parts, split.labels, split._chosen = tuple(parts), labels, chosen
        return split

    @cached_property
    def _begins(self) -> Integers:
        """The first recording of each part, and the end."""
        return np.concatenate([[0], np.cumsum([len(part.columns.frames) for part in self._parts])])

    @property
    def _rows(self) -> Integers:
        """(N,) of the recordings, over all parts."""
        return np.arange(len(self)) if self._chosen is None else self._chosen

    def __len__(self) -> int:
        return int(self._begins[-1]) if self._chosen is None else len(self._chosen)

    def __getitem__(self, position: int) -> Recording:
        return self.stored[position].recording

    def __iter__(self) -> Iterator[Recording]:
        return (each.recording for each in self.stored)

    @property
    def stored(self) -> Sequence[StoredRecording]:
        """The recordings, and what they are read from."""
        return Lazily(len(self), self._stored)

    def set_of(self, position: int) -> int:
        """Which of the sets a recording is in."""
        row = position if self._chosen is None else int(self._chosen[position])
        return int(np.searchsorted(self._begins, row, side="right")) - 1

    def key(self, position: int) -> str:
        """Of a recording."""
        part, row = self._locate(position)
        return part.key(row)

    def all_keys(self) -> Iterator[str]:
        """Of the recordings, one after the other."""
        return map(self.key, range(len(self)))

    def _stored(self, position: int) -> StoredRecording:
        part, row = self._locate(position)
        return StoredRecording(part.storage, part.shard_name(row), part.recording(row))

    def _locate(self, position: int) -> tuple[Part, int]:
        """The part that a recording is in, and its row there."""
        row = position if self._chosen is None else int(self._chosen[position])
        number = self.set_of(position)
        return self._parts[number], row - int(self._begins[number])

    @property
    def frames(self) -> Integers:
        """(N,) length of each recording."""
        return np.asarray(self.lengths).astype(np.int64)

    @cached_property
    def lengths(self) -> npt.NDArray[Any]:
        """The same in integers without a sign, as narrow as they are in the index; handed over as a place in a file."""
        lengths = [part.columns.frames for part in self._parts]
        if self._chosen is None and len(lengths) == 1:
            return lengths[0]
        together = np.concatenate(lengths)
        return share(together if self._chosen is None else together[self._chosen])

    @cached_property
    def shards(self) -> list[StoredShard]:
        """The shards that recordings come from, in index order."""
        all_counts = np.concatenate([np.diff(part.columns.shard_bounds) for part in self._parts])
        if self._chosen is None:
            numbers = np.flatnonzero(all_counts)
            counts = all_counts[numbers]
        else:
            runs = np.searchsorted(np.cumsum(all_counts), self._chosen, side="right")
            first = np.flatnonzero(np.diff(runs, prepend=-1))
            numbers, counts = runs[first], np.diff(first, append=len(runs))
        shards = [(part.storage, shard) for part in self._parts for shard in part.columns]
        return [
            StoredShard(storage, shard.name, shard.bytes, shard.sha256, recordings=count)
            for (storage, shard), count in zip(map(shards.__getitem__, numbers), counts.tolist(), strict=True)
        ]

    def table_rows(self, table: str) -> tuple[Integers, Integers]:
        """The rows of a table that apply to the recordings, and (N + 1,) where those of each begin, and the end."""
        parts = [part.table_rows(table) for part in self._parts]
        rows = np.concatenate([rows for rows, _ in parts])
        counts = np.concatenate([np.diff(bounds) for _, bounds in parts])
        if self._chosen is not None:
            begins = (np.cumsum(counts) - counts)[self._chosen]
            counts = counts[self._chosen]
            within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
            rows = rows[np.repeat(begins, counts) + within]
        return rows, np.concatenate([[0], np.cumsum(counts)])

    def row_sets(self, table: str) -> list[tuple[int, ...]]:
        """The different sets of rows of a table that apply to some recording, sorted."""
        if table not in self._row_sets:
            rows, bounds = self.table_rows(table)
            counts = np.diff(bounds)
            sets: set[tuple[int, ...]] = set()
            for count in np.unique(counts).tolist():
                some = rows[bounds[:-1][counts == count][:, None] + np.arange(count)]
                sets |= set(map(tuple, np.unique(some, axis=0).tolist())) if count else {()}
            self._row_sets[table] = sorted(sets)
        return self._row_sets[table]

    @cached_property
    def _row_sets(self) -> dict[str, list[tuple[int, ...]]]:
        return {}

    def read(self, position: int, start: int = 0, stop: int | None = None) -> npt.NDArray[np.float32]:
        """Samples start to stop - 1 of a recording, float32 in [-1, 1].

        Raises:
            BadDataError: the recording is damaged; the message names it and its shard.
        """
        audio = self.try_read(position, start, stop)
        if isinstance(audio, Damage):
            raise BadDataError(str(audio), audio.kind)
        return audio

    def try_read(
        self, position: int, start: int = 0, stop: int | None = None
    ) -> npt.NDArray[np.float32] | Damage:
        """As `read`; what is wrong with the recording is returned, not raised."""
        stop = self._length(position) if stop is None else stop
        if self._most_decoded:
            whole = self._decoded.get(position, lambda: self._decode_whole(position))
            if stop <= len(whole):
                return from_int16(whole[start:stop])
        return self._decode(position, start, stop)

    def is_decoded(self, position: int) -> bool:
        """Whether a recording is kept decoded now."""
        return self._most_decoded > 0 and position in self._decoded

    @cached_property
    def _decoded(self) -> Kept[npt.NDArray[np.int16]]:
        return Kept(self._most_decoded, lambda audio: audio.nbytes)

    def _decode_whole(self, position: int) -> npt.NDArray[np.int16]:
        """A recording in 16 bits; nothing of one that is damaged, or that has finer steps."""
        audio = self._decode(position, 0, self._length(position))
        if isinstance(audio, Damage):
            return np.zeros(0, np.int16)
        samples = to_int16(audio)
        return samples if np.array_equal(from_int16(samples), audio) else samples[:0]

    def _length(self, position: int) -> int:
        part, row = self._locate(position)
        return int(part.columns.frames[row])

    def _decode(self, position: int, start: int, stop: int) -> npt.NDArray[np.float32] | Damage:
        part, row = self._locate(position)
        return part.try_member(
            row,
            *part.columns.recording(row).audio,
            lambda content: decode_audio(content, start, stop, sample_rate=self.sample_rate),
        )

    def try_read_member(
        self, position: int, extension: str, decode: Callable[[bytes], npt.NDArray[Any]]
    ) -> npt.NDArray[Any] | Damage:
        """What `decode` makes of a member of a recording, or what is wrong with it."""
        part, row = self._locate(position)
        return part.try_member(row, extension, part.columns.recording(row).members[extension], decode)
