"""The order of an epoch: a pure function of (seed, epoch, index fingerprint).

An epoch is divided into slots, one planned crop each. Slots are shuffled and cut into global batches; ranks,
accumulations and workers only divide what is already fixed. Nothing here knows who asks.

Shapes: N recordings, M slots of any selection, R rows of a batch, V visits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from wavenet_pl.errors import UserError
from wavenet_pl.files.shared import share
from wavenet_pl.numbers import counter

Integers = npt.NDArray[np.int64]

PADDING = -1
"""Instead of a slot where a global batch is not full: it counts for nothing."""
_RUN = 64
"""Recordings between two of which it is kept how many slots come before: so a plan of millions takes little memory."""
_AT_ONCE = 2**14
"""Slots that are worked on at once."""
_COUNTED = 2**16
"""Recordings that are, so that their counts stay in a core's cache."""


class Windows(NamedTuple):
    """What slots (M,) predict: samples start to stop - 1 of a recording. Padding has recording -1 and no samples."""

    recording: Integers
    start: Integers
    stop: Integers

    @property
    def predictions(self) -> int:
        """How many samples all of them predict."""
        return int((self.stop - self.start).sum())


class Visits(NamedTuple):
    """When shards are read in an epoch: a row for each stretch of batches, those that begin first at the top (V,)."""

    shard: Integers
    """Position among the shards of the split."""
    first: Integers
    """Batch that may be the first to read it."""
    last: Integers
    """Batch that may be the last."""


@dataclass(frozen=True, eq=False)
class EpochPlan:
    """One epoch over a split.

    A recording has ceil(frames / crop_samples) slots, a grid over it. In training the grid is shifted anew in each
    epoch, by as much as its last slot has room for: every sample is predicted exactly once per epoch, and the
    crops' edges lie elsewhere each time. In validation nothing is shifted or shuffled.
    """

    frames: npt.NDArray[Any]
    """(N,) length of each recording of the split, in index order."""
    crop_samples: int
    batch_size: int
    """Slots of a global batch."""
    seed: int
    epoch: int
    fingerprint: str
    shuffle: bool

    def __getstate__(self) -> dict[str, Any]:
        self.prepare()
        return vars(self)

    def prepare(self) -> None:
        """Compute what all batches need: processes that are handed the plan share it then."""
        _ = self.order

    @property
    def facts(self) -> dict[str, Any]:
        """What makes it, for a plan that orders the same slots in another way."""
        return {name: getattr(self, name) for name in EpochPlan.__dataclass_fields__}

    def counts(self, recordings: slice | Integers) -> Integers:
        """How many slots each of some recordings has."""
        # No recording has samples for more than 31 bits, and to divide 32 is three times faster than 64.
        frames, crop = self.frames[recordings].astype(np.uint32, copy=False), min(self.crop_samples, 2**31)
        return np.asarray((frames + np.uint32(crop - 1)) // np.uint32(crop)).astype(np.int64)

    @cached_property
    def _before(self) -> Integers:
        """Slots before each run of recordings, and before the end."""
        return self.slots_before(np.append(np.arange(0, len(self.frames), _RUN), len(self.frames)))

    @property
    def num_slots(self) -> int:
        """How many crops the epoch has."""
        return int(self._before[-1])

    @property
    def num_batches(self) -> int:
        """How many global batches the epoch has, the last filled up with padding."""
        return -(-self.num_slots // self.batch_size)

    @property
    def predictions(self) -> int:
        """How many samples the epoch predicts."""
        return int(self.frames.sum())

    @cached_property
    def order(self) -> Integers:
        """(num_slots,) every slot once, in the order of the epoch."""
        number = self.num_slots
        return share(counter.shuffled(self._key("order"), number) if self.shuffle else np.arange(number))

    def _shuffled(self, what: str, slots: Integers) -> Integers:
        # Sorting by random numbers, and not a library's shuffle: no release of numpy may change a run's order.
        return slots[counter.shuffled(self._key(what), len(slots))]

    def _shifts(self, recordings: Integers, counts: Integers) -> Integers:
        if not self.shuffle:
            return np.zeros_like(recordings)
        room = counts * self.crop_samples - self.frames[recordings]
        draws = counter.uniforms(self._key("shift"), recordings)
        return (draws * (room + 1)).astype(np.int64)

    def batch(self, number: int) -> Integers:
        """(batch_size,) slots of one global batch."""
        assert 0 <= number < self.num_batches, (number, self.num_batches)
        slots = self.order[number * self.batch_size : (number + 1) * self.batch_size]
        return np.pad(slots, (0, self.batch_size - len(slots)), constant_values=PADDING)

    def batches(self, numbers: Sequence[int]) -> Integers:
        """(N, batch_size) slots of some global batches."""
        return np.stack([self.batch(number) for number in numbers])

    def share(self, number: int, part: int, rank: int, *, parts: int, world_size: int) -> Integers:
        """The slots of a global batch that one rank takes in one of its accumulation's parts."""
        rows = self.rows(range(rank, rank + 1), parts=parts, world_size=world_size)
        return self.batch(number)[rows[part]]

    def rows(self, ranks: range, *, parts: int, world_size: int) -> Integers:
        """(parts, R) the rows of every global batch that some ranks take, in each of their accumulations' parts."""
        size, rest = divmod(self.batch_size, parts * world_size)
        assert rest == 0, (self.batch_size, parts, world_size)
        first = np.arange(parts)[:, None] * world_size + ranks.start
        return first * size + np.arange(len(ranks) * size)

    def visits(self, rows: Integers, num_shards: int) -> Visits:
        """When these rows of the batches read which of the split's shards; in this order it may be any, at any time."""
        shards = np.arange(num_shards)
        return Visits(shards, np.zeros_like(shards), np.full_like(shards, self.num_batches - 1))

    @property
    def lead(self) -> int:
        """Batches before a visit from which on the shard should be on its way."""
        return 0

    def in_use(self, num_rows: int) -> int:
        """Samples of the recordings that so many rows of the batches have crops of at a time, about."""
        return int(self.frames.sum())

    def windows(self, slots: Integers) -> Windows:
        """What the slots predict."""
        pieces = [self._windows(slots[at : at + _AT_ONCE]) for at in range(0, max(1, len(slots)), _AT_ONCE)]
        return Windows(*map(np.concatenate, zip(*pieces, strict=True)))

    def _windows(self, slots: Integers) -> tuple[Integers, Integers, Integers]:
        padding = slots == PADDING
        slots = np.where(padding, 0, slots)
        run = np.searchsorted(self._before, slots, side="right") - 1
        ends = self._ends(run)
        within = (ends <= slots[:, None]).sum(axis=1)
        recording = run * _RUN + within
        counts = self.counts(recording)
        piece = slots - (ends[np.arange(len(slots)), within] - counts)
        start = piece * self.crop_samples - self._shifts(recording, counts)
        stop = np.minimum(start + self.crop_samples, self.frames[recording])
        start = np.maximum(start, 0)
        return (
            np.where(padding, PADDING, recording),
            np.where(padding, 0, start),
            np.where(padding, 0, stop),
        )

    def slots_before(self, recordings: Integers) -> Integers:
        """How many slots come before each of some recordings, which ascend, in index order."""
        done, total = 0, 0
        before = np.empty(len(recordings), np.int64)
        for first in range(0, len(self.frames), _COUNTED):
            counts = self.counts(slice(first, first + _COUNTED))
            end = int(np.searchsorted(recordings, first + len(counts)))
            begins = np.append(0, recordings[done:end] - first)
            sums = np.add.reduceat(counts, begins)
            sums[:-1][begins[1:] == begins[:-1]] = 0  # where `reduceat` gives the one that follows
            before[done:end] = total + np.cumsum(sums[:-1])
            done, total = end, total + int(sums.sum())
        before[done:] = total
        return before

    def _ends(self, runs: Integers) -> Integers:
        """(M, _RUN) slots up to the end of each recording of some runs; the last recording again behind the last."""
        recordings = np.minimum(runs[:, None] * _RUN + np.arange(_RUN), len(self.frames) - 1)
        return np.cumsum(self.counts(recordings), axis=1) + self._before[runs, None]

    def _key(self, what: str) -> int:
        return counter.stream_key(what, self.seed, self.epoch, self.fingerprint)


@dataclass(frozen=True, eq=False)
class ReplayPlan(EpochPlan):
    """One epoch over the first recordings of a split, with some slots of the others mixed in, other ones each time."""

    own: int
    """How many recordings are gone through whole; they come first in the split."""
    replay_share: float
    """Share of the epoch's slots that is drawn from the others, as far as they have so many."""

    @property
    def _num_own(self) -> int:
        return int(self.counts(slice(0, self.own)).sum())

    @property
    def num_slots(self) -> int:
        """How many crops the epoch has."""
        wanted = round(self._num_own * self.replay_share / (1 - self.replay_share))
        return self._num_own + min(wanted, super().num_slots - self._num_own)

    @property
    def predictions(self) -> int:
        """How many samples the epoch predicts; which ones are drawn changes from epoch to epoch."""
        return self.windows(self.order).predictions

    @cached_property
    def order(self) -> Integers:
        """(num_slots,) every slot of the first recordings once, and the drawn ones, in the order of the epoch."""
        slots = np.arange(super().num_slots)
        drawn = self._shuffled("replay", slots[self._num_own :])[: self.num_slots - self._num_own]
        return share(self._shuffled("order", np.concatenate([slots[: self._num_own], drawn])))


def check_batch_size(batch_size: int, world_size: int, parts: int) -> None:
    """Every rank takes as many crops in every accumulated batch.

    Raises:
        UserError: the batch cannot be divided so; names the nearest sizes that can.
    """
    ways = world_size * parts
    if batch_size % ways:
        below, above = batch_size // ways * ways, -(-batch_size // ways) * ways
        raise UserError(
            f"data.batch_size is {batch_size}, expected a multiple of {ways}: {world_size} ranks with "
            f"{parts} accumulated batches each; use {f'{below} or ' if below else ''}{above}"
        )
