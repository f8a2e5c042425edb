"""A network's weights as flat arrays, in the order in which the fused CPU engine reads them.

Channels are padded with zeros to whole vectors, so that the loop has no remainders; a channel of zeros stays zero.

Shapes: B batch, P past, T taps, Q codes, K outputs, L layers, R residual, G gate, S skip, H condition, I inputs and
O outputs of a matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from wavenet_pl.generation.entry import entry_table
from wavenet_pl.generation.fused_cpu.vectors import LANES, PANELS
from wavenet_pl.network import WaveNet

Array = npt.NDArray[Any]


class Weights(NamedTuple):
    """A network in the order of reading."""

    matrices: Array
    """Of each layer the taps (T * R, G), then residual and skip (G / 2, R + S); hidden (S, S) and output (S, K)."""
    scales: Array
    """What each output of a matrix is multiplied with: first the condition's, then in the order of the matrices."""
    biases: Array
    """What is added to it, in the same order."""
    entry: Array
    """(T, Q, R): what each tap of the first convolution makes of each code, or (T, 1, R) of an amplitude of 1."""
    amplitudes: Array
    """(Q,): what that is multiplied with."""
    start: Array
    """(R + S,): the first convolution's bias."""
    condition: Array
    """(H, L * G), float32."""
    dilations: Array
    """(L,)."""
    gate_channels: int
    residual_scale: np.float32
    skip_scale: np.float32


class Memory(NamedTuple):
    """What clips remember of their past: changed in place."""

    rings: Array
    """(all contexts, C, R): the past of each dilated convolution, sample by sample, each in its own circle of rows."""
    codes: Array
    """(C, T): the newest inputs, the last of them still to come in; -1 before the recording."""


def pack(network: WaveNet, weights: str = "float32") -> Weights:
    """New arrays with the network's weights.

    Args:
        network: of any device and type.
        weights: bf16 keeps the upper half of each number; int8 of each matrix's outputs the largest weight as 127
            steps of a scale.
    """
    config = network.config
    residual, half, skip = (
        padded(number)
        for number in (config.residual_channels, config.gate_channels // 2, config.skip_channels)
    )
    taps, gate = config.kernel_size, 2 * half
    layers: Any = network.layers  # each a ResidualLayer
    matrices, scales, biases = [], [np.ones(0, np.float32)], [np.zeros(0, np.float32)]

    def add(matrix_IO: Array, bias_O: Array) -> None:
        stored_IO, scale_O = _stored(matrix_IO, weights)
        matrices.append(panels(stored_IO))
        scales.append(scale_O)
        biases.append(bias_O)

    condition_LGH = np.zeros((len(layers), gate, padded(network.condition_channels)), np.float32)
    if network.condition_channels:
        scales.append(np.ones(len(layers) * gate, np.float32))
        biases.append(np.zeros(len(layers) * gate, np.float32))
        for number, layer in enumerate(layers):
            condition_GH = _halves(_array(layer.condition.weight)[:, :, 0], half)
            condition_LGH[number, :, : network.condition_channels] = condition_GH
    for layer in layers:
        taps_GTR = np.zeros((gate, taps, residual), np.float32)
        taps_GTR[:, :, : config.residual_channels] = _halves(_array(layer.dilated.weight), half).transpose(
            0, 2, 1
        )
        add(taps_GTR.reshape(gate, -1).T, _halves(_bias(layer.dilated), half))
        both_OI, both_O = np.zeros((residual + skip, half), np.float32), np.zeros(residual + skip, np.float32)
        # The last layer's residual stays zero: nothing reads it.
        for first, branch in ((0, layer.residual), (residual, layer.skip)):
            if branch is not None:
                last = first + branch.out_channels
                both_OI[first:last, : config.gate_channels // 2] = _array(branch.weight)[:, :, 0]
                both_O[first:last] = _bias(branch)
        add(both_OI.T, both_O)
    for convolution in (network.hidden, network.output):
        number = convolution.out_channels
        last_OI, last_O = np.zeros((padded(number), skip), np.float32), np.zeros(padded(number), np.float32)
        last_OI[:number, : config.skip_channels] = _array(convolution.weight)[:, :, 0]
        last_O[:number] = _bias(convolution)
        add(last_OI.T, last_O)
    entry, amplitudes = _entry(network, residual)
    start = np.zeros(residual + skip, np.float32)
    start[: config.residual_channels] = _bias(network.first)
    return Weights(
        np.concatenate(matrices),
        np.concatenate(scales),
        np.concatenate(biases),
        entry,
        amplitudes,
        start,
        panels(condition_LGH.reshape(len(layers) * gate, -1).T),
        np.array(config.dilations, np.int64),
        gate,
        np.float32(config.residual_scale),
        np.float32(config.skip_scale),
    )


def remember(network: WaveNet, state: Sequence[Tensor] | None, inputs: Sequence[Tensor] | Tensor) -> Memory:
    """The memory of clips after a state.

    Args:
        network: whose state it is.
        state: what the network returned for all inputs but the last; None where there are no others.
        inputs: codes (T,) of each clip; the last of them is still to come in.
    """
    config, batch = network.config, len(inputs)
    contexts = [(config.kernel_size - 1) * dilation for dilation in config.dilations]
    rings = np.zeros((sum(contexts), batch, padded(config.residual_channels)), np.float32)
    codes = np.full((batch, config.kernel_size), -1, np.int64)
    for codes_T, inputs_T in zip(codes, inputs, strict=True):
        newest_T = inputs_T[-config.kernel_size :].cpu().numpy()
        codes_T[config.kernel_size - len(newest_T) :] = newest_T
    if state is not None:
        rings[:, :, : config.residual_channels] = _array(torch.cat(list(state[1:])))
    return Memory(rings, codes)


def padded(number: int) -> int:
    """The next whole number of vectors."""
    return -(-number // LANES) * LANES


def _array(tensor: Tensor) -> Array:
    return np.asarray(tensor.detach().to("cpu", torch.float32).numpy())


def _bias(convolution: nn.Conv1d) -> Array:
    return (
        np.zeros(convolution.out_channels, np.float32)
        if convolution.bias is None
        else _array(convolution.bias)
    )


def _halves(rows: Array, half: int) -> Array:
    """Filter and gate, each padded to ``half`` rows."""
    padding = [(0, half - len(rows) // 2), *[(0, 0)] * (rows.ndim - 1)]
    return np.concatenate([np.pad(part, padding) for part in np.split(rows, 2)])


def _entry(network: WaveNet, residual: int) -> tuple[Array, Array]:
    """The table of the first convolution and what its rows are multiplied with."""
    table_TQR, amplitudes_Q = entry_table(network)
    table = np.zeros((*table_TQR.shape[:2], residual), np.float32)
    table[:, :, : table_TQR.shape[2]] = _array(table_TQR)
    return table, _array(amplitudes_Q)


def _stored(matrix_IO: Array, weights: str) -> tuple[Array, Array]:
    """A matrix as it is kept, and the scale of each output."""
    if weights == "float32":
        return matrix_IO, np.ones(matrix_IO.shape[1], np.float32)
    if weights == "bf16":
        rounded_IO = torch.from_numpy(np.ascontiguousarray(matrix_IO)).bfloat16()
        return rounded_IO.view(torch.int16).numpy().view(np.uint16), np.ones(matrix_IO.shape[1], np.float32)
    scale_O = np.abs(matrix_IO).max(axis=0) / np.float32(127)
    steps_IO = np.rint(matrix_IO / np.where(scale_O > 0, scale_O, 1))
    return np.nan_to_num(steps_IO).astype(np.int8), scale_O  # the scale of what is not finite is not finite


def panels(matrix_IO: Array) -> Array:
    """The numbers of a matrix, panel by panel; in a panel input by input."""
    pieces, first = [], 0
    for vectors in PANELS:
        width = vectors * LANES
        while first + width <= matrix_IO.shape[1]:
            pieces.append(matrix_IO[:, first : first + width].ravel())
            first += width
    return np.concatenate(pieces) if pieces else np.zeros(0, matrix_IO.dtype)
