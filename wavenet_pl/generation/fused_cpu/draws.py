"""The compiled draws: what `heads` draws, with the same uniforms, for one prediction.

Shapes: K outputs.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

from wavenet_pl.generation.fused_cpu.vectors import exp
from wavenet_pl.numbers.compiled import OPTIONS

_F = np.float32


@numba.njit(**OPTIONS)  # type: ignore[untyped-decorator]
def draw_softmax(outputs_K: Any, uniform: Any, drawing: Any, weights_K: Any, sums_K: Any) -> Any:
    """The code (int) that `SoftmaxHead.draw` draws for outputs_K of one prediction: float32 weights, float64 sums.

    weights_K and sums_K are room to work in, of K numbers each, and are overwritten.
    """
    best = 0
    for k in range(drawing.num_outputs):
        if outputs_K[k] > outputs_K[best]:
            best = k
    if drawing.temperature == 0:
        return best
    largest, temperature = outputs_K[best], _F(drawing.temperature)
    for k in range(drawing.num_outputs):
        below = (outputs_K[k] - largest) / temperature
        weights_K[k] = exp(_F(-87) if below < _F(-87) else below)
    if drawing.top_p < 1:
        order = np.argsort(-weights_K[: drawing.num_outputs], kind="mergesort")
        total = 0.0
        for k in order:
            total += np.float64(weights_K[k])
        before = 0.0
        for k in order:
            weight = np.float64(weights_K[k])
            if before >= drawing.top_p * total:
                weights_K[k] = _F(0)
            before += weight
    total = 0.0
    for k in range(drawing.num_outputs):
        total += np.float64(weights_K[k])
        sums_K[k] = total
    code = 0
    for k in range(drawing.num_outputs - 1):
        code += sums_K[k] <= uniform * total
    return code


@numba.njit(**OPTIONS)  # type: ignore[untyped-decorator]
def draw_logistics(outputs_K: Any, uniform: Any, drawing: Any, weights_K: Any, sums_K: Any) -> Any:
    """The code (int) that `LogisticsHead.draw` draws for outputs_K of one prediction; in float64, by bisection.

    sums_K is room to work in, of K numbers, and is overwritten; weights_K is not used.
    """
    number, levels = drawing.num_outputs // 3, drawing.num_levels
    heaviest = 2 * number
    for k in range(2 * number, 3 * number):
        if outputs_K[k] > outputs_K[heaviest]:
            heaviest = k
    if drawing.temperature == 0:
        mean = np.float64(outputs_K[heaviest - 2 * number]) * (2 / levels**0.5)
        level = math.floor((mean + 1) * (levels / 2)) if math.isfinite(mean) else 0.0
        return int(min(max(level, 0.0), levels - 1.0))
    total = 0.0
    for m in range(number):  # sums_K gets the weights, then the widths
        logit = np.float64(outputs_K[2 * number + m]) - np.float64(outputs_K[heaviest])
        sums_K[m] = math.exp(logit / drawing.temperature)
        total += sums_K[m]
        scale = math.exp(min(np.float64(outputs_K[number + m]) + drawing.start, drawing.widest))
        sums_K[number + m] = (scale + 2 / levels * drawing.narrowest) * drawing.temperature
    low, high = 0, levels  # below(low) <= uniform, and below(high) is above it
    while high - low > 1:
        level = (low + high) // 2
        edge, below = level * (2 / levels) - 1, 0.0
        for m in range(number):
            mean = np.float64(outputs_K[m]) * (2 / levels**0.5)
            below += sums_K[m] / total / (1 + math.exp((mean - edge) / sums_K[number + m]))
        if below <= uniform:
            low = level
        else:
            high = level
    return low
