"""How fast clips are generated, beside what the machine could do at best, and beside other implementations.

    python benchmarks/generation.py --json generation.json --peer CHECKOUT

Samples per second are those of all clips of a batch together. The roof of a row is the lower of two: as many samples as
the weights can be read for, by a plain read of as many bytes, once for each sample of the batch; and as many as their
products can be computed for, at the speed of a large matrix product. Real time is 16,000 samples per second.
"""

from __future__ import annotations

import math
import os
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.peers import load_peer
from benchmarks.records import Records, build_parser, run
from wavenet_pl.errors import UserError
from wavenet_pl.generation.choice import Choice
from wavenet_pl.generation.draw import Draw
from wavenet_pl.generation.engines import build_engine, stream
from wavenet_pl.generation.job import build_job
from wavenet_pl.heads import SoftmaxHead
from wavenet_pl.network import NetworkConfig, WaveNet
from wavenet_pl.training.utilization import multiplications

SAMPLE_RATE, CODES, STACK = 16_000, 256, 10
BATCHES = (1, 8, 64)
REPEATS = 5
"""The best of so many counts: a machine is slowed down by others, and never sped up."""
CORES = len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Size:
    """Of a network with kernel 2 and twice as many gate channels as residual ones."""

    layers: int
    residual: int
    skip: int

    @property
    def config(self) -> NetworkConfig:
        """The network's."""
        return NetworkConfig(
            stacks=self.layers // STACK, layers_per_stack=STACK, residual_channels=self.residual,
            gate_channels=2 * self.residual, skip_channels=self.skip,
        )  # fmt: skip

    @property
    def name(self) -> str:
        """For options."""
        return f"{self.layers}/{self.residual}/{self.skip}"


SIZES = {
    size.name: size
    for size in (Size(20, 32, 128), Size(30, 64, 128), Size(30, 64, 256), Size(40, 64, 1024), Size(30, 128, 256))
}  # fmt: skip


@cache
def network_of(size: Size) -> WaveNet:
    """An untrained one: what it says makes no difference to how fast it says it."""
    torch.manual_seed(0)
    return WaveNet(size.config, quantization_channels=CODES, num_parameters=CODES).eval()


def weights_read(size: Size) -> int:
    """Numbers that one sample is multiplied with."""
    return multiplications(network_of(size))


@cache
def bytes_per_second(count: int) -> float:
    """A plain read of so many bytes again and again, on one thread."""
    numbers = np.ones(max(1, count // 4), dtype=np.float32)
    times = 1 + int(5e7 / numbers.nbytes)

    def read() -> None:
        for _ in range(times):
            numbers.max()

    return numbers.nbytes * times / fastest(read)


@cache
def products_per_second(threads: int) -> float:
    """Multiply-adds of a large matrix product."""
    size = 512
    one, other = torch.ones(size, size), torch.ones(size, size)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return size**3 / fastest(lambda: torch.mm(one, other))
    finally:
        torch.set_num_threads(before)


def fastest(work: Callable[[], Any]) -> float:
    """Seconds that it takes at best, in a second of trying."""
    best, began = math.inf, time.perf_counter()
    while (start := time.perf_counter()) < began + 1:
        work()
        best = min(best, time.perf_counter() - start)
    return best


def rates(samples: Iterator[int], seconds: float) -> float:
    """Samples per second in the best of several stretches of an endless generation."""
    next(samples)
    best = 0.0
    for _ in range(REPEATS):
        made, began = 0, time.perf_counter()
        while (taken := time.perf_counter() - began) < seconds / REPEATS or not made:
            made += next(samples)
        best = max(best, made / taken)
    return best


def figures(size: Size, weights: str, threads: int, batch: int, rate: float) -> dict[str, float]:
    """What a rate means."""
    read = weights_read(size) * {"float32": 4, "bf16": 2, "int8": 1}[weights]
    by_reading = batch * bytes_per_second(read) / read
    by_products = products_per_second(threads) / weights_read(size)
    return {
        "samples_per_second": rate,
        "real_time_factor": rate / SAMPLE_RATE,
        "roof_fraction": rate / min(by_reading, by_products),
        "read_roof": by_reading,
        "product_roof": by_products,
    }


def measure_engine(size: Size, facts: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    """A row for an engine of ours."""
    network, head = network_of(size), SoftmaxHead(CODES)
    threads, batch, weights = facts["threads"], facts["batch"], facts["weights"]
    engine = build_engine(network, head, Choice(engine=facts["engine"], weights=weights, threads=threads))
    chunk = 20 if engine.name == "reference" else 200
    draw = Draw(clips=tuple(range(batch)))
    job = build_job(network, head, draw, 10**9, silence_code=CODES // 2, chunk=chunk)
    rate = rates((codes_BN.numel() for codes_BN in stream(engine, network, job)), seconds)
    return {**figures(size, weights, threads, batch, rate), "compile_seconds": engine.compile_seconds}


def measure_peer(size: Size, checkout: Path, seconds: float) -> dict[str, Any]:
    """A row for an implementation of somebody else."""
    torch.set_num_threads(1)
    name, generate = load_peer(checkout, network_of(size))

    def pieces(chunk: int = 200) -> Iterator[int]:
        while True:
            generate(chunk)
            yield chunk

    with torch.no_grad():
        rate = rates(pieces(), seconds)
    return {"peer": name, **figures(size, "float32", 1, 1, rate)}


def rows(args: Namespace) -> Iterator[tuple[dict[str, Any], Callable[[], dict[str, Any]]]]:
    """What is measured: the facts of a record, and how to find the rest."""
    seconds = 0.2 if args.quick else args.seconds
    for size in (SIZES[name] for name in args.size):
        common = {
            "benchmark": "generation", "quick": args.quick,
            "layers": size.layers, "residual": size.residual, "skip": size.skip,
        }  # fmt: skip
        reference = [("reference", "float32", 1, batch) for batch in BATCHES]
        threads = sorted({1, CORES})
        fused = [("fused-cpu", *each) for each in product(("float32", "int8"), threads, BATCHES)]
        for engine, weights, number, batch in [*reference, *fused]:
            if number > batch:
                continue  # a clip is one thread's
            facts = {**common, "engine": engine, "threads": number, "weights": weights, "batch": batch}
            yield facts, partial(measure_engine, size, facts, seconds)
        for checkout in args.peer:
            facts = {
                **common,
                "engine": f"peer {checkout.resolve().name}",
                "threads": 1,
                "weights": "float32",
            }
            yield {**facts, "batch": 1}, partial(measure_peer, size, checkout.resolve(), seconds)


def main(args: Namespace) -> int:
    """Measure what is not measured yet, and print it."""
    for checkout in args.peer:
        if not checkout.is_dir():
            raise UserError(f"--peer {checkout} is no folder, expected a checkout of another implementation")
    records = Records(args.json)
    for facts, measure in rows(args):
        row = records.measure(facts, measure)
        print(
            f"{facts['layers']}/{facts['residual']}/{facts['skip']}  {facts['engine']}  {facts['weights']}  threads "
            f"{facts['threads']}  batch {facts['batch']:>2}  {row['samples_per_second']:>11,.0f} samples/s  "
            f"{row['real_time_factor']:8.3f} x real time  {100 * row['roof_fraction']:5.1f} % of the roof",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    parser = build_parser("how fast are clips generated?")
    parser.add_argument(
        "--size", nargs="+", choices=SIZES, default=list(SIZES), help="layers/residual/skip (all)"
    )
    parser.add_argument("--seconds", type=float, default=2.5, help="of computing for each row (2.5)")
    parser.add_argument(
        "--peer", type=Path, action="append", default=[], metavar="CHECKOUT",
        help="another implementation, in a folder of its own; again for a second one",
    )  # fmt: skip
    run(main, parser.parse_args())
