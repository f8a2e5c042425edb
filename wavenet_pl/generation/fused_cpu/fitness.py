"""Whether the fused CPU engine can generate with a network."""

from __future__ import annotations

from wavenet_pl.generation.fitness import why_not_packed
from wavenet_pl.heads import Head
from wavenet_pl.network import WaveNet


def why_not(network: WaveNet, head: Head) -> str:
    """Why the engine cannot generate with them; nothing where it can."""
    device = next(network.parameters()).device
    if device.type != "cpu":
        return f"the model is on {device.type}"
    return why_not_packed(network, head)
