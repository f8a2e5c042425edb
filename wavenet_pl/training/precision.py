"""Whether a precision pays on this machine, and how much memory a training takes there."""

from __future__ import annotations

import resource
import sys
import time

import torch

from wavenet_pl.model import Model

WORTH = 1.3
"""Products in bfloat16 have to be so many times as fast as in float32: what goes around them costs time as well."""


def bfloat16_speed(size: int = 512, repeats: int = 5) -> float:
    """How many times as fast as in float32 a CPU multiplies matrices in bfloat16; takes some hundredths of a second."""
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        matrix = torch.ones(size, size, dtype=dtype)
        times = []
        for _ in range(repeats):
            began = time.perf_counter()
            matrix @ matrix
            times.append(time.perf_counter() - began)
        seconds[dtype] = min(times)
    return seconds[torch.float32] / seconds[torch.bfloat16]


def warn_slow_precision(precision: str, device: torch.device) -> None:
    """Say on stderr where bf16-mixed makes a training on a CPU no faster."""
    if precision == "bf16-mixed" and device.type == "cpu":
        speed = bfloat16_speed()
        if speed < WORTH:
            print(
                f"warning: trainer.precision is bf16-mixed, and this CPU multiplies {speed:.2f} times as fast in "
                f"bfloat16 as in float32, expected {WORTH} times or more; set trainer.precision=32-true",
                file=sys.stderr,
            )


def step_gib(model: Model, crops: int, precision: str) -> float:
    """About how much memory, in GiB, a step needs beside the weights, for so many crops at a time."""
    crop_samples = model.config.data.crop_samples
    numbers = model.network.numbers_kept(model.receptive_field + crop_samples - 1, crop_samples)
    size = 8 if "64" in precision else 2 if "16" in precision else 4
    return crops * numbers * size / 2**30


def peak_gib(device: torch.device) -> float:
    """The most memory, in GiB, that this process has had on its device so far; on a CPU all of it, not only torch's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # which Linux counts in KiB
