"""Packed weights are copies of the network's, and tiles hold each number once, in the order in which it is read."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.generation.test_reference import CHANNELS, TINY, build
from wavenet_pl.generation.fused_gpu.packing import Weights, pack, tiles
from wavenet_pl.network import NetworkConfig

UNEVEN = NetworkConfig(
    stacks=1, layers_per_stack=2, kernel_size=3, residual_channels=5, gate_channels=14, skip_channels=9
)


def read_back(weights: Weights, side: int) -> list[torch.Tensor]:
    """The matrices, put together again tile by tile as the kernel goes through them."""
    run, position = tiles(weights, side), 0

    def column(inputs: int) -> torch.Tensor:
        nonlocal position
        number = -(-inputs // side)
        part = run[position : position + number * side * side]
        position += number * side * side
        return part.view(number * side, side)[:inputs]

    def whole(inputs: int, outputs: int, matrices: int = 1) -> list[torch.Tensor]:
        columns = [[column(inputs) for _ in range(matrices)] for _ in range(0, outputs, side)]
        return [
            torch.cat([each[number] for each in columns], dim=1)[:, :outputs] for number in range(matrices)
        ]

    read = []
    for dilated_IG, residual_IO in zip(weights.dilated, weights.residual, strict=True):
        read += [*whole(len(dilated_IG), dilated_IG.shape[1] // 2, 2), *whole(*residual_IO.shape)]
    read += [
        each for matrix in (weights.skip, weights.hidden, weights.output) for each in whole(*matrix.shape)
    ]
    assert position == len(run)
    return read


@pytest.mark.parametrize("side", [4, 16])
def test_tiles_are_read_as_the_kernel_reads_them(side: int) -> None:
    weights = pack(build(UNEVEN).float())
    expected = []
    for dilated_IG, residual_IO in zip(weights.dilated, weights.residual, strict=True):
        expected += [*dilated_IG.chunk(2, dim=1), residual_IO]
    expected += [weights.skip, weights.hidden, weights.output]
    for read, matrix in zip(read_back(weights, side), expected, strict=True):
        assert torch.equal(read, matrix)


def test_weights_are_copies() -> None:
    network = build(TINY, CHANNELS).float()
    packed = pack(network)
    before = [tensor.clone() for tensor in packed]
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1)
    assert all(torch.equal(tensor, old) for tensor, old in zip(packed, before, strict=True))
    assert not any(
        torch.equal(tensor, new) for tensor, new in zip(packed[2:], pack(network)[2:], strict=True)
    )


def test_bf16_rounds_the_matrices_and_nothing_else() -> None:
    network = build(replace(TINY, kernel_size=3), CHANNELS).float()
    exact, half = pack(network), pack(network, "bf16")
    for name, one, other in zip(Weights._fields, exact, half, strict=True):
        rounded = name in ("dilated", "residual", "skip", "hidden", "output")
        assert torch.equal(other, one.bfloat16().float() if rounded else one), name
