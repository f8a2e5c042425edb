"""A network's weights as the fused GPU engine reads them: the layers one after the other, inputs before outputs.

Shapes: T taps, Q codes, K outputs, L layers, R residual, G gate, S skip, H condition, I inputs and O outputs of a
matrix.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wavenet_pl.generation.entry import entry_table
from wavenet_pl.network import WaveNet

WEIGHTS = ("float32", "bf16")
"""Number formats that matrices are kept in."""


class Weights(NamedTuple):
    """A network in the order of reading, on its device; float32, where bf16 is asked for with zeros at the end."""

    entry: Tensor
    """(T, Q, R), or (T, 1, R), as of `entry_table`."""
    amplitudes: Tensor
    """(Q,): what that is multiplied with."""
    start: Tensor
    """(R,): the first convolution's bias."""
    dilated: Tensor
    """(L, T * R, G): all taps of a layer, the earliest first."""
    dilated_bias: Tensor
    """(L, G)."""
    condition: Tensor
    """(L, H, G)."""
    residual: Tensor
    """(L, G / 2, R); zeros for the last layer, whose residual nothing reads."""
    residual_bias: Tensor
    """(L, R)."""
    skip: Tensor
    """(L * G / 2, S): of all layers at once, as all are summed."""
    skip_bias: Tensor
    """(S,): their sum."""
    hidden: Tensor
    """(S, S)."""
    hidden_bias: Tensor
    """(S,)."""
    output: Tensor
    """(S, K)."""
    output_bias: Tensor
    """(K,)."""


_MATRICES = ("dilated", "residual", "skip", "hidden", "output")


@torch.no_grad()
def pack(network: WaveNet, weights: str = "float32") -> Weights:
    """New tensors with the network's weights; bf16 keeps the upper half of each number of a matrix."""
    layers: list[Any] = list(network.layers)
    config, channels = network.config, network.condition_channels
    entry, amplitudes = entry_table(network)
    packed = Weights(
        entry=entry.contiguous(),
        amplitudes=amplitudes,
        start=_bias(network.first),
        dilated=torch.stack([layer.dilated.weight.permute(2, 1, 0).flatten(0, 1) for layer in layers]),
        dilated_bias=torch.stack([_bias(layer.dilated) for layer in layers]),
        condition=torch.stack([
            _matrix(layer.condition) if channels else entry.new_zeros(0, config.gate_channels) for layer in layers
        ]),
        residual=torch.stack([
            _matrix(layer.residual) if layer.residual is not None
            else entry.new_zeros(config.gate_channels // 2, config.residual_channels)
            for layer in layers
        ]),
        residual_bias=torch.stack([
            _bias(layer.residual) if layer.residual is not None else entry.new_zeros(config.residual_channels)
            for layer in layers
        ]),
        skip=torch.cat([_matrix(layer.skip) for layer in layers]),
        skip_bias=torch.stack([_bias(layer.skip) for layer in layers]).sum(dim=0),
        hidden=_matrix(network.hidden),
        hidden_bias=_bias(network.hidden),
        output=_matrix(network.output),
        output_bias=_bias(network.output),
    )  # fmt: skip
    if weights == "bf16":
        packed = packed._replace(**{name: getattr(packed, name).bfloat16().float() for name in _MATRICES})
    return packed


def tiles(weights: Weights, side: int) -> Tensor:
    """All matrices as one run of tiles (side, side), in the order in which the kernel takes them.

    A matrix is cut into columns of tiles, with zeros where it ends before a tile does: column after column, and in a
    column input by input. Of a layer come the columns of filter and gate by turns, and then those of the residual;
    after all layers skip, hidden and output.
    """
    run = []
    for dilated_IG, residual_IO in zip(weights.dilated, weights.residual, strict=True):
        halves = [_columns(half_IO, side) for half_IO in dilated_IG.chunk(2, dim=1)]
        run += [torch.stack(halves, dim=1), _columns(residual_IO, side)]
    run += [_columns(matrix_IO, side) for matrix_IO in (weights.skip, weights.hidden, weights.output)]
    return torch.cat([part.flatten() for part in run])


def _columns(matrix_IO: Tensor, side: int) -> Tensor:
    """(columns, tiles of a column, side, side)."""
    inputs, outputs = matrix_IO.shape
    whole_IO = F.pad(matrix_IO, (0, -outputs % side, 0, -inputs % side))
    return whole_IO.unflatten(1, (-1, side)).unflatten(0, (-1, side)).permute(2, 0, 1, 3)


def _matrix(convolution: nn.Conv1d) -> Tensor:
    return convolution.weight[:, :, 0].t().clone(memory_format=torch.contiguous_format)


def _bias(convolution: nn.Conv1d) -> Tensor:
    if convolution.bias is None:
        return convolution.weight.new_zeros(convolution.out_channels)
    return convolution.bias.detach().clone()
