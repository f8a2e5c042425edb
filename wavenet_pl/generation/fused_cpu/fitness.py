"""Whether the fused CPU engine can generate with a network: it packs weights of layers that it knows, and no others."""

from __future__ import annotations

import torch
from torch import nn

from wavenet_pl.heads import Head
from wavenet_pl.network import CausalConv1d, ResidualLayer, WaveNet

DISTRIBUTIONS = ("softmax", "logistics")
"""`Head.distribution` -> its place here is the number by which the compiled draw knows it."""
_KNOWN = (WaveNet, ResidualLayer, CausalConv1d, nn.Conv1d, nn.Embedding, nn.ModuleList, nn.Dropout)


def why_not(network: WaveNet, head: Head) -> str:
    """Why the engine cannot generate with them; nothing where it can."""
    weight = next(network.parameters())
    if weight.device.type != "cpu":
        return f"the model is on {weight.device.type}"
    if weight.dtype != torch.float32:
        return f"the model's weights are {str(weight.dtype).removeprefix('torch.')}"
    if head.distribution not in DISTRIBUTIONS:
        return f"it does not know how to draw from {type(head).__name__}"
    return next((reason for name, each in network.named_modules() if (reason := _changed(name, each))), "")


def _changed(name: str, module: nn.Module) -> str:
    """What makes a module compute something else than its weights say; nothing where they say it all."""
    called = f"network.{name}" if name else "network"
    if type(module) not in _KNOWN:  # a subclass computes what it likes, and a parametrised layer is one
        return f"{called} is a {type(module).__name__}, which it does not know"
    own = next((method for method in vars(module) if callable(getattr(type(module), method, None))), "")
    if own:
        return f"{called} has a {own} of its own"
    hooks = (module._forward_pre_hooks, module._forward_hooks)
    if any(hooks):
        return f"{called} has a hook, which may change what it computes"
    return ""
