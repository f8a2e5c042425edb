"""How much of what a device can compute is used: model FLOPs utilization (MFU; Chowdhery et al., 2022, appendix B)."""

from __future__ import annotations

import re

import torch

TRAINING_FLOPS = 6
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
