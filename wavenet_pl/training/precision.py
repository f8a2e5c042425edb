"""Whether a precision pays on this machine."""

from __future__ import annotations

import sys
import time

import torch

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
