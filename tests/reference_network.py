"""The network once more, as the paper draws it: whole recordings, time last, one convolution after the other.

Another formula for what `WaveNet.forward` computes, and by autograd for its gradients.

Shapes: B batch, T time, K head parameters, H condition.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from wavenet_pl.network import WaveNet


def reference_outputs(network: WaveNet, codes_BT: Tensor, condition: Tensor | None = None) -> Tensor:
    """The outputs (B, K, T) of recordings that begin with the first code."""
    dtype = network.first.weight.dtype
    if network.embedding is not None:
        x = F.embedding(codes_BT, network.embedding.weight).transpose(1, 2)
    else:
        assert network.decode is not None
        x = network.decode(codes_BT).to(dtype)[:, None]
    x = _causal(x, network.first)
    skips: Any = 0.0
    layers: list[Any] = list(network.layers)
    for layer in layers:
        z = _causal(x, layer.dilated)
        if layer.condition is not None:
            z = z + F.conv1d(condition, layer.condition.weight)
        gate_filter, gate = z.chunk(2, dim=1)
        gated = torch.tanh(gate_filter) * torch.sigmoid(gate)
        skips = skips + F.conv1d(gated, layer.skip.weight, layer.skip.bias)
        if layer.residual is not None:
            x = (x + F.conv1d(gated, layer.residual.weight, layer.residual.bias)) * layer.residual_scale
    hidden = F.conv1d(F.relu(skips * network.config.skip_scale), network.hidden.weight, network.hidden.bias)
    return F.conv1d(F.relu(hidden), network.output.weight, network.output.bias)


def reference_nats(model: Any, batch: dict[str, Any]) -> Tensor:
    """What `Model.nats` sums, row by row from where its recording begins."""
    total = torch.zeros((), dtype=torch.float64)
    counts = batch["counted"].sum(1).tolist()
    for row, (begin, count) in enumerate(zip(batch["begin"].tolist(), counts, strict=True)):
        if count:
            codes_1T = model.codec.encode(batch["audio"][row : row + 1, begin:])
            condition = model.condition(batch, batch["audio"].shape[1] - 1)
            if condition is not None:
                condition = condition[row : row + 1]
                condition = condition if condition.shape[2] == 1 else condition[:, :, begin:]
            outputs_1KT = reference_outputs(model.network, codes_1T[:, :-1], condition)
            total = total + model.head.nats(outputs_1KT, codes_1T[:, 1:])[:, -count:].sum()
    return total


def _causal(x_BCT: Tensor, convolution: Any) -> Tensor:
    padded = F.pad(x_BCT, (convolution.context, 0))
    return F.conv1d(padded, convolution.weight, convolution.bias, dilation=convolution.dilation)
