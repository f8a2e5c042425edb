"""The order of several sets as one: each is gone through pass after pass, and their shares say whose turn it is.

An epoch has as many batches as hold the slots of all sets once. A set that is small beside its share has several passes
in it, and one that is large goes on with its pass in the next epoch. How far each set is follows from the number of
batches since the first epoch, so the state of a training is that of any other order. All batches are full.

Shapes: R rows or lanes, M slots of any selection.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from wavenet_pl.data.dealing import Dealing
from wavenet_pl.data.lanes import LanePlan
from wavenet_pl.data.order import EpochPlan, Integers, Visits, Windows
from wavenet_pl.numbers import counter

_KEPT = 4
"""Passes of a set whose beginnings are remembered: a batch is of two, unless they are tiny."""
_MOST_PASSES = 16
"""Of a set that has more in an epoch, each shard is wanted all the time."""


@dataclass(frozen=True, eq=False)
class Pass(EpochPlan):
    """One pass through a set: all of its slots once, shuffled; lanes take the next ones in turn.

    Its epoch is the number of the pass, and its fingerprint that of the set.
    """

    dealing: Dealing
    number: int
    """Of the set."""

    def prepare(self) -> None:
        """Compute what every pass needs: how many slots come before a recording."""
        _ = self._before

    def again(self, epoch: int) -> Pass:
        """Another pass through the same set."""
        other = replace(self, epoch=epoch)
        vars(other)["_before"] = self._before  # which is the same in all passes
        return other

    def at(self, batch: int, lane: Integers) -> Integers:
        """(R,) the slots that lanes read in a batch, counted from the first epoch on."""
        position = self.dealing.before(batch, self.number) + lane - self.epoch * self.num_slots
        key = np.full(len(lane), self._key("pass"), dtype=np.uint64)
        return counter.permuted(key, position, np.full(len(lane), self.num_slots))


@dataclass(frozen=True, eq=False)
class LanePass(LanePlan, Pass):
    """One pass in lanes, each as long as it has turns while the pass lasts."""

    @cached_property
    def _turns(self) -> tuple[Integers, Integers]:
        """(R,) turns of each lane before this pass, and (R + 1,) where each begins on the line."""
        lane = np.arange(self.batch_size)
        before, after = (
            self.dealing.turns(
                self.dealing.reached(number * self.num_slots - lane, self.number), lane, self.number
            )
            for number in (self.epoch, self.epoch + 1)
        )
        return before, np.concatenate([[0], np.cumsum(after - before)])

    def prepare(self) -> None:
        """See `Pass`."""
        Pass.prepare(self)

    def _lane(self, lane: Integers) -> tuple[Integers, Integers]:
        _, begins = self._turns
        return begins[lane], begins[lane + 1]

    def at(self, batch: int, lane: Integers) -> Integers:
        """See `Pass`."""
        return self._slots(lane, self.dealing.turns(batch, lane, self.number) - self._turns[0][lane])

    def reads(self, lane: Integers, first: int, end: int) -> Visits:
        """When lanes read shards, in batches from the first epoch on, from one to before another."""
        lane, shard, earliest, latest = self.stretches(lane)
        began = self._turns[0][lane]
        earliest, latest = (
            self.dealing.batch_of(began + turn, lane, self.number) for turn in (earliest, latest)
        )
        inside = (latest >= first) & (earliest < end)
        return Visits(
            *(each[inside] for each in (shard, np.maximum(earliest, first), np.minimum(latest, end - 1)))
        )


@dataclass(frozen=True, eq=False)
class MixturePlan(EpochPlan):
    """One epoch of several sets, of which each pass is shuffled, and its grid shifted, anew.

    Its frames are those of all sets, one after the other. A slot's number says the pass as well.
    """

    sets: tuple[Pass, ...]
    """The first pass of each set."""
    dealing: Dealing

    def prepare(self) -> None:
        """See `EpochPlan`; here it does not grow with the sets."""
        self.dealing.rows(0)
        for each in self.sets:
            each.prepare()

    @cached_property
    def _first(self) -> Integers:
        """The first slot of each set, and the end of all."""
        return np.cumsum([0, *(each.num_slots for each in self.sets)])

    @cached_property
    def _first_recording(self) -> Integers:
        return np.cumsum([0, *(len(each.frames) for each in self.sets)])

    @cached_property
    def _passes(self) -> dict[tuple[int, int], Pass]:
        return {}

    @property
    def num_slots(self) -> int:
        """How many crops the epoch has: as many as all sets together, and those that fill its last batch."""
        return -(-int(self._first[-1]) // self.batch_size) * self.batch_size

    @property
    def predictions(self) -> int:
        """How many samples the epoch predicts, as the mean over epochs."""
        whole = sum(self.dealing.parts)
        mean = sum(
            part / whole * each.predictions / each.num_slots
            for part, each in zip(self.dealing.parts, self.sets, strict=True)
        )
        return round(mean * self.num_slots)

    @property
    def order(self) -> Integers:  # type: ignore[override]  # there it is cached
        """(num_slots,) the slots in the order of the epoch."""
        return np.concatenate([self.batch(number) for number in range(self.num_batches)])

    def batch(self, number: int) -> Integers:
        """(batch_size,) slots of one global batch."""
        assert 0 <= number < self.num_batches, (number, self.num_batches)
        batch = self.epoch * self.num_batches + number
        owner, lane = self.dealing.rows(batch)
        slots = np.empty_like(owner)
        for which in range(len(self.sets)):
            mine = np.flatnonzero(owner == which)
            passes = (self.dealing.before(batch, which) + lane[mine]) // self.sets[which].num_slots
            for epoch in np.unique(passes).tolist():
                rows = mine[passes == epoch]
                slots[rows] = self._pass(which, epoch).at(batch, lane[rows])
                slots[rows] += self._first[which] + epoch * self._first[-1]
        return slots

    def windows(self, slots: Integers) -> Windows:
        """What the slots predict."""
        columns = np.zeros((3, len(slots)), dtype=np.int64)
        passes, slots = np.divmod(slots, self._first[-1])
        owner = np.searchsorted(self._first, slots, side="right") - 1
        for which, epoch in np.unique(np.stack([owner, passes], axis=1), axis=0).tolist():
            mine = (owner == which) & (passes == epoch)
            columns[:, mine] = self._pass(which, epoch).windows(slots[mine] - self._first[which])
            columns[0, mine] += self._first_recording[which]
        return Windows(*columns)

    def visits(self, rows: Integers, num_shards: int) -> Visits:
        """When these rows of the batches read which of the split's shards."""
        if not all(isinstance(each, LanePass) for each in self.sets):
            return super().visits(rows, num_shards)
        first = self.epoch * self.num_batches
        reads = zip(*self._reads(rows, first, first + self.num_batches), strict=True)
        shard, begin, end = (np.concatenate(column) for column in reads)
        sooner = np.argsort(begin, kind="stable")
        return Visits(shard[sooner], begin[sooner] - first, end[sooner] - first)

    @property
    def lead(self) -> int:
        """See `EpochPlan`."""
        return max(each.lead for each in self.sets)

    def in_use(self, num_rows: int) -> int:
        """See `EpochPlan`."""
        whole = sum(self.dealing.parts)
        return sum(
            each.in_use(-(-num_rows * part // whole) + 1)
            for part, each in zip(self.dealing.parts, self.sets, strict=True)
        )

    def _reads(self, rows: Integers, first: int, end: int) -> Iterator[Visits]:
        """Those of each set and pass, in batches from the first epoch on."""
        shards = 0
        for which, each in enumerate(self.sets):
            assert isinstance(each, LanePass)
            begin, last = (self.dealing.before(batch, which) for batch in (first, end))
            passes = range(begin // each.num_slots, (last - 1) // each.num_slots + 1 if last > begin else 0)
            lanes = self.dealing.lanes_of(rows, which)
            if len(passes) > _MOST_PASSES and len(lanes):
                every = np.arange(len(each.shards))
                yield Visits(shards + every, np.full_like(every, first), np.full_like(every, end - 1))
            else:
                for epoch in passes:
                    one = self._pass(which, epoch)
                    assert isinstance(one, LanePass)
                    reads = one.reads(lanes, first, end)
                    yield reads._replace(shard=shards + reads.shard)
            shards += len(each.shards)

    def _pass(self, which: int, epoch: int) -> Pass:
        if (which, epoch) not in self._passes:
            mine = [key for key in self._passes if key[0] == which]
            if len(mine) == _KEPT:
                self._passes.pop(max(mine, key=lambda key: abs(key[1] - epoch)))
            self._passes[which, epoch] = self.sets[which].again(epoch)
        return self._passes[which, epoch]
