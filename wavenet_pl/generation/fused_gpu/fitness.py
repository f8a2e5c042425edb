"""Whether the fused GPU engine can generate with a network."""

from __future__ import annotations

from wavenet_pl.generation.fitness import why_not_packed
from wavenet_pl.generation.fused_gpu.packing import WEIGHTS
from wavenet_pl.heads import Head
from wavenet_pl.network import WaveNet


def why_not(network: WaveNet, head: Head, weights: str) -> str:
    """Why the engine cannot generate with them; nothing where it can, as far as can be seen without trying."""
    device = next(network.parameters()).device
    if device.type != "cuda":
        return f"the model is on {device.type}, and it takes a CUDA device"
    if weights not in WEIGHTS:
        return f"its weights are {' or '.join(WEIGHTS)}"
    return why_not_packed(network, head)
