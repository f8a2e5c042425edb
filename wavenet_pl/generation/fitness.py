"""Whether an engine that packs weights can generate with a network: it knows some layers, and no others."""

from __future__ import annotations

import torch
from torch import nn

from wavenet_pl.heads import Head
from wavenet_pl.layers.convolution import CausalConv1d, Pointwise
from wavenet_pl.layers.plain import what_is_changed
from wavenet_pl.layers.residual import ResidualLayer
from wavenet_pl.network import WaveNet

DISTRIBUTIONS = ("softmax", "logistics")
"""`Head.distribution` -> its place here is the number by which a compiled draw knows it."""
_KNOWN = (WaveNet, ResidualLayer, CausalConv1d, Pointwise, nn.Embedding, nn.ModuleList, nn.Dropout)


def why_not_packed(network: WaveNet, head: Head) -> str:
    """Why nobody can generate with packed weights of them; nothing where it can be done."""
    weight = next(network.parameters())
    if weight.dtype != torch.float32:
        return f"the model's weights are {str(weight.dtype).removeprefix('torch.')}"
    if head.distribution not in DISTRIBUTIONS:
        return f"it does not know how to draw from {type(head).__name__}"
    for name, module in network.named_modules():
        if changed := what_is_changed(module, _KNOWN):
            return f"{'network.' * bool(name)}{name or 'network'} {changed}"
    return ""
