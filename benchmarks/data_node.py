"""A node that trains on a set far away, in simulated time; order and agenda of its cache are the product's own.

Its network answers after a latency and gives so many bytes a second. A keeper's threads fetch whole shards ahead, as
the agenda says; workers read what is not there yet by range, some requests at a time.

Shapes: S shards, R rows of the node.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from wavenet_pl.data.agenda import Agenda, changes
from wavenet_pl.data.keeper import THREADS
from wavenet_pl.data.lanes import LanePlan
from wavenet_pl.data.order import Integers
from wavenet_pl.shards.format import BLOCK
from wavenet_pl.shards.storage import CHUNK, IN_FLIGHT

_AHEAD = 2
"""Batches that a worker has ready, as PyTorch's loader lets it."""


@dataclass(frozen=True, kw_only=True)
class MadeSet:
    """A set of recordings of one length, of which nothing is on a disk."""

    recordings: int
    seconds: float
    """Of each."""
    per_shard: int
    sample_rate: int = 16_000
    bytes_per_sample: float = 1.1
    """Of FLAC."""

    @cached_property
    def frames(self) -> Integers:
        """(recordings,) which take no memory."""
        return np.broadcast_to(np.int64(self.seconds * self.sample_rate), self.recordings)

    @cached_property
    def shards(self) -> Integers:
        """(S,) recordings in each."""
        shards = np.full(-(-self.recordings // self.per_shard), self.per_shard)
        shards[-1] = self.recordings - self.per_shard * (len(shards) - 1)
        return shards

    @property
    def recording_bytes(self) -> int:
        """Of one."""
        return int(self.seconds * self.sample_rate * self.bytes_per_sample)

    @property
    def sizes(self) -> Integers:
        """(S,) bytes of each shard."""
        return self.shards * (self.recording_bytes + 3 * BLOCK)


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """Of one node."""

    ranks: range
    world_size: int
    batch_size: int
    crop_samples: int
    window: int
    workers: int
    """Of each rank; 0 reads in the training's own process."""
    latency: float
    """Seconds before each answer."""
    bandwidth: float
    """Bytes per second of the node."""
    disk: float
    """Bytes that copies may take."""
    step_seconds: float
    """That a batch is trained on."""
    crop_seconds: float
    """Of a core, to read and decode a crop that is near."""
    cores: int


class Node:
    """Simulates the beginning of an epoch.

    Args:
        made: what is read.
        facts: of the node.
    """

    def __init__(self, made: MadeSet, facts: Circumstances) -> None:
        self._made, self._facts = made, facts
        self._ends = np.cumsum(made.shards)
        rows = self.plan(0).rows(facts.ranks, parts=1, world_size=facts.world_size)
        self._rows = rows.ravel()
        self.agenda = Agenda(self.plan, self._rows, made.sizes)
        self._near: dict[int, int] = {}
        self._under_way: dict[int, float] = {}
        self._chunks = 0.0

    def plan(self, epoch: int) -> LanePlan:
        """The order of an epoch."""
        return LanePlan(
            frames=self._made.frames, crop_samples=self._facts.crop_samples, batch_size=self._facts.batch_size, seed=0,
            epoch=epoch, fingerprint="made", shuffle=True, shards=self._made.shards, window=self._facts.window,
        )  # fmt: skip

    @property
    def used(self) -> float:
        """Bytes of an epoch's crops of this node."""
        plan = self.plan(0)
        whole = plan.predictions * self._made.bytes_per_sample
        return whole * len(self._rows) / self._facts.batch_size

    def read(self) -> int:
        """Bytes that an epoch of this node copies."""
        visits = self.plan(0).visits(self._rows, len(self._made.shards))
        return int(self._made.sizes[visits.shard].sum())

    def run(self, batches: int) -> dict[str, Any]:
        """What happens in so many batches; `waited` is the share of the time of the last half of them."""
        facts, plan = self._facts, self.plan(0)
        batches = min(batches, plan.num_batches)
        limit = min(facts.disk, self.agenda.need(0))
        workers = [0.0] * max(1, facts.workers)
        done: list[float] = []
        waits, far_requests, now = [], 0, 0.0
        for number in range(batches):
            slots = plan.batch(number)[self._rows]
            recordings = plan.windows(slots[slots >= 0]).recording
            shards = np.searchsorted(self._ends, recordings, side="right")
            far = sum(int(shard) not in self._near for shard in shards)
            far_requests += far
            turn = number % len(workers)
            free_from = now if not facts.workers else 0.0
            if facts.workers and number >= _AHEAD * facts.workers:
                free_from = done[number - _AHEAD * facts.workers]
            begin = max(workers[turn], free_from)
            workers[turn] = begin + self._reading(len(shards), far)
            trained = now + facts.step_seconds * (number > 0)
            ready = max(trained, workers[turn])
            waits.append(ready - trained)
            self._keep(number, ready - now, limit, far)
            now = ready
            done.append(now)
        half = batches // 2
        late = done[-1] - done[half]
        return {
            "first_batch_s": done[0],
            "waited": sum(waits[half + 1 :]) / late if late else 0.0,
            "seconds": now,
            "requests": far_requests + self._chunks,
        }

    def _reading(self, crops: int, far: int) -> float:
        """Seconds that each rank's worker takes for its crops of a batch."""
        facts = self._facts
        ranks = len(facts.ranks)
        busy = ranks * max(1, facts.workers)
        core = max(1.0, busy / facts.cores) * facts.crop_seconds * crops / ranks
        asked = -(-far // ranks)
        requests = -(-asked // IN_FLIGHT) * facts.latency
        return core + requests + far * self._made.recording_bytes / facts.bandwidth

    def _keep(self, batch: int, seconds: float, limit: float, far: int) -> None:
        """The keeper goes on for so long."""
        facts, sizes = self._facts, self._made.sizes
        fetch, behind = changes(self.agenda.wanted(0, batch, int(limit)), sizes, dict(self._near))
        for shard in behind:
            del self._near[shard]
        left = max(0.0, facts.bandwidth * seconds - far * self._made.recording_bytes)
        by_thread = CHUNK / (facts.latency + CHUNK * min(THREADS, max(1, len(fetch))) / facts.bandwidth)
        left = min(left, THREADS * by_thread * seconds)
        for shard in fetch:
            if left <= 0:
                break
            taken = min(left, sizes[shard] - self._under_way.get(shard, 0.0))
            left -= taken
            self._chunks += taken / min(CHUNK, sizes[shard])
            self._under_way[shard] = self._under_way.get(shard, 0.0) + taken
            if self._under_way[shard] >= sizes[shard]:
                del self._under_way[shard]
                self._near[shard] = int(sizes[shard])
