"""Whether so many clips fit into memory: said before the first sample, and not by a kill in the middle."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from wavenet_pl.errors import UserError
from wavenet_pl.generation.job import Job
from wavenet_pl.network import WaveNet

_COPIES = 3
"""Of the state, while a step makes the next one from it."""
_LIMITS = Path("/sys/fs/cgroup")


def check_memory(network: WaveNet, job: Job) -> None:
    """Refuse a batch that has no room.

    Raises:
        UserError: says how many clips have.
    """
    free = free_bytes(network.output.weight.device)
    each = bytes_of_clip(network, job.chunk)
    if free is not None and each * len(job.lengths) > free:
        raise UserError(
            f"{len(job.lengths)} clips at a time take about {each * len(job.lengths) / 1e9:,.1f} GB of memory, and "
            f"{free / 1e9:,.1f} GB are free; make at most {max(1, free // each):,} at a time"
        )


def bytes_of_clip(network: WaveNet, chunk: int) -> int:
    """About what one more clip of a batch takes, with the condition of one chunk."""
    config, size = network.config, network.output.weight.element_size()
    state = config.receptive_field * config.residual_channels
    widest = config.gate_channels + config.skip_channels + network.output.out_channels
    return size * (_COPIES * state + widest + chunk * network.condition_channels) + 24 * chunk


def free_bytes(device: torch.device) -> int | None:
    """Memory that can still be had there; None where nobody says."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        available = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
        free = max([free, *available])
    except (OSError, ValueError):
        return None
    try:
        limit, used = ((_LIMITS / f"memory.{name}").read_text().strip() for name in ("max", "current"))
        return free if limit == "max" else min(free, int(limit) - int(used))
    except (OSError, ValueError):
        return free
