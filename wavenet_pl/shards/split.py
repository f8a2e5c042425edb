"""A split of a shard set: its recordings in index order, and how to read them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import copy
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from wavenet_pl.audio.features import decode_features
from wavenet_pl.errors import BadDataError
from wavenet_pl.shards.damage import Damage, unreadable
from wavenet_pl.shards.format import BLOCK, Place, decode_audio, read_member
from wavenet_pl.shards.index import Recording, Shard
from wavenet_pl.shards.labels import Labels
from wavenet_pl.shards.storage import Storage


class Split:
    """The recordings of one split, in index order, and how to read them.

    Args:
        shards: of the split.
        storage: where they lie.
        sample_rate: that every recording has to have, in Hz.
        labels: what the numbers of speakers, tags and features stand for.
    """

    def __init__(
        self, shards: Iterable[Shard], storage: Storage, sample_rate: int, labels: Labels | None = None
    ) -> None:
        self.places = [(storage, shard.name, recording) for shard in shards for recording in shard.recordings]
        self.sample_rate, self.labels = sample_rate, labels or Labels()

    def relabelled(self, labels: Labels, mine: str, others: str) -> Split:
        """The same recordings with a model's rows of speakers, found by name; tags and features have to be the model's.

        Args:
            labels: of the model.
            mine: what the recordings are from, such as a path.
            others: what the model is.

        Raises:
            UserError: the model does not know a speaker, or is told other tags or features; names both sides.
        """
        names = self.labels.speakers
        known = (
            self.labels
            if not set(names) <= set(labels.speakers)
            else replace(self.labels, speakers=labels.speakers)
        )
        labels.check_same(known, others, mine)
        rows = [labels.speakers.index(name) for name in names]
        places = [
            (storage, shard, replace(each, speaker=rows[each.speaker] if names and each.speaker >= 0 else -1))
            for storage, shard, each in self.places
        ]
        return self._of(places, labels)

    def told_speaker(self, row: int) -> Split:
        """The same recordings, as if one speaker were heard in all of them."""
        places = [(storage, shard, replace(each, speaker=row)) for storage, shard, each in self.places]
        return self._of(places, self.labels)

    def of_speaker(self, row: int) -> Split:
        """The recordings of one speaker."""
        return self._of([place for place in self.places if place[2].speaker == row], self.labels)

    def up_to(self, max_samples: int) -> Split:
        """The first recordings, with so many samples at most, or one."""
        number = int(np.searchsorted(np.cumsum(self.frames), max_samples, side="right"))
        return self._of(self.places[: max(1, number)], self.labels)

    def __add__(self, other: Split) -> Split:
        """The recordings of both, which have the same labels and rate; these come first."""
        assert (self.labels, self.sample_rate) == (other.labels, other.sample_rate)
        return self._of(self.places + other.places, self.labels)

    def _of(self, places: list[tuple[Storage, str, Recording]], labels: Labels) -> Split:
        split = copy(self)
        split.__dict__.pop("tag_sets", None)  # which was cached
        split.places, split.labels = places, labels
        return split

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, position: int) -> Recording:
        return self.places[position][2]

    @property
    def frames(self) -> npt.NDArray[np.int64]:
        """(N,) length of each recording."""
        return np.array([recording.frames for _, _, recording in self.places], dtype=np.int64)

    @cached_property
    def tag_sets(self) -> list[tuple[int, ...]]:
        """The different sets of tags that recordings have."""
        return sorted({recording.tags for _, _, recording in self.places})

    def read(self, position: int, start: int = 0, stop: int | None = None) -> npt.NDArray[np.float32]:
        """Samples start to stop - 1 of a recording, float32 in [-1, 1].

        Raises:
            BadDataError: the recording is damaged; the message names it and its shard.
        """
        found = self.try_read(position, start, stop)
        if isinstance(found, Damage):
            raise BadDataError(str(found), found.kind)
        return found

    def try_read(
        self, position: int, start: int = 0, stop: int | None = None
    ) -> npt.NDArray[np.float32] | Damage:
        """As `read`; what is wrong with the recording is returned, not raised."""
        recording = self[position]
        extension, place = recording.audio

        def decode(content: bytes) -> npt.NDArray[np.float32]:
            end = recording.frames if stop is None else stop
            return decode_audio(content, start, end, sample_rate=self.sample_rate)

        return self._try_member(position, extension, place, decode)

    def try_read_features(self, position: int, name: str) -> npt.NDArray[Any] | Damage:
        """All stored frames (N, F) of a recording's features, or what is wrong with them."""
        recording, spec = self[position], self.labels.features[name]

        def decode(content: bytes) -> npt.NDArray[Any]:
            return decode_features(spec, content, recording.frames)

        return self._try_member(position, spec.extension, recording.members[spec.extension], decode)

    def _try_member(
        self, position: int, extension: str, place: Place, decode: Callable[[bytes], npt.NDArray[Any]]
    ) -> npt.NDArray[Any] | Damage:
        storage, shard, recording = self.places[position]
        try:
            data = storage.read_range(shard, place.offset - BLOCK, BLOCK + place.size)
            return decode(read_member(data, recording.key, extension, place))
        except OSError as error:
            return Damage(shard, recording.key, *unreadable(error))
        except BadDataError as error:
            return Damage(shard, recording.key, error.kind, str(error))
