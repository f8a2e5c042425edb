"""The order of an epoch: a pure function of (seed, epoch, index fingerprint).

An epoch is divided into slots, one planned crop each. Slots are shuffled and cut into global batches; ranks,
accumulations and workers only divide what is already fixed. Nothing here knows who asks.

Shapes: N recordings, M slots of any selection.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from wavenet_pl.errors import UserError
from wavenet_pl.numbers import counter

Integers = npt.NDArray[np.int64]

PADDING = -1
"""Instead of a slot where a global batch is not full: it counts for nothing."""


@dataclass(frozen=True)
class Windows:
    """What slots (M,) predict: samples start to stop - 1 of a recording. Padding has recording -1 and no samples."""

    recording: Integers
    start: Integers
    stop: Integers

    @property
    def predictions(self) -> int:
        """How many samples all of them predict."""
        return int((self.stop - self.start).sum())


@dataclass(frozen=True, eq=False)
class EpochPlan:
    """One epoch over a split.

    A recording has ceil(frames / crop_samples) slots, a grid over it. In training the grid is shifted anew in each
    epoch, by as much as its last slot has room for: every sample is predicted exactly once per epoch, and the
    crops' edges lie elsewhere each time. In validation nothing is shifted or shuffled.
    """

    frames: Integers
    """(N,) length of each recording of the split, in index order."""
    crop_samples: int
    batch_size: int
    """Slots of a global batch."""
    seed: int
    epoch: int
    fingerprint: str
    shuffle: bool

    @cached_property
    def _counts(self) -> Integers:
        return -(-self.frames // self.crop_samples)

    @cached_property
    def _ends(self) -> Integers:
        return np.cumsum(self._counts)

    @property
    def num_slots(self) -> int:
        """How many crops the epoch has."""
        return int(self._ends[-1]) if len(self._ends) else 0

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
        slots = np.arange(self.num_slots)
        if not self.shuffle:
            return slots
        return self._shuffled("order", slots)

    def _shuffled(self, what: str, slots: Integers) -> Integers:
        # Sorting by random numbers, and not a library's shuffle: no release of numpy may change a run's order.
        return slots[np.argsort(counter.random_bits(self._key(what), np.arange(len(slots))), kind="stable")]

    @cached_property
    def _shifts(self) -> Integers:
        if not self.shuffle:
            return np.zeros_like(self.frames)
        room = self._counts * self.crop_samples - self.frames
        draws = counter.uniforms(self._key("shift"), np.arange(len(self.frames)))
        return (draws * (room + 1)).astype(np.int64)

    def batch(self, number: int) -> Integers:
        """(batch_size,) slots of one global batch."""
        assert 0 <= number < self.num_batches, (number, self.num_batches)
        slots = self.order[number * self.batch_size : (number + 1) * self.batch_size]
        return np.pad(slots, (0, self.batch_size - len(slots)), constant_values=PADDING)

    def share(self, number: int, part: int, rank: int, *, parts: int, world_size: int) -> Integers:
        """The slots of a global batch that one rank takes in one of its accumulation's parts."""
        size, rest = divmod(self.batch_size, parts * world_size)
        assert rest == 0, (self.batch_size, parts, world_size)
        first = (part * world_size + rank) * size
        return self.batch(number)[first : first + size]

    def windows(self, slots: Integers) -> Windows:
        """What the slots predict."""
        padding = slots == PADDING
        slots = np.where(padding, 0, slots)
        recording = np.searchsorted(self._ends, slots, side="right")
        piece = slots - (self._ends[recording] - self._counts[recording])
        start = piece * self.crop_samples - self._shifts[recording]
        stop = np.minimum(start + self.crop_samples, self.frames[recording])
        start = np.maximum(start, 0)
        return Windows(
            np.where(padding, PADDING, recording), np.where(padding, 0, start), np.where(padding, 0, stop)
        )

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
        return int(self._counts[: self.own].sum())

    @property
    def num_slots(self) -> int:
        """How many crops the epoch has."""
        wanted = round(self._num_own * self.replay_share / (1 - self.replay_share))
        return self._num_own + min(wanted, int(self._counts[self.own :].sum()))

    @property
    def predictions(self) -> int:
        """How many samples the epoch predicts; which ones are drawn changes from epoch to epoch."""
        return self.windows(self.order).predictions

    @cached_property
    def order(self) -> Integers:
        """(num_slots,) every slot of the first recordings once, and the drawn ones, in the order of the epoch."""
        slots = np.arange(int(self._counts.sum()))
        drawn = self._shuffled("replay", slots[self._num_own :])[: self.num_slots - self._num_own]
        return self._shuffled("order", np.concatenate([slots[: self._num_own], drawn]))


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
