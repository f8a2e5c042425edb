"""What a listener waits for: the engine, the prompt, the first sound; and whether memory grows with a long clip.

python benchmarks/generation_wait.py --json generation_wait.json
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from argparse import Namespace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.generation import CODES, SAMPLE_RATE, SIZES, network_of
from benchmarks.records import Records, build_parser, print_table, run, workplace
from wavenet_pl.generation.choice import WEIGHTS, Choice
from wavenet_pl.generation.draw import Draw
from wavenet_pl.generation.engines import Engine, build_engine, stream
from wavenet_pl.generation.job import build_job
from wavenet_pl.heads import SoftmaxHead

SIZE = SIZES["30/64/128"]
CHUNK = SAMPLE_RATE // 50
"""20 ms."""
PROMPT_SECONDS, REPEATS = 10, 9


def build(weights: str) -> Engine:
    """On one thread."""
    choice = Choice(engine="fused-cpu", weights=weights, threads=1)
    return build_engine(network_of(SIZE), SoftmaxHead(CODES), choice)


def first_chunk(engine: Engine, prompt_samples: int) -> float:
    """Seconds from asking for a clip to its first 20 ms; the middle of several times."""
    prompts = torch.randint(CODES, (1, prompt_samples))
    seconds = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        job = build_job(
            network_of(SIZE),
            SoftmaxHead(CODES),
            Draw(),
            CHUNK,
            silence_code=CODES // 2,
            prompts=prompts,
            chunk=CHUNK,
        )
        next(stream(engine, network_of(SIZE), job))
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def growth(weights: str, audio_seconds: float) -> float:
    """Megabytes by which this process is larger after a long clip than after its first tenth."""
    total = round(audio_seconds * SAMPLE_RATE)
    job = build_job(network_of(SIZE), SoftmaxHead(CODES), Draw(), total, silence_code=CODES // 2, chunk=CHUNK)
    done, early = 0, 0
    for codes_BN in stream(build(weights), network_of(SIZE), job):
        done += codes_BN.shape[1]
        early = early or (resident() if done >= total // 10 else 0)
    return (resident() - early) / 1e6


def resident() -> int:
    """Bytes of memory that this process has now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def elsewhere(expression: str, cache: Path | None = None) -> float:
    """The value of an expression over this module in a new process, with a cache of compiled code of its own."""
    caches = [f"{name}={cache}" for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")] if cache else []
    program = f"from benchmarks.generation_wait import *; print({expression})"
    done = subprocess.run(
        ["env", *caches, sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True
    )
    return float(done.stdout.split()[-1])


def measure(weights: str, audio_seconds: float, folder: Path) -> dict[str, Any]:
    """A record."""
    cache = folder / f"cache-{weights}"
    ready = f"build({weights!r}).compile_seconds"
    cold, warm = elsewhere(ready, cache), elsewhere(ready, cache)
    engine = build(weights)
    first = first_chunk(engine, 0)
    return {
        "ready_cold_seconds": cold,
        "ready_warm_seconds": warm,
        "first_chunk_seconds": first,
        "prompt_seconds": first_chunk(engine, PROMPT_SECONDS * SAMPLE_RATE) - first,
        "memory_growth_mb": elsewhere(f"growth({weights!r}, {audio_seconds})"),
    }


def main(args: Namespace) -> int:
    """Measure what is not measured yet, and print it."""
    records, audio_seconds = Records(args.json), 10 if args.quick else 600
    with workplace(args.folder) as folder:
        for weights in WEIGHTS:
            facts = {
                "benchmark": "generation-wait", "engine": "fused-cpu", "threads": 1, "weights": weights,
                "layers": SIZE.layers, "residual": SIZE.residual, "skip": SIZE.skip, "audio_seconds": audio_seconds,
            }  # fmt: skip
            records.measure(facts, partial(measure, weights, audio_seconds, folder))
    print_table(records.of("generation-wait"))
    return 0


if __name__ == "__main__":
    run(main, build_parser("what does a listener wait for?").parse_args())
