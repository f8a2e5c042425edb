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
from contextlib import contextmanager
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
sys.stdin.readline()
until, steps, began = time.perf_counter() + float(sys.argv[2]), 0, time.perf_counter()
while time.perf_counter() < until:
    step()
    steps += 1
print(steps * {CROPS * CROP_SAMPLES} / (time.perf_counter() - began))
"""


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """So many processes that use a core each and need nothing else."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def speed(variables: dict[str, str], threads: int, seconds: float, load: int) -> float:
    """Samples a second of training steps, beside so many busy processes."""
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_"))
    }
    with subprocess.Popen(
        [sys.executable, "-c", STEPS, str(threads), str(seconds)],
        env={**clean, **variables}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise UserError("a process that trains ended early; what it said is above")
        with busy(load):
            time.sleep(0.2)
            found, _ = process.communicate("go\n")
    return float(found)


def main(args: Namespace) -> int:
    """Measure what is not measured yet, and print it all."""
    records = Records(args.json)
    cores = len(os.sched_getaffinity(0))
    seconds, repeats = (1.0, 1) if args.quick else (5.0, 3)
    settings = [(way, cores) for way in WAYS] + [("as torch does", 1)] * (cores > 1)
    for load, (way, threads) in product((0, cores), settings):

        def measure(way: str = way, threads: int = threads, load: int = load) -> dict[str, float]:
            # In turns with torch's own way, so that a machine that changes its speed changes both.
            pairs = [
                (speed(WAYS[way], threads, seconds, load), speed({}, cores, seconds, load))
                for _ in range(repeats)
            ]
            return {
                "samples_per_second": round(statistics.median(own for own, _ in pairs)),
                "ratio": statistics.median(own / default for own, default in pairs),
            }

        facts = {"benchmark": "thread_waiting", "way": way, "threads": threads, "busy_loops": load}
        records.measure({**facts, "quick": args.quick}, measure)
    for row in records.of("thread_waiting"):
        print(
            f"{row['way']:26s} {row['threads']} threads beside {row['busy_loops']} loops: "
            f"{row['samples_per_second']:8,d} samples/s, {row['ratio']:6.2f} of torch's own"
        )
    return 0


if __name__ == "__main__":
    run(main, build_parser("how torch's threads wait for each other, alone and beside a load").parse_args())
