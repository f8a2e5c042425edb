"""A node that trains on a set far away, in simulated time; order and agenda of its cache are the product's own.

Its network answers after a latency and gives so many bytes a second. A keeper's threads fetch whole shards ahead, as
the agenda says; workers read what is not there yet by range, some requests at a time. Each makes the crops of its own
recordings, of as many batches at once as there are workers.

Shapes: S shards, R rows of the node, W workers of each rank.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from wavenet_pl.data.agenda import Agenda, changes
from wavenet_pl.data.keeper import THREADS
from wavenet_pl.data.lanes import LanePlan
from wavenet_pl.data.order import Integers
from wavenet_pl.shards.format import BLOCK
from wavenet_pl.shards.storage import CHUNK, IN_FLIGHT

_AHEAD = 2
"""Stretches that a worker has ready, as PyTorch's loader lets it."""


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Seconds of a core."""

    crop: float
    """To cut a crop out of a recording that is decoded; where they do not stay so, to read and decode it, too."""
    recording: float = 0.0
    """To read a recording that is near, and to decode it."""
    batch: float = 0.0
    """To hand a batch from workers to the training's process, half there and half here."""
    request: float = 0.0
    """To ask for a recording that is not near, and to answer where the server is on this machine."""
    byte: float = 0.0
    """To copy a byte of a shard, and to send it from there."""


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
    costs: Costs
    decoded: bool = False
    """Whether recordings stay decoded."""
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
        self._decoded: set[int] = set()
        self._chunks, self._copied = 0.0, 0.0

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
        batches, W = min(batches, plan.num_batches), max(1, facts.workers)
        limit, handed_over = (
            min(facts.disk, self.agenda.need(0)),
            facts.costs.batch / 2 if facts.workers else 0.0,
        )
        workers, cores, now = np.zeros(W), 0.0, 0.0
        done: list[float] = []
        waits: list[float] = []
        far_requests = 0
        for first in range(0, batches, W):
            stretch = range(first, min(first + W, batches))
            begin = done[first - _AHEAD * W - 1] if facts.workers and first > _AHEAD * W else 0.0
            seconds, work, far = self._reading(plan, stretch)
            workers = np.maximum(workers, begin if facts.workers else now) + seconds + handed_over
            work += 2 * handed_over * len(stretch) * len(facts.ranks)
            cores = max(cores, begin) + (work + facts.costs.byte * self._copied) / facts.cores
            self._copied = 0.0
            far_requests += sum(far)
            for number, here in zip(stretch, far, strict=True):
                trained = now + facts.step_seconds * (number > 0) + handed_over
                ready = max(trained, float(workers.max()), cores)
                waits.append(ready - trained)
                self._keep(number, ready - now, limit, here)
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

    def _reading(self, plan: LanePlan, stretch: range) -> tuple[npt.NDArray[np.float64], float, list[int]]:
        """Of the crops of a stretch: (W,) seconds of each worker of a rank, those of all cores, and how many are far.

        The threads of a process take turns, as they have one interpreter, and wait for answers together.
        """
        facts, costs, W = self._facts, self._facts.costs, max(1, self._facts.workers)
        ranks, rate = len(facts.ranks), facts.bandwidth
        crops, new, asked, far = np.zeros(W), np.zeros(W), np.zeros(W), []
        for number in stretch:
            slots = plan.batch(number)[self._rows]
            recordings = plan.windows(slots[slots >= 0]).recording
            crops += np.bincount(recordings % W, minlength=W)
            if facts.decoded:
                recordings = np.array(sorted(set(recordings.tolist()) - self._decoded), dtype=np.int64)
                self._decoded.update(recordings.tolist())
            new += np.bincount(recordings % W, minlength=W)
            shards = np.searchsorted(self._ends, recordings, side="right")
            away = np.array([int(shard) not in self._near for shard in shards], dtype=bool)
            asked += np.bincount(recordings[away] % W, minlength=W)
            far.append(int(away.sum()))
        alone = (costs.crop * crops + costs.recording * new + costs.request * asked) / ranks
        answers = asked / ranks / IN_FLIGHT * facts.latency + asked * self._made.recording_bytes / rate
        first = facts.latency * (stretch.start == 0 and sum(far) > 0)
        return np.maximum(alone, answers) + first, ranks * float(alone.sum()), far

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
            self._copied += taken
            self._chunks += taken / min(CHUNK, sizes[shard])
            self._under_way[shard] = self._under_way.get(shard, 0.0) + taken
            if self._under_way[shard] >= sizes[shard]:
                del self._under_way[shard]
                self._near[shard] = int(sizes[shard])
