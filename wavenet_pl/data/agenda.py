"""Which shards a node needs, and when: what a cache has to know, as a pure function of the order and the position.

Shapes: S shards of a split, R rows of a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from wavenet_pl.data.order import EpochPlan, Integers, Visits

_AT_ONCE = 2**14
"""Visits that are looked at first; more are where these fit into the limit."""


@dataclass(frozen=True, eq=False)
class Agenda:
    """The shards that some rows of the batches read, from any batch on."""

    plan: Callable[[int], EpochPlan]
    """Epoch -> its order."""
    rows: Integers
    """(R,) of every batch, which the ranks of the node take."""
    sizes: Integers
    """(S,) bytes of the shards, in index order; 0 for one of which no copy is made."""
    _known: dict[int, tuple[Visits, int]] = field(default_factory=dict, init=False, repr=False)

    def wanted(self, epoch: int, batch: int, limit: int) -> list[int]:
        """The shards to have near when this batch is the next, the most urgent first, up to so many bytes."""
        visits, _ = self._visits(epoch)
        open_ones = visits.shard[visits.last >= batch]
        following, _ = self._visits(epoch + 1)
        coming = np.concatenate([open_ones, following.shard])
        length = _AT_ONCE
        while True:
            shards = self._each_once(coming[:length])
            near = np.cumsum(self.sizes[shards]) <= limit
            if length >= len(coming) or not near.all():
                return shards[near].tolist()
            length *= 4

    def _each_once(self, shards: Integers) -> Integers:
        """Those of which copies are made, where they come first."""
        positions = np.arange(len(shards))
        first = np.empty(len(self.sizes), np.int64)
        first[shards[::-1]] = positions[::-1]  # of several the last one stays
        return shards[(first[shards] == positions) & (self.sizes[shards] > 0)]

    def need(self, epoch: int) -> int:
        """Bytes of the shards that are read at a time, or are on their way to be, at most during this epoch."""
        visits, length = self._visits(epoch)
        following, _ = self._visits(epoch + 1)
        lead = self.plan(epoch).lead
        shard = np.concatenate([visits.shard, following.shard])
        begin = np.concatenate([visits.first, following.first + length]) - lead
        end = np.concatenate([visits.last, following.last + length]) + 1
        sizes = self.sizes[shard]
        changes = np.concatenate([sizes, -sizes])
        # What leaves makes room for what comes in the same moment.
        moments = np.lexsort((changes, np.concatenate([begin, end])))
        return min(int(np.cumsum(changes[moments]).max(initial=0)), int(self.sizes.sum()))

    def _visits(self, epoch: int) -> tuple[Visits, int]:
        """Those of an epoch, and how many batches it has."""
        if epoch not in self._known:
            for other in [each for each in self._known if each not in (epoch - 1, epoch + 1)]:
                self._known.pop(other, None)
            plan = self.plan(epoch)
            self._known[epoch] = plan.visits(self.rows, len(self.sizes)), plan.num_batches
        return self._known[epoch]


def changes(wanted: Sequence[int], sizes: Integers, near: dict[int, int]) -> tuple[list[int], list[int]]:
    """What is to be fetched, in this order, and what is to be removed before.

    Args:
        wanted: shards, the most urgent first.
        sizes: bytes of all shards.
        near: shard -> bytes of its copy. One of another size is half of one.
    """
    whole = {shard for shard, size in near.items() if size == sizes[shard]}
    return [shard for shard in wanted if shard not in whole], sorted(near.keys() - (whole & set(wanted)))
