"""Whether a batch of clips fits into memory: checked before the first sample, so that no kill ends it halfway."""

from __future__ import annotations

from pathlib import Path

import torch

from wavenet_pl.errors import UserError
from wavenet_pl.generation.job import Job
from wavenet_pl.network import WaveNet

_COPIES = 3
"""Of the state, while a step makes the next one from it."""
_LIMITS = Path("/sys/fs/cgroup")
"""Of a container or a job."""


def check_memory(network: WaveNet, job: Job) -> None:
    """Refuse a batch that has no room.

    Raises:
        UserError: says how many clips have.
    """
    free = free_bytes(next(network.parameters()).device)
    each = bytes_of_clip(network, job.chunk)
    if free is not None and each * len(job.lengths) > free:
        raise UserError(
            f"{len(job.lengths)} clips at a time take about {each * len(job.lengths) / 1e9:,.1f} GB of memory, and "
            f"{free / 1e9:,.1f} GB are free; make at most {max(1, free // each):,} at a time"
        )


def check_room(num_samples: int) -> None:
    """Refuse clips that have no room together, once they are there.

    Args:
        num_samples: of all of them.

    Raises:
        UserError: says what does not need it.
    """
    free, needed = free_bytes(torch.device("cpu")), 2 * 4 * num_samples  # float32, and a copy of it
    if free is not None and needed > free:
        raise UserError(
            f"clips of {num_samples:,} samples together take about {needed / 1e9:,.1f} GB of memory, and "
            f"{free / 1e9:,.1f} GB are free; ask for less, or take them piece by piece from `stream`"
        )


def clips_with_room(network: WaveNet, chunk: int, most: int) -> int:
    """How many clips at a time take half of the free memory, from 1 to `most`."""
    free = free_bytes(next(network.parameters()).device)
    return most if free is None else min(most, max(1, free // 2 // bytes_of_clip(network, chunk)))


def bytes_of_clip(network: WaveNet, chunk: int) -> int:
    """About what one more clip of a batch takes, with the condition of one chunk."""
    config, size = network.config, next(network.parameters()).element_size()
    state = config.receptive_field * config.residual_channels
    widest = config.gate_channels + config.skip_channels + network.num_parameters
    return size * (_COPIES * state + widest + chunk * network.condition_channels) + 24 * chunk


def free_bytes(device: torch.device) -> int | None:
    """Memory in bytes that is still free on the device; None where it cannot be found out."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        free = 1024 * _numbers(Path("/proc/meminfo"))["MemAvailable"]
    except (OSError, ValueError, KeyError):
        return None
    try:
        limit, used = (int((_LIMITS / f"memory.{name}").read_text()) for name in ("max", "current"))
        # Files that were read are kept as long as nobody else wants the room.
        return min(free, limit - used + _numbers(_LIMITS / "memory.stat")["inactive_file"])
    except (OSError, ValueError, KeyError):
        return free  # there is no limit


def _numbers(path: Path) -> dict[str, int]:
    lines = (line.replace(":", " ").split() for line in path.read_text(encoding="ascii").splitlines())
    return {name: int(value) for name, value, *_ in lines}
