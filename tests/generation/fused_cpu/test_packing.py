"""Packed weights are the network's, whatever its shape; 8 bits keep them to half a step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.generation.test_reference import CHANNELS, TINY, build
from wavenet_pl.generation.fused_cpu.packing import Weights, pack, padded, panels, remember


def test_panels_hold_each_number_once_and_input_by_input() -> None:
    matrix_IO = np.arange(3 * 112, dtype=np.float32).reshape(3, 112)
    packed = panels(matrix_IO)
    wide, rest = packed[: 3 * 64].reshape(3, 64), packed[3 * 64 :]
    np.testing.assert_array_equal(wide, matrix_IO[:, :64])
    np.testing.assert_array_equal(rest[: 3 * 32].reshape(3, 32), matrix_IO[:, 64:96])
    np.testing.assert_array_equal(rest[3 * 32 :].reshape(3, 16), matrix_IO[:, 96:])


@pytest.mark.parametrize(("number", "whole"), [(0, 0), (1, 16), (16, 16), (17, 32)])
def test_channels_are_padded_to_whole_vectors(number: int, whole: int) -> None:
    assert padded(number) == whole


def test_every_weight_is_packed() -> None:
    network = build(replace(TINY, kernel_size=3), CHANNELS).float()
    packed = pack(network)
    table = [network.embedding.weight, network.first.weight]  # these two are multiplied
    for parameter in network.parameters():
        if all(parameter is not other for other in table):
            values = parameter.detach().numpy().ravel()
            arrays = (packed.matrices, packed.biases, packed.condition, packed.start)
            assert any(np.isin(values, array).all() for array in arrays), parameter.shape


def test_bias_stands_where_its_output_does() -> None:
    network = build(condition_channels=CHANNELS).float()
    packed = pack(network)
    assert len(packed.scales) == len(packed.biases)
    assert len(packed.condition) == padded(CHANNELS) * len(network.layers) * packed.gate_channels
    last = packed.biases[-padded(network.output.out_channels) :]
    np.testing.assert_array_equal(last[: network.output.out_channels], network.output.bias.detach())


def decoded(packed: Weights, first: int, inputs: int, outputs: int) -> np.ndarray:
    """A matrix of one narrow panel, as numbers."""
    steps = packed.matrices[first : first + inputs * outputs].reshape(inputs, outputs)
    return steps * packed.scales[:outputs]


def test_eight_bits_keep_a_weight_to_half_a_step() -> None:
    network = build().float()
    exact, coarse = pack(network), pack(network, "int8")
    assert coarse.matrices.dtype == np.int8 and exact.matrices.size == coarse.matrices.size
    inputs, outputs = 2 * 16, exact.gate_channels
    difference = np.abs(decoded(exact, 0, inputs, outputs) - decoded(coarse, 0, inputs, outputs))
    assert difference.max() > 0 and (difference <= coarse.scales[:outputs] * 0.501).all()


@pytest.mark.parametrize("weights", ["float32", "int8"])
def test_what_is_no_number_is_not_lost(weights: str) -> None:
    network = build().float()
    with torch.no_grad():
        network.hidden.weight[0, 0] = float("nan")
    packed = pack(network, weights)
    assert np.isnan(packed.matrices).any() or np.isnan(packed.scales).any()


def test_memory_is_the_state() -> None:
    network, inputs_BT = build().float(), torch.arange(12).reshape(2, 6)
    with torch.no_grad():
        _, state = network(inputs_BT[:, :-1])
    memory = remember(network, state, inputs_BT)
    assert memory.codes.tolist() == [[4, 5], [10, 11]]
    first = 0
    for past_PBR in state[1:]:
        rows = memory.rings[first : first + len(past_PBR), :, : past_PBR.shape[2]]
        np.testing.assert_array_equal(rows, past_PBR)
        first += len(past_PBR)


def test_before_a_recording_there_is_no_code() -> None:
    network = build(replace(TINY, kernel_size=3)).float()
    memory = remember(network, None, torch.tensor([[7]]))
    assert memory.codes.tolist() == [[-1, -1, 7]]
    assert not memory.rings.any()
