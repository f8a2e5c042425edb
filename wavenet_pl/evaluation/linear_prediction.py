"""Adaptive linear prediction: what the last milliseconds say of the next sample without anything being learned.

The next amplitude is a weighted sum of those before it, with the weights that were best for all samples until now, old
ones counting less (least squares with forgetting). Around it lies a Laplace distribution as wide as recent errors. The
bits of a code are those of its step under that distribution. Nothing is sent ahead: weights and width follow from
the past alone, so that the number stands beside that of a network.

Shapes: N samples, Q codes, P the past that is weighed.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from wavenet_pl.codec import Codec
from wavenet_pl.numbers.compiled import Kernel, load_kernel

Codes = npt.NDArray[np.int64]
_EVERY = 16
"""Samples after which the weights are found anew."""
_RIDGE, _LEAST_RIDGE = 1e-5, 1e-9
"""What is added to the energy of each lag: a share of it, and at least so much, as silence has none."""
_LEAST_WIDTH = 1e-5
"""Of the distribution; full scale is 1, and a step of 16 bits 3e-5."""
_UNIFORM = 2.0**-10
"""Share of a distribution in which every code is alike: no code is impossible."""


@dataclass(frozen=True)
class Setting:
    """One way to predict."""

    order: int
    """Samples that are weighed (P)."""
    memory: int
    """Samples after which one counts 1/e."""
    width_memory: int
    """The same for the errors by which the width goes."""

    def describe(self) -> str:
        """In words: ``32 samples, weights of the last 1,024, width of the last 64``."""
        return f"{self.order} samples, weights of the last {self.memory:,}, width of the last {self.width_memory:,}"


ORDERS, MEMORIES, WIDTH_MEMORIES = (16, 24, 32, 48), (64, 128, 256, 512, 1024), (8, 16, 32, 64)
"""Those that are tried on training recordings."""


class LinearPredictor:
    """Bits of recordings in the codes of a codec.

    Args:
        codec: with few enough codes to have a step each.
        setting: how it predicts.
    """

    def __init__(self, codec: Codec, setting: Setting) -> None:
        self.setting = setting
        codes = torch.arange(codec.quantization_channels)
        self._amplitudes_Q = codec.decode(codes).double().numpy()
        # A step ends in the middle between two codes, as the codec counts them; the outermost ones never end.
        inner = codec.decode(codes[1:] - 0.5).double().numpy()
        self._edges = np.concatenate([[-np.inf], inner, [np.inf]])
        self._kernel = load_kernel(score, (sys.modules[__name__],), self._warm_up)

    def nats(self, codes_N: Codes) -> npt.NDArray[np.float64]:
        """What each sample of a recording costs (N,)."""
        return self._run(self._kernel, codes_N)

    def _warm_up(self, kernel: Kernel) -> None:
        self._run(kernel, np.empty(0, np.int64))

    def _run(self, kernel: Kernel, codes_N: Codes) -> npt.NDArray[np.float64]:
        setting, nats_N = self.setting, np.empty(len(codes_N))
        kernel(
            codes_N, self._amplitudes_Q, self._edges, setting.order, math.exp(-1 / setting.memory),
            math.exp(-1 / setting.width_memory), nats_N,
        )  # fmt: skip
        return nats_N


def choose_setting(codec: Codec, recordings: Sequence[Codes]) -> Setting:
    """The one with the fewest bits on these recordings: each of its numbers in turn, with the others as they are."""

    @cache
    def cost(setting: Setting) -> float:
        predictor = LinearPredictor(codec, setting)
        return sum(float(predictor.nats(codes_N).sum()) for codes_N in recordings)

    best = Setting(ORDERS[1], MEMORIES[2], WIDTH_MEMORIES[1])
    for name, values in (("memory", MEMORIES), ("order", ORDERS), ("width_memory", WIDTH_MEMORIES)):
        best = min((replace(best, **{name: value}) for value in values), key=cost)
    return best


def score(
    codes_N: Any,
    amplitudes_Q: Any,
    edges: Any,
    order: Any,
    keep: Any,
    keep_width: Any,
    nats_N: Any,
) -> None:
    """The loop, in plain Python as well as compiled: fills ``nats_N``.

    Args:
        codes_N: of one recording.
        amplitudes_Q: of the codes.
        edges: (Q + 1,) between which the step of each code lies.
        order: P.
        keep: share of its weight that a sample has one sample later.
        keep_width: the same for an error.
        nats_N: receives what each sample costs.
    """
    past_P, weights_P = np.zeros(order), np.zeros(order)
    energy_PP, towards_P = np.zeros((order, order)), np.zeros(order)
    root_PP = np.zeros((order, order))
    width = 0.0
    for n in range(len(codes_N)):
        if n % _EVERY == 0:
            # Cholesky's root of the energies with the ridge, then both triangles.
            for row in range(order):
                ridge = _RIDGE * energy_PP[row, row] + _LEAST_RIDGE
                for column in range(row + 1):
                    value = energy_PP[row, column] + (ridge if row == column else 0.0)
                    for inner in range(column):
                        value -= root_PP[row, inner] * root_PP[column, inner]
                    if row == column:
                        root_PP[row, row] = math.sqrt(max(value, _LEAST_RIDGE))
                    else:
                        root_PP[row, column] = value / root_PP[column, column]
            for row in range(order):
                value = towards_P[row]
                for inner in range(row):
                    value -= root_PP[row, inner] * weights_P[inner]
                weights_P[row] = value / root_PP[row, row]
            for row in range(order - 1, -1, -1):
                value = weights_P[row]
                for inner in range(row + 1, order):
                    value -= root_PP[inner, row] * weights_P[inner]
                weights_P[row] = value / root_PP[row, row]
        predicted = 0.0
        for lag in range(order):
            predicted += weights_P[lag] * past_P[lag]
        code = codes_N[n]
        scale = max(width, _LEAST_WIDTH)
        below, above = (edges[code] - predicted) / scale, (edges[code + 1] - predicted) / scale
        if below >= 0:
            share = 0.5 * (math.exp(-below) - math.exp(-above))
        elif above <= 0:
            share = 0.5 * (math.exp(above) - math.exp(below))
        else:
            share = 1 - 0.5 * (math.exp(below) + math.exp(-above))
        nats_N[n] = -math.log((1 - _UNIFORM) * share + _UNIFORM / len(amplitudes_Q))
        amplitude = amplitudes_Q[code]
        width = keep_width * width + (1 - keep_width) * abs(amplitude - predicted)
        for row in range(order):
            towards_P[row] = keep * towards_P[row] + past_P[row] * amplitude
            for column in range(row + 1):
                energy_PP[row, column] = keep * energy_PP[row, column] + past_P[row] * past_P[column]
        for lag in range(order - 1, 0, -1):
            past_P[lag] = past_P[lag - 1]
        past_P[0] = amplitude
