"""How well an order of an epoch mixes: beside today's over the whole set, lanes of several widths and a shuffle buffer.

The set is made up: recordings of random lengths in shards, no audio. The buffer is webdataset's own, filled as a plain
pipeline fills it: shards in random order, the crops of a recording one after the other. With one speaker for each shard
a number that is the speaker's says how slowly batches drift.

    python benchmarks/order_quality.py --json order.json
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import webdataset

from benchmarks.records import Progress, Records, build_parser, print_table, run
from wavenet_pl.data.lanes import LanePlan
from wavenet_pl.data.order import EpochPlan, Integers
from wavenet_pl.numbers import counter

RECORDINGS, PER_SHARD, BATCH, CROP = 280_000, 156, 256, 16_000
SLOTS = 12.6
"""Of a recording, on the mean."""
BATCHES = 1_500
"""From the middle of an epoch."""
SPAN = 100
BUFFER = 1_000
ORDERS = ("whole set", "window 1", "window 2", "window 4", "window 8", f"webdataset shuffle({BUFFER})")


def frames_of(recordings: int) -> Integers:
    """Lengths between half and one and a half times the mean."""
    uniforms = counter.uniforms(counter.stream_key("lengths"), np.arange(recordings))
    return np.asarray((SLOTS - 0.5) * CROP * (0.5 + uniforms), dtype=np.int64) + 1


def batches_of(order: str, recordings: int, batches: int) -> Iterator[Integers]:
    """The recordings of batches that follow one another."""
    frames = frames_of(recordings)
    plan = EpochPlan(frames, CROP, BATCH, seed=0, epoch=0, fingerprint="order", shuffle=True)
    shards = np.full(recordings // PER_SHARD, PER_SHARD)
    shards[-1] += recordings - shards.sum()
    if order.startswith("window"):
        plan = LanePlan(**plan.facts, shards=shards, window=int(order.split()[1]))
    if not order.startswith("webdataset"):
        first = (plan.num_batches - batches) // 2
        for number in range(first, first + batches):
            yield plan.windows(plan.batch(number)).recording
        return
    draws = random.Random(0)
    ends = np.cumsum(shards).tolist()
    counts = plan.counts(slice(None)).tolist()

    def crops() -> Iterator[int]:
        for shard in draws.sample(range(len(shards)), len(shards)):
            for recording in range(ends[shard] - int(shards[shard]), ends[shard]):
                yield from [recording] * counts[recording]

    mixed = iter(webdataset.shuffle(BUFFER, rng=draws)(crops()))
    for _ in range(batches):
        yield np.array(list(islice(mixed, BATCH)))


def measure(order: str, recordings: int, batches: int) -> dict[str, Any]:
    """What mixes well has few pairs, many recordings and no drift."""
    speakers = counter.uniforms(counter.stream_key("speakers"), np.arange(recordings // PER_SHARD + 1))
    pairs, neighbours, means = [], [], []
    seen: list[Integers] = []
    distinct = []
    before: Integers | None = None
    for batch in batches_of(order, recordings, batches):
        counts = np.bincount(batch)
        pairs.append(int((counts * (counts - 1) // 2).sum()))
        if before is not None:
            size = max(batch.max(), before.max()) + 1
            both = np.bincount(batch, minlength=size) * np.bincount(before, minlength=size)
            neighbours.append(int(both.sum()))
        means.append(float(speakers[batch // PER_SHARD].mean()))
        seen.append(batch)
        if len(seen) == SPAN:
            distinct.append(len(np.unique(np.concatenate(seen))) / (SPAN * BATCH))
            seen = []
        before = batch
    series = np.array(means) - np.mean(means)
    return {
        "pairs of a recording in a batch": round(float(np.mean(pairs)), 3),
        "pairs between neighbouring batches": round(float(np.mean(neighbours)), 3),
        f"different recordings in {SPAN} batches": round(float(np.mean(distinct)), 4),
        "lag-1 of batch means": round(float((series[1:] * series[:-1]).mean() / (series**2).mean()), 3),
    }


def main(args: argparse.Namespace) -> int:
    """Measure what is missing, and show all."""
    recordings, batches = (28_000, 300) if args.quick else (RECORDINGS, BATCHES)
    records, progress = Records(args.json), Progress("order", len(ORDERS))
    rows = []
    for order in ORDERS:
        facts = {"benchmark": "order_quality", "order": order, "recordings": recordings, "batches": batches}
        rows.append(records.measure(facts, lambda order=order: measure(order, recordings, batches)))
        progress.step(order)
    print_table(rows)
    return 0


if __name__ == "__main__":
    run(main, build_parser(__doc__ or "").parse_args())
