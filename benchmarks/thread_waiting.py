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
from wavenet_pl.errors import UserError

WAYS: dict[str, dict[str, str]] = {
    "as torch does": {},
    "OMP_WAIT_POLICY=passive": {"OMP_WAIT_POLICY": "passive"},
    "GOMP_SPINCOUNT=1000": {"GOMP_SPINCOUNT": "1000"},
    "GOMP_SPINCOUNT=10000": {"GOMP_SPINCOUNT": "10000"},
    "KMP_BLOCKTIME=0": {"KMP_BLOCKTIME": "0"},
}
"""Which libraries read which: GNU's, that torch's wheels bring, the first four; Intel's the last."""
CROPS, CROP_SAMPLES = 4, 4000
STEPS = f"""
import sys, time, torch
from wavenet_pl.config.tree import load_config
from wavenet_pl.model import Model
torch.set_num_threads(int(sys.argv[1]))
torch.manual_seed(0)
model = Model(load_config(["unconditional", "small"], ["data.path=x"]), sample_rate=16_000)
optimizer = torch.optim.AdamW(model.parameters())
codes = torch.randint(256, ({CROPS}, {CROP_SAMPLES}))
def step():
    outputs, _ = model.network(codes)
    torch.nn.functional.cross_entropy(outputs[..., :-1], codes[:, 1:]).backward()
    optimizer.step()
    optimizer.zero_grad()
step()
print("ready", flush=True)
for line in sys.stdin:
    seconds, steps, began = float(line), 0, time.perf_counter()
    while time.perf_counter() < began + seconds:
        step()
        steps += 1
    print(steps * {CROPS * CROP_SAMPLES} / (time.perf_counter() - began), flush=True)
"""


LOADS = ("nothing", "busy loops", "a second training")
"""What runs beside the training that is measured: on every core a process that computes, or one just like it."""


class Trainer:
    """A process that trains for as long as it is told to, again and again."""

    def __init__(self, variables: dict[str, str], threads: int) -> None:
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("OMP_", "GOMP_", "KMP_"))
        }
        self._process = subprocess.Popen(
            [sys.executable, "-c", STEPS, str(threads)],
            env={**clean, **variables}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        )  # fmt: skip

    def __enter__(self) -> Trainer:
        self._read("ready")
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.communicate()

    def begin(self, seconds: float) -> None:
        """Train for so long."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{seconds}\n")

    def end(self) -> float:
        """Samples a second of the last time, once that is over."""
        return float(self._read())

    def _read(self, expected: str = "") -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.startswith(expected) or not line:
            raise UserError("a process that trains ended early; what it said is above")
        return line


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
            [stack.enter_context(Trainer(*each)) for _ in range(1 + (load == "a second training"))]
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
                    found[number].append(trainer.end())
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
