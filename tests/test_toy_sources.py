"""Each head learns made sources in seconds, to within 2 % of the entropy that they are known to have."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from wavenet_pl.codec import LinearCodec
from wavenet_pl.heads import Head, LogisticsHead, SoftmaxHead
from wavenet_pl.network import NetworkConfig, WaveNet

NETWORK = NetworkConfig(
    stacks=1, layers_per_stack=2, residual_channels=16, gate_channels=32, skip_channels=32
)
STEPS, TIME = 150, 200
Source = Callable[[int, int], Tensor]
"""Codes (batch, time) of a source, for a batch size and a seed."""


def chain(num_codes: int) -> tuple[Source, float]:
    """A Markov chain and its entropy rate in nats: that of each row of its table, weighed by how often it comes."""
    random = np.random.Generator(np.random.Philox(0))
    table = np.exp(1.5 * random.standard_normal((num_codes, num_codes)))
    table /= table.sum(axis=1, keepdims=True)
    often = np.linalg.matrix_power(table, 100)[0]
    sums = table.cumsum(axis=1)

    def draw(batch: int, seed: int) -> Tensor:
        uniforms = np.random.Generator(np.random.Philox(seed + 1)).random((TIME, batch))
        codes = np.zeros((TIME, batch), dtype=np.int64)
        for time in range(1, TIME):
            codes[time] = (
                (sums[codes[time - 1]] <= uniforms[time][:, None]).sum(axis=1).clip(0, num_codes - 1)
            )
        return torch.from_numpy(codes.T)

    return draw, float(-(often[:, None] * table * np.log(table)).sum())


def walk(num_codes: int, step: float, scale: float) -> tuple[Source, float]:
    """Half of the last amplitude, a step up or down by a coin, and logistic noise; its entropy in nats.

    That of its noise, rounded to codes: a sum over all codes where no amplitude is near full scale.
    """
    codec = LinearCodec(num_codes)
    edges = np.linspace(-1, 1, num_codes + 1)
    up, down = (0.5 + 0.5 * np.tanh((edges - middle) / scale / 2) for middle in (step, -step))
    density = np.diff(0.5 * (up + down))
    entropy = float(-(density * np.log(np.maximum(density, 1e-300))).sum())

    def draw(batch: int, seed: int) -> Tensor:
        random = np.random.Generator(np.random.Philox(seed + 1))
        noise = random.logistic(0, scale, (TIME, batch)) + step * random.choice([-1, 1], (TIME, batch))
        audio = torch.zeros(TIME, batch)
        for time in range(1, TIME):
            audio[time] = codec.decode(codec.encode(0.5 * audio[time - 1] + torch.from_numpy(noise[time])))
        return codec.encode(audio).T

    return draw, entropy


@pytest.mark.slow
@pytest.mark.parametrize(
    ("head", "source"),
    [
        (SoftmaxHead(16), chain(16)),
        (LogisticsHead(4, 64), walk(64, 0.2, 0.03)),
        (LogisticsHead(4, 65_536), walk(65_536, 0.05, 0.01)),
    ],
    ids=["softmax", "logistics over 64 codes", "logistics over 65,536 codes"],
)
def test_entropy_of_the_source_is_reached(head: Head, source: tuple[Source, float]) -> None:
    draw, entropy = source
    num_codes = head.quantization_channels if isinstance(head, LogisticsHead) else head.num_parameters
    torch.manual_seed(0)
    network = WaveNet(
        NETWORK,
        quantization_channels=num_codes,
        decode=LinearCodec(num_codes).decode,
        num_parameters=head.num_parameters,
    )
    optimizer = torch.optim.Adam(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.02, STEPS)
    batches = draw(320, 0).chunk(20)

    def nats(codes_BT: Tensor) -> Tensor:
        outputs_BKT, _ = network(codes_BT[:, :-1])
        return head.nats(outputs_BKT, codes_BT[:, 1:])[:, NETWORK.receptive_field :].mean()

    for step in range(STEPS):
        optimizer.zero_grad()
        nats(batches[step % len(batches)]).backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        found = nats(draw(400, 1)).item()
    assert found == pytest.approx(entropy, rel=0.02)
