"""A network whose weights were written by hand, so that what each layer hears is known: the essay's own WaveNet.

Amplitude is in one channel; each layer's filter is a difference over its dilation, its gate is open, and its residual
makes of the stream the mean of the two samples. So layer k sees the Haar wavelet of its scale.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from wavenet_pl.codec import Codec, LinearCodec
from wavenet_pl.config.model import NetworkConfig
from wavenet_pl.network import WaveNet

EPSILON = 1e-4
CODEC = LinearCodec(256)


@torch.no_grad()
def haar_network(
    num_layers: int = 6,
    *,
    summing: bool,
    codec: Codec = CODEC,
    residual: float = -0.5,
    stacks: int = 1,
    channels: int = 2,
) -> WaveNet:
    """The network, in float64.

    Args:
        num_layers: in a stack.
        summing: whether the first convolution adds the sample before; else it passes the amplitude through.
        codec: whose amplitudes come in.
        residual: how much of the difference a layer adds to the stream: -0.5 makes it a mean.
        stacks: of layers.
        channels: of the stream and of the gate; one is used, and controls have all.
    """
    config = NetworkConfig(
        stacks=stacks, layers_per_stack=num_layers, residual_channels=channels, gate_channels=2 * channels,
        skip_channels=stacks * num_layers,
    )  # fmt: skip
    network = WaveNet(config, quantization_channels=codec.quantization_channels).double().eval()
    for parameter in network.parameters():
        parameter.zero_()
    assert network.embedding is not None
    network.embedding.weight[:, 0] = codec.decode(torch.arange(codec.quantization_channels)).double()
    network.first.weight[0, 0] = torch.tensor([0.5, 0.5] if summing else [0.0, 1.0], dtype=torch.float64)
    for number, layer in enumerate(network.layers):
        layer.dilated.weight[0, 0] = torch.tensor([-EPSILON, EPSILON], dtype=torch.float64)  # filter
        layer.dilated.bias[channels:] = 40.0  # gate
        layer.skip.weight[number, 0, 0] = 1 / EPSILON
        if layer.residual is not None:
            layer.residual.weight[0, 0, 0] = residual / EPSILON
    return network


def transfer(network: WaveNet, *, summing: bool, residual: float = -0.5) -> npt.NDArray[np.complex128]:
    """What the gated channel of each layer makes of each frequency (layers, F), on a period of 64 times the field."""
    dilations = network.config.dilations
    turns_F = np.exp(-2j * np.pi * np.fft.rfftfreq(period_of(network)))
    stream_F = (1 + turns_F) / 2 if summing else np.ones_like(turns_F)
    rows = []
    for dilation in dilations:
        difference_F = stream_F * (1 - turns_F**dilation)
        rows.append(EPSILON * difference_F)
        stream_F = stream_F + residual * difference_F
    return np.array(rows)


def period_of(network: WaveNet) -> int:
    """Long enough for the lowest band to be seen."""
    return 128 * int(max(network.config.dilations))


def haar_edges(layer: int, *, summing: bool) -> tuple[float, float]:
    """The -3 dB edges of a layer of one stack, as shares of the sample rate, from the formula on a fine grid."""
    grid = np.linspace(1e-7, 0.5, 2_000_001)
    gain = np.abs(1 - np.exp(-2j * np.pi * grid * 2**layer)) ** 2
    for before in range(layer):
        gain *= np.cos(np.pi * grid * 2**before) ** 2
    gain *= np.cos(np.pi * grid) ** 2 if summing else 1
    above = np.flatnonzero(gain >= gain.max() / 2)
    return float(grid[above[0]]), float(grid[above[-1]])
