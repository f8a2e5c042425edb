"""How much memory a training takes, and how it is had."""

from __future__ import annotations

import ctypes
import resource

import torch

from wavenet_pl.model import Model
from wavenet_pl.network import WaveNet

_MMAP_MAX, _TRIM_THRESHOLD = -4, -1
"""Options of glibc's mallopt."""


def keep_freed_memory() -> bool:
    """Tells glibc to keep what is freed for what is allocated next; returns whether it does, for others take no advice.

    Each step frees what the next one takes again. Given back in between, every page comes anew from the kernel, which
    fills it with zeros: a tenth of a step's time on a CPU.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(_MMAP_MAX, 0) and mallopt(_TRIM_THRESHOLD, -1))


def step_gib(model: Model, crops: int, precision: str) -> float:
    """About how much memory, in GiB, a step needs beside the weights, for so many crops at a time."""
    return network_gib(model.network, model.config.data.crop_samples, crops, precision)


def network_gib(network: WaveNet, crop_samples: int, crops: int, precision: str) -> float:
    """The same of a network, and of crops of so many samples."""
    numbers = network.numbers_kept(network.receptive_field + crop_samples - 1, crop_samples)
    size = 8 if "64" in precision else 2 if "16" in precision else 4
    return crops * numbers * size / 2**30


def peak_gib(device: torch.device) -> float:
    """The most memory, in GiB, that this process has had on its device so far; on a CPU all of it, not only torch's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # which Linux counts in KiB
