"""Which rows of which batches are whose, where several sets share them: a pure function of a batch's number.

Batches are counted from the first epoch on. What is dealt out repeats after some batches, so the millionth costs as
much as the first.

Shapes: B rows of a batch, S sets, Q batches until the dealing repeats.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from wavenet_pl.data.order import Integers
from wavenet_pl.numbers.shares import dealt


@dataclass(frozen=True)
class Dealing:
    """Of all rows up to any batch, each set has its share within one.

    A set reads in lanes 0, 1, ...: those that it has in every batch have a row each, always the same one, and the few
    others share the rows that are left. Rows of a set are spread over the batch, and so over the ranks.
    """

    parts: tuple[int, ...]
    """(S,) of each set."""
    batch_size: int

    @property
    def period(self) -> int:
        """Q."""
        return sum(self.parts) // math.gcd(sum(self.parts), self.batch_size)

    @cached_property
    def _before(self) -> Integers:
        """(Q + 1, S) rows of each set before each batch of a period."""
        whole, order = sum(self.parts), dealt(self.parts)
        counts = np.zeros((whole + 1, len(self.parts)), dtype=np.int64)
        counts[np.arange(1, whole + 1), order] = 1
        rounds, rest = np.divmod(np.arange(self.period + 1) * self.batch_size, whole)
        return np.asarray(rounds[:, None] * np.array(self.parts) + np.cumsum(counts, axis=0)[rest])

    @cached_property
    def _counts(self) -> Integers:
        """(Q, S) rows of each set in each batch of a period."""
        return np.diff(self._before, axis=0)

    @cached_property
    def _fixed(self) -> Integers:
        """(S,) rows that each set has in every batch."""
        return np.asarray(self._counts.min(axis=0))

    @cached_property
    def _rows(self) -> tuple[Integers, Integers]:
        """(B,) set and lane of each row, with set S for the rows that lanes share."""
        rest = self.batch_size - int(self._fixed.sum())
        owner = np.array(dealt([*self._fixed.tolist(), rest]), dtype=np.int64)
        lane = np.zeros_like(owner)
        for number in range(len(self.parts) + 1):
            lane[owner == number] = np.arange((owner == number).sum())
        return owner, lane

    def rows(self, batch: int) -> tuple[Integers, Integers]:
        """(B,) set and lane of each row of a batch."""
        owner, lane = (each.copy() for each in self._rows)
        more = self._counts[batch % self.period] - self._fixed
        shared = owner == len(self.parts)
        owner[shared] = np.repeat(np.arange(len(self.parts)), more)
        lane[shared] = np.concatenate([np.arange(number) for number in more]) + self._fixed[owner[shared]]
        return owner, lane

    def lanes_of(self, rows: Integers, number: int) -> Integers:
        """The lanes of a set that some rows may read in some batch."""
        owner, lane = (each[rows] for each in self._rows)
        some = np.arange(self._fixed[number], self.lanes(number))
        return np.concatenate([lane[owner == number], some if (owner == len(self.parts)).any() else some[:0]])

    def lanes(self, number: int) -> int:
        """How many lanes a set has."""
        return int(self._counts[:, number].max())

    def before(self, batch: int, number: int) -> int:
        """How many rows a set has had before a batch."""
        rounds, rest = divmod(batch, self.period)
        return int(rounds * self._before[-1, number] + self._before[rest, number])

    def reached(self, rows: Integers, number: int) -> Integers:
        """Batches before which a set has had so many rows at least, and not before the one that has them."""
        rounds, rest = np.divmod(np.maximum(rows, 0), self._before[-1, number])
        return np.asarray(rounds * self.period + np.searchsorted(self._before[:, number], rest, side="left"))

    def turns(self, batch: Integers | int, lane: Integers, number: int) -> Integers:
        """How often lanes of a set have been read before batches."""
        rounds, rest = np.divmod(np.broadcast_to(batch, lane.shape), self.period)
        turns = np.array(np.broadcast_to(batch, lane.shape))
        for each, times in self._sometimes(number):
            mine = lane == each
            turns[mine] = rounds[mine] * len(times) + np.searchsorted(times, rest[mine], side="left")
        return turns

    def batch_of(self, turn: Integers, lane: Integers, number: int) -> Integers:
        """The batches in which lanes of a set are read for the time after so many."""
        batch = turn.copy()
        for each, times in self._sometimes(number):
            mine = lane == each
            rounds, rest = np.divmod(turn[mine], len(times))
            batch[mine] = rounds * self.period + times[rest]
        return batch

    def _sometimes(self, number: int) -> list[tuple[int, Integers]]:
        """Lanes of a set that not every batch has, and the batches of a period that have them."""
        lanes = range(int(self._fixed[number]), self.lanes(number))
        return [(lane, np.flatnonzero(self._counts[:, number] > lane)) for lane in lanes]


@lru_cache(maxsize=16)
def dealing(parts: tuple[int, ...], batch_size: int) -> Dealing:
    """The same one for all plans of a training."""
    return Dealing(parts, batch_size)
