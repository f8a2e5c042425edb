"""How much of what a device can compute is used: model FLOPs utilization (MFU; Chowdhery et al., 2022, appendix B)."""

from __future__ import annotations

import re
from typing import Any

import torch

from wavenet_pl.inputs.frames import Frames
from wavenet_pl.model import Model
from wavenet_pl.network import WaveNet

FLOPS = 6
"""Of each multiplication of a prediction: it and its addition, forward; and twice as many for the gradients."""
PEAKS: dict[str, tuple[float, float]] = {
    "H200 NVL": (60, 835),
    "H200": (67, 989),
    "H100 NVL": (60, 835),
    "H100 PCIe": (51, 756),
    "H100": (67, 989),
    "A100": (19.5, 312),
    "L40S": (91.6, 362),
    "L4": (30.3, 121),
}
"""Words of a GPU's name -> TFLOP/s by its maker's datasheet, in float32 and of dense 16-bit matrices. First come, first
served.
"""


def multiplications(network: WaveNet, local_condition: bool = False) -> int:
    """How many numbers a prediction is multiplied with, forward: the matrices of the layers and of the outputs.

    Of the first convolution's there is a row or two to look up.

    Args:
        network: whose.
        local_condition: whether there is one that changes from sample to sample, so that its matrices count too.
    """
    layers: list[Any] = list(network.layers)
    parts = [
        part for layer in layers for part in (layer.dilated, layer.residual, layer.skip) if part is not None
    ]
    parts += [network.hidden, network.output, *(layer.condition for layer in layers if local_condition)]
    return sum(weight.numel() for part in parts for weight in part.parameters() if weight.ndim > 1)


def training_flops(model: Model) -> int:
    """Of a prediction, with its gradients."""
    return FLOPS * multiplications(model.network, any(isinstance(each, Frames) for each in model.inputs))


def peak_flops(device: torch.device, precision: str) -> float | None:
    """FLOP/s that a device has at best; None for a CPU, and for a GPU that is not in the table.

    Args:
        device: of the training.
        precision: as Lightning calls it.
    """
    if device.type != "cuda" or "64" in precision:
        return None
    return peak_of(torch.cuda.get_device_name(device), half="16" in precision)


def peak_of(name: str, *, half: bool) -> float | None:
    """The same of a GPU by its name, whole: one that is cut into several has no known share of it."""
    words = re.findall(r"\w+", name.lower())
    for known, peaks in PEAKS.items():
        if "mig" not in words and set(known.lower().split()) <= set(words):
            return 1e12 * peaks[half]
    return None
