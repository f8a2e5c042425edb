"""How torch's threads wait for each other, alone and beside a load: samples a second of training steps.

Threads that spin are a little faster alone. Beside other processes they burn the time in which the one that they wait
for could run. Each row is held against what torch does by itself in the same run.

    python benchmarks/thread_waiting.py --json thread_waiting.json
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from itertools import product

from benchmarks.records import Records, build_parser, run
from benchmarks.trainers import Shape, Trainer

WAYS: dict[str, dict[str, str]] = {
    "as torch does": {},
    "OMP_WAIT_POLICY=passive": {"OMP_WAIT_POLICY": "passive"},
    "GOMP_SPINCOUNT=1000": {"GOMP_SPINCOUNT": "1000"},
    "GOMP_SPINCOUNT=10000": {"GOMP_SPINCOUNT": "10000"},
    "KMP_BLOCKTIME=0": {"KMP_BLOCKTIME": "0"},
}
"""Which libraries read which: GNU's, that torch's wheels bring, the first four; Intel's the last."""
SHAPE = Shape(2, 8, 32, 64, crops=4)
"""The network of the `small` config."""
LOADS = ("nothing", "busy loops", "a second training")
"""What runs beside the training that is measured: on every core a process that computes, or one just like it."""


def trainer_of(variables: dict[str, str], threads: int) -> Trainer:
    """A process whose threads wait as these variables say: it loads torch before `wavenet_pl` could say otherwise."""
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_"))
    }
    return Trainer(SHAPE, {**clean, **variables}, threads=threads)


@contextmanager
def busy() -> Iterator[None]:
    """On every core a process that computes."""
    with ExitStack() as stack:
        for _ in range(len(os.sched_getaffinity(0))):
            loop = stack.enter_context(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
            stack.callback(loop.kill)
        time.sleep(0.2)
        yield


def measure(load: str, way: dict[str, str], threads: int, repeats: int, seconds: float) -> dict[str, float]:
    """Samples a second one way, and held against torch's own: in turns, as a machine may change its speed."""
    found: tuple[list[float], list[float]] = ([], [])
    with ExitStack() as stack:
        trainers = [
            [stack.enter_context(trainer_of(*each)) for _ in range(1 + (load == "a second training"))]
            for each in ((way, threads), ({}, len(os.sched_getaffinity(0))))
        ]
        for repeat in range(repeats):
            # Which of them comes first must not matter either.
            for number in (0, 1) if repeat % 2 else (1, 0):
                trainer, *others = trainers[number]
                for other in others:
                    other.begin(1.2 * seconds)
                with busy() if load == "busy loops" else nullcontext():
                    trainer.begin(seconds)
                    found[number].append(trainer.end()["predictions_per_second"])
                for other in others:
                    other.end()
    return {
        "samples_per_second": round(statistics.median(found[0])),
        "ratio": statistics.median(own / default for own, default in zip(*found, strict=True)),
    }


def main(args: Namespace) -> int:
    """Measure what is not measured yet, and print it all."""
    records = Records(args.json)
    cores = len(os.sched_getaffinity(0))
    repeats, seconds = (1, 1.0) if args.quick else (6, 2.0)
    settings = [(way, cores) for way in WAYS] + [("as torch does", 1)] * (cores > 1)
    for load, (way, threads) in product(LOADS, settings):
        facts = {"benchmark": "thread_waiting", "way": way, "threads": threads, "beside": load}
        records.measure(
            {**facts, "quick": args.quick},
            lambda: measure(load, WAYS[way], threads, repeats, seconds),  # noqa: B023
        )
    for row in records.of("thread_waiting"):
        print(
            f"{row['way']:26s} {row['threads']} threads beside {row['beside']:17s} "
            f"{row['samples_per_second']:8,d} samples/s, {row['ratio']:6.2f} of torch's own"
        )
    return 0


if __name__ == "__main__":
    run(main, build_parser("how torch's threads wait for each other, alone and beside a load").parse_args())
