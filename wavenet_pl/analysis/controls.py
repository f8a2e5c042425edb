"""Networks that a trained one is held against: what they have as well is not what it has learned."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor

from wavenet_pl.network import WaveNet


@torch.no_grad()
def untrained(network: WaveNet, seed: int) -> WaveNet:
    """The same network as it could have begun."""
    made = copy.deepcopy(network)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made.reset_parameters()
    return made


@torch.no_grad()
def behind_trained_input(network: WaveNet, seed: int) -> WaveNet:
    """Untrained layers, behind the trained embedding and first convolution."""
    made = untrained(network, seed)
    if made.embedding is not None and network.embedding is not None:
        made.embedding.load_state_dict(network.embedding.state_dict())
    made.first.load_state_dict(network.first.state_dict())
    return made


@torch.no_grad()
def shuffled(network: WaveNet, seed: int) -> WaveNet:
    """The trained weights, in another order inside each tensor: as large as they are, and nowhere in their places."""
    made = copy.deepcopy(network)
    generator = torch.Generator().manual_seed(seed)

    def mixed(weight: Tensor) -> Tensor:
        order = torch.randperm(weight.numel(), generator=generator).to(weight.device)
        return weight.flatten()[order].view_as(weight)

    for parameter in made.parameters():
        parameter.copy_(mixed(parameter))
    return made


CONTROLS: dict[str, Callable[[WaveNet, int], WaveNet]] = {
    "untrained": untrained,
    "untrained layers behind the trained input": behind_trained_input,
    "trained weights, shuffled": shuffled,
}
"""What each is called -> how it is made of a trained network and a seed."""
