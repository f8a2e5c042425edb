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
from functools import partial
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
SPAN, STEP = 100, 7
BUFFER = 1_000
ORDERS = ("whole set", "window 1", "window 2", "window 4", "window 8", f"webdataset shuffle({BUFFER})")


def frames_of(recordings: int) -> Integers:
    """Lengths between half and one and a half times the mean."""
    uniforms = counter.uniforms(counter.stream_key("lengths"), np.arange(recordings))
    return np.asarray((SLOTS - 0.5) * CROP * (0.5 + uniforms), dtype=np.int64) + 1


def read_in(order: str, recordings: int) -> Integers:
    """(batches, BATCH) the recordings of an epoch, in the order in which crops of them are read."""
    plan = EpochPlan(frames_of(recordings), CROP, BATCH, seed=0, epoch=0, fingerprint="order", shuffle=True)
    shards = np.full(recordings // PER_SHARD, PER_SHARD)
    shards[-1] += recordings - shards.sum()
    if order.startswith("window"):
        plan = LanePlan(**plan.facts, shards=shards, window=int(order.split()[1]))
    if order.startswith("webdataset"):
        read = np.fromiter(buffered(shards, plan.counts(slice(None))), dtype=np.int64)
    else:
        read = plan.windows(plan.order).recording
    return read[: len(read) // BATCH * BATCH].reshape(-1, BATCH)


def buffered(shards: Integers, counts: Integers) -> Iterator[int]:
    """The recordings of crops as they leave a buffer."""
    draws, ends = random.Random(0), np.cumsum(shards)

    def crops() -> Iterator[int]:
        for shard in draws.sample(range(len(shards)), len(shards)):
            own = np.arange(ends[shard] - shards[shard], ends[shard])
            yield from np.repeat(own, counts[own]).tolist()

    yield from webdataset.shuffle(BUFFER, rng=draws)(crops())


def measure(order: str, recordings: int) -> dict[str, Any]:
    """What mixes well has few pairs, many recordings and no drift."""
    read = read_in(order, recordings)
    speakers = counter.uniforms(counter.stream_key("speakers"), np.arange(recordings // PER_SHARD + 1))
    series = speakers[read // PER_SHARD].mean(axis=1)
    series -= series.mean()
    some = range(0, len(read) - 1, STEP)
    distinct = [len(np.unique(read[at : at + SPAN])) for at in range(0, len(read) - SPAN + 1, SPAN)]
    return {
        "pairs of a recording in a batch": np.mean([pairs(read[at], read[at]) - BATCH for at in some]) / 2,
        "pairs between neighbouring batches": np.mean([pairs(read[at], read[at + 1]) for at in some]),
        f"different recordings in {SPAN} batches": np.mean(distinct) / (SPAN * BATCH),
        "lag-1 of batch means": (series[1:] * series[:-1]).mean() / (series**2).mean(),
    }


def pairs(one: Integers, other: Integers) -> int:
    """How often a crop of one and a crop of the other are of the same recording."""
    return int((one[:, None] == other[None]).sum())


def _plain(order: str, recordings: int) -> dict[str, float]:
    return {name: round(float(value), 4) for name, value in measure(order, recordings).items()}


def main(args: argparse.Namespace) -> int:
    """Measure what is missing, and show all."""
    recordings = RECORDINGS // 10 if args.quick else RECORDINGS
    records, progress = Records(args.json), Progress("order", len(ORDERS))
    rows = []
    for order in ORDERS:
        facts = {"benchmark": "order_quality", "order": order, "recordings": recordings}
        rows.append(records.measure(facts, partial(_plain, order, recordings)))
        progress.step(order)
    print_table(rows)
    return 0


if __name__ == "__main__":
    run(main, build_parser(__doc__ or "").parse_args())
