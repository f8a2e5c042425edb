"""An order for sets that no node can hold: each row of the batches reads its own part of the shuffled shards in turn.

The shards are shuffled, and their slots laid end to end on a line. The line is cut into as many lanes as a batch has
rows, and each batch takes the next slot of every lane. Within a lane, stretches of some shards are shuffled. Ranks take
rows, so each reads its share of the set once in an epoch, shard after shard.

Shapes: S shards, R lanes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from wavenet_pl.data.order import PADDING, EpochPlan, Integers, Visits
from wavenet_pl.numbers import counter


@dataclass(frozen=True, eq=False)
class LanePlan(EpochPlan):
    """One epoch in lanes. A batch costs the same anywhere in the epoch, and what is kept grows with the shards only."""

    shards: Integers
    """(S,) how many recordings each shard of the split has, in index order."""
    window: int
    """Shards, of the mean length, that are shuffled together."""

    def prepare(self) -> None:
        """See `EpochPlan`; here it grows with the shards only."""
        _ = self._line

    @cached_property
    def _line(self) -> tuple[Integers, Integers, Integers]:
        """Shards in their order on the line, where each ends there, and its first slot in index order."""
        assert int(self.shards.sum()) == len(self.frames), (self.shards.sum(), len(self.frames))
        ends = self.slots_before(np.cumsum(self.shards))
        counts = np.diff(ends, prepend=0)
        order = self._shuffled("shards", np.flatnonzero(counts))
        return order, np.cumsum(counts[order]), (ends - counts)[order]

    @cached_property
    def _stretch(self) -> int:
        """Slots that are shuffled together."""
        return max(1, self.window * self.num_slots // max(1, len(self._line[0])))

    @property
    def lead(self) -> int:
        """A lane reads a shard for so many batches, on the mean."""
        return -(-self._stretch // self.window)

    def in_use(self, num_rows: int) -> int:
        """See `EpochPlan`: where a window ends in the middle of a shard, one more is in use."""
        shards = min(len(self._line[0]), num_rows * (self.window + 1))
        return self.predictions * shards // max(1, len(self._line[0]))

    def batch(self, number: int) -> Integers:
        """(batch_size,) slots of one global batch, the next of each lane."""
        assert 0 <= number < self.num_batches, (number, self.num_batches)
        return self.batches([number])[0]

    def batches(self, numbers: Sequence[int]) -> Integers:
        """(N, batch_size) slots of some global batches."""
        shape = len(numbers), self.batch_size
        lane, number = np.broadcast_to(np.arange(self.batch_size), shape), np.repeat(numbers, self.batch_size)
        return self._slots(lane.ravel(), number).reshape(shape)

    @property
    def order(self) -> Integers:  # type: ignore[override]  # there it is cached
        """(num_slots,) every slot once, in the order of the epoch."""
        number, lane = np.divmod(np.arange(self.num_batches * self.batch_size), self.batch_size)
        slots = self._slots(lane, number)
        return slots[slots != PADDING]

    def visits(self, rows: Integers, num_shards: int) -> Visits:
        """When these lanes read which of the split's shards."""
        assert num_shards == len(self.shards), (num_shards, len(self.shards))
        _, shard, first, last = self.stretches(rows)
        sooner = np.argsort(first, kind="stable")
        return Visits(shard[sooner], first[sooner], last[sooner])

    def stretches(self, lanes: Integers) -> tuple[Integers, Integers, Integers, Integers]:
        """What lanes read: lane, shard, and its first and last slot that may be of this shard, counted in the lane."""
        order, ends, _ = self._line
        begin, end = self._lane(lanes)
        lanes, begin, end = (each[begin < end] for each in (lanes, begin, end))
        first = np.searchsorted(ends, begin, side="right")
        counts = np.searchsorted(ends, end, side="left") + 1 - first
        lane = np.repeat(np.arange(len(lanes)), counts)
        shard = np.arange(len(lane)) + np.repeat(first - (np.cumsum(counts) - counts), counts)
        begins = np.concatenate([[0], ends])
        enters = np.maximum(begins[shard], begin[lane]) - begin[lane]
        leaves = np.minimum(ends[shard], end[lane]) - begin[lane] - 1
        earliest = self._window(lanes[lane], enters)[0]
        latest = self._window(lanes[lane], leaves)[1] - 1
        return lanes[lane], order[shard], earliest, latest

    def _slots(self, lane: Integers, number: Integers) -> Integers:
        """The slots that lanes have in batches of these numbers; padding where a lane has none left."""
        begin, end = self._lane(lane)
        inside = number < end - begin
        lane, number, begin = (each[inside] for each in (lane, number, begin))
        start, stop = self._window(lane, number)
        # Where a window begins on the line names it: no other one does.
        keys = counter.random_bits(self._key("window"), begin + start)
        position = begin + start + counter.permuted(keys, number - start, stop - start)
        _, ends, first = self._line
        shard = np.searchsorted(ends, position, side="right")
        begins = np.concatenate([[0], ends])
        slots = np.full(len(inside), PADDING)
        slots[inside] = first[shard] + position - begins[shard]
        return slots

    def _lane(self, lane: Integers) -> tuple[Integers, Integers]:
        """Where lanes begin and end on the line."""
        return lane * self.num_slots // self.batch_size, (lane + 1) * self.num_slots // self.batch_size

    def _window(self, lane: Integers, number: Integers) -> tuple[Integers, Integers]:
        """First batch of the window of a lane that has this batch, and the first after it.

        The first window of a lane is shorter, of each lane by another part: they change shards at different times.
        """
        begin, end = self._lane(lane)
        first = (lane + 1) * self._stretch // self.batch_size
        start = first + (number - first) // self._stretch * self._stretch
        return np.maximum(start, 0), np.minimum(start + self._stretch, end - begin)
