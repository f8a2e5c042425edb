"""A split of a shard set: its recordings in index order, and how to read them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import copy
from dataclasses import replace
from functools import cached_property
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from wavenet_pl.errors import BadDataError
from wavenet_pl.shards.damage import Damage, unreadable
from wavenet_pl.shards.format import Span, decode_audio
from wavenet_pl.shards.index import Recording, Shard
from wavenet_pl.shards.labels import Labels
from wavenet_pl.shards.storage import Storage


class StoredRecording(NamedTuple):
    """A recording, and what it is read from."""

    storage: Storage
    shard: str
    """Path below the storage."""
    recording: Recording


class StoredShard(NamedTuple):
    """A shard, and what it is read from."""

    storage: Storage
    name: str
    """Path below the storage."""
    bytes: int
    sha256: str
    recordings: int
    """How many recordings of the split, one after the other, are in it."""


class Split:
    """The recordings of one split, in index order, and how to read them.

    Args:
        shards: of the split.
        storage: which holds them.
        sample_rate: that every recording has to have, in Hz.
        labels: what the rows of tables stand for, and how frames were made.
    """

    def __init__(
        self, shards: Iterable[Shard], storage: Storage, sample_rate: int, labels: Labels | None = None
    ) -> None:
        self.stored: list[StoredRecording] = []
        self._files: dict[tuple[str, str], tuple[int, str]] = {}
        for shard in shards:
            self.stored += [StoredRecording(storage, shard.name, recording) for recording in shard.recordings]
            self._files[storage.location, shard.name] = shard.bytes, shard.sha256
        self.in_flight = storage.in_flight
        """How many recordings at a time are worth reading."""
        self.sample_rate, self.labels = sample_rate, labels or Labels()
        self._row_sets: dict[str, list[tuple[int, ...]]] = {}

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
        moved = {
            name: [labels.tables[name].index(each) for each in names] for name, names in own.tables.items()
        }
        return self._with_rows(
            lambda recording: {
                name: tuple(sorted(moved[name][row] for row in rows)) if name in moved else rows
                for name, rows in recording.rows.items()
            },
            Labels(
                {**self.labels.tables, **labels.tables},
                {**self.labels.frames, **labels.frames},
            ),
        )

    def with_row(self, table: str, row: int) -> Split:
        """The same recordings, as if one row of a table applied to all of them."""
        return self._with_rows(lambda recording: {**recording.rows, table: (row,)}, self.labels)

    def of_row(self, table: str, row: int) -> Split:
        """The recordings that a row of a table applies to."""
        return self._of(
            [each for each in self.stored if row in each.recording.rows.get(table, ())], self.labels
        )

    def up_to(self, max_samples: int) -> Split:
        """The first recordings, with so many samples at most, or one."""
        number = int(np.searchsorted(np.cumsum(self.frames), max_samples, side="right"))
        return self._of(self.stored[: max(1, number)], self.labels)

    def __add__(self, other: Split) -> Split:
        """The recordings of both, which have the same labels and rate; these come first."""
        assert (self.labels, self.sample_rate) == (other.labels, other.sample_rate)
        both = self._of(self.stored + other.stored, self.labels)
        both._files = {**self._files, **other._files}
        both.in_flight = max(self.in_flight, other.in_flight)
        return both

    def _with_rows(
        self, rows_of: Callable[[Recording], Mapping[str, tuple[int, ...]]], labels: Labels
    ) -> Split:
        stored = [
            each._replace(recording=replace(each.recording, rows=rows_of(each.recording)))
            for each in self.stored
        ]
        return self._of(stored, labels)

    def _of(self, stored: list[StoredRecording], labels: Labels) -> Split:
        split = copy(self)
        split._row_sets = {}
        split.__dict__.pop("shards", None)
        split.stored, split.labels = stored, labels
        return split

    def __len__(self) -> int:
        return len(self.stored)

    def __getitem__(self, position: int) -> Recording:
        return self.stored[position].recording

    @property
    def frames(self) -> npt.NDArray[np.int64]:
        """(N,) length of each recording."""
        return np.array([each.recording.frames for each in self.stored], dtype=np.int64)

    @cached_property
    def shards(self) -> list[StoredShard]:
        """The shards that recordings come from, in index order."""
        runs = groupby(self.stored, key=lambda each: (each.storage, each.shard))
        return [
            StoredShard(storage, name, *self._files[storage.location, name], recordings=len(list(run)))
            for (storage, name), run in runs
        ]

    def row_sets(self, table: str) -> list[tuple[int, ...]]:
        """The different sets of rows of a table that apply to some recording, sorted."""
        if table not in self._row_sets:
            self._row_sets[table] = sorted({each.recording.rows.get(table, ()) for each in self.stored})
        return self._row_sets[table]

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
        recording = self[position]
        extension, span = recording.audio

        def decode(content: bytes) -> npt.NDArray[np.float32]:
            end = recording.frames if stop is None else stop
            return decode_audio(content, start, end, sample_rate=self.sample_rate)

        return self._try_member(position, extension, span, decode)

    def try_read_member(
        self, position: int, extension: str, decode: Callable[[bytes], npt.NDArray[Any]]
    ) -> npt.NDArray[Any] | Damage:
        """What `decode` makes of a member of a recording, or what is wrong with it."""
        return self._try_member(position, extension, self[position].members[extension], decode)

    def _try_member(
        self, position: int, extension: str, span: Span, decode: Callable[[bytes], npt.NDArray[Any]]
    ) -> npt.NDArray[Any] | Damage:
        storage, shard, recording = self.stored[position]
        try:
            return decode(storage.read_member(shard, recording.key, extension, span))
        except OSError as error:
            return Damage(shard, recording.key, *unreadable(error))
        except BadDataError as error:
            return Damage(shard, recording.key, error.kind, str(error))
