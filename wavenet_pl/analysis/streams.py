"""What comes into each layer, as a spectrum: does the residual path carry the slow part of a signal down?

Shapes: N samples, F frequencies (N / 2 + 1), C channels, T time, H condition.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from wavenet_pl.layers.convolution import CausalConv1d
from wavenet_pl.network import LayerTrace, WaveNet

Floats = npt.NDArray[np.float64]


def stream_spectra(
    network: WaveNet, pieces: Iterable[tuple[Tensor, Tensor | None]], window_N: Floats
) -> Floats:
    """Power (layers, F) of what comes into each layer, all channels together, without what does not change.

    Args:
        network: in eval mode.
        pieces: codes (1, T) and condition of each.
        window_N: what the last N samples are weighed by: ones for a signal with that period.
    """
    powers: list[Floats] = []

    def power(made: LayerTrace) -> Floats:
        x_CN = made.input[0, :, -len(window_N) :].double().numpy()
        spectrum_CF = np.fft.rfft((x_CN - x_CN.mean(axis=1, keepdims=True)) * window_N)
        return np.asarray((np.abs(spectrum_CF) ** 2).sum(axis=0))

    for codes_1T, condition in pieces:
        with torch.inference_mode():
            powers.append(np.array(network.trace(codes_1T, condition, power).layers))
    return np.asarray(np.mean(powers, axis=0))


def centroid(power_F: Floats) -> float:
    """The mean frequency of a spectrum, as a share of the sample rate; the power at 0 is left out."""
    frequencies_F = np.linspace(0, 0.5, len(power_F))
    total = power_F[1:].sum()
    return float((frequencies_F[1:] * power_F[1:]).sum() / total) if total > 0 else float("nan")


@torch.no_grad()
def without_past(network: WaveNet) -> WaveNet:
    """The same network, each of whose layers sees the present alone: what is left is pointwise."""
    made = copy.deepcopy(network)
    for module in made.layers.modules():
        if isinstance(module, CausalConv1d):
            module.weight[:, :, :-1] = 0
    return made


@torch.no_grad()
def without_biases(network: WaveNet) -> WaveNet:
    """The same network with all biases 0."""
    made = copy.deepcopy(network)
    for name, parameter in made.named_parameters():
        if name.endswith(".bias"):
            parameter.zero_()
    return made


@torch.no_grad()
def without_residuals(network: WaveNet) -> WaveNet:
    """The same network, none of whose layers adds anything to the stream."""
    made = copy.deepcopy(network)
    for name, parameter in made.named_parameters():
        if ".residual." in name:
            parameter.zero_()
    return made


CHANGED: dict[str, Callable[[WaveNet], WaveNet]] = {
    "without the past": without_past,
    "without biases": without_biases,
    "without residuals": without_residuals,
}
"""What each is called -> how it is made of a network."""
