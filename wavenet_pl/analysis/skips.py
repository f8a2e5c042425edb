"""What the skip of each layer is worth: bits when it is replaced by its mean, alone and together with others.

Skips are only added up, so all of them are computed once, and every question is one more sum.

Shapes: W windows, T their last samples, N = W * T predictions, S skip, K head parameters, O octaves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from wavenet_pl.analysis.material import Windows
from wavenet_pl.model import Model
from wavenet_pl.network import WaveNet

Floats = npt.NDArray[np.float64]
_AT_ONCE = 4096
"""Predictions whose outputs are there at a time."""


@dataclass(frozen=True)
class Skips:
    """The skips of all layers on real audio."""

    model: Model
    """Whose head and codecs they are for."""
    network: WaveNet
    """The model's, or one in its place."""
    skips: Tensor
    """(layers, N, S)."""
    targets_N: Tensor
    """The codes to be predicted."""
    length: int
    """Predictions of each window (T)."""

    @property
    def num_layers(self) -> int:
        """How many there are."""
        return len(self.skips)

    def nats(self, kept: Collection[int]) -> Floats:
        """Nats (N,) of the predictions, in codes of the model's comparable codec, when the skips of other layers are
        their means."""
        return np.concatenate([
            self.model.comparable_nats(outputs_1KT, targets_1T)[0].double().numpy()
            for outputs_1KT, targets_1T in self._outputs(kept)
        ])  # fmt: skip

    def bits(self, kept: Collection[int]) -> float:
        """The same in bits per sample."""
        return float(self.nats(kept).mean()) / math.log(2)

    def expected(self, kept: Collection[int]) -> Floats:
        """Expected amplitudes (N,)."""
        return np.concatenate([
            self.model.head.expect(outputs_1KT, self.model.codec)[0].double().numpy()
            for outputs_1KT, _ in self._outputs(kept)
        ])  # fmt: skip

    @torch.inference_mode()
    def _outputs(self, kept: Collection[int]) -> list[tuple[Tensor, Tensor]]:
        others = [layer for layer in range(self.num_layers) if layer not in kept]
        mean_S = self.skips.mean(dim=1)[others].sum(dim=0)
        sum_NS = self.skips[sorted(kept)].sum(dim=0) + mean_S
        pieces = zip(sum_NS.split(_AT_ONCE), self.targets_N.split(_AT_ONCE), strict=True)
        return [
            (self.network.project_output(rows_NS[:, None]), targets_N[None]) for rows_NS, targets_N in pieces
        ]


def collect_skips(
    model: Model,
    network: WaveNet,
    windows: Windows,
    length: int,
    progress: Callable[[float], None] = lambda share: None,
) -> Skips:
    """The skips for the last `length` predictions of each window, of the model's network or one in its place."""
    rows, targets = [], []
    for number, (codes_1T, condition) in enumerate(windows.each()):
        with torch.inference_mode():
            layers = network.trace(codes_1T, condition, lambda made: made.skip[0, :, -length:].t()).layers
        rows.append(torch.stack(layers))
        targets.append(windows.targets_WT[number, -length:])
        progress((number + 1) / len(windows))
    return Skips(model, network, torch.cat(rows, dim=1), torch.cat(targets), length)


@dataclass(frozen=True)
class Worth:
    """Bits per sample in each case."""

    whole: float
    """With all skips."""
    none: float
    """With none: all are their means."""
    without: list[float]
    """Without one layer."""
    alone: list[float]
    """With one layer."""
    from_below: list[float]
    """Without the first layers: one, two, ... of them."""
    from_above: list[float]
    """Without the last layers."""
    stacks: list[float]
    """Without one stack."""


def measure_worth(
    skips: Skips, layers_per_stack: int, progress: Callable[[float], None] = lambda share: None
) -> Worth:
    """All cases; about four times as many as there are layers."""
    count = skips.num_layers
    everything = range(count)
    stacks = [range(first, first + layers_per_stack) for first in range(0, count, layers_per_stack)]
    cases: list[Collection[int]] = [
        everything, (),
        *([layer for layer in everything if layer != left] for left in everything),
        *((layer,) for layer in everything),
        *(range(number, count) for number in everything),
        *(range(count - number) for number in everything),
        *([layer for layer in everything if layer not in stack] for stack in stacks),
    ]  # fmt: skip
    bits = []
    for number, kept in enumerate(cases):
        bits.append(skips.bits(kept))
        progress((number + 1) / len(cases))
    ends = np.cumsum([2, count, count, count, count])
    without, alone, from_below, from_above, of_stacks = (
        bits[first:last] for first, last in zip(ends, [*ends[1:], len(bits)], strict=True)
    )
    return Worth(bits[0], bits[1], without, alone, from_below, from_above, of_stacks)


def smallest_set(
    skips: Skips, base: float, share: float = 0.95, progress: Callable[[float], None] = lambda share: None
) -> tuple[list[int], list[float]]:
    """Layers taken one by one, each the best beside those before, until a share of the gain over `base` bits is there.

    Returns: the layers in their order, and the bits after each.
    """
    whole = skips.bits(range(skips.num_layers))
    wanted = base - share * (base - whole)
    taken: list[int] = []
    bits: list[float] = []
    while len(taken) < skips.num_layers and (not bits or bits[-1] > wanted):
        left = [layer for layer in range(skips.num_layers) if layer not in taken]
        costs = [skips.bits([*taken, layer]) for layer in left]
        best = int(np.argmin(costs))
        taken.append(left[best])
        bits.append(costs[best])
        progress(len(taken) / skips.num_layers)
    return taken, bits


def octave_errors(skips: Skips) -> Floats:
    """How much louder the error of the expected amplitude is in each octave without each layer (layers, O), in dB.

    The means of rows and of columns are taken out: what is left is which octave a layer is for, more than others.
    """
    everything = range(skips.num_layers)
    targets_N = skips.model.codec.decode(skips.targets_N).double().numpy()

    def by_octave(kept: Collection[int]) -> Floats:
        error_WT = (targets_N - skips.expected(kept)).reshape(-1, skips.length)
        power_F = (np.abs(np.fft.rfft(error_WT * np.hanning(skips.length))) ** 2).mean(axis=0)
        bounds = octave_bounds(skips.length)
        return np.array([power_F[low:high].mean() for low, high in zip(bounds[1:], bounds, strict=False)])

    whole_O = by_octave(everything)
    rows = [by_octave([layer for layer in everything if layer != left]) for left in everything]
    louder = 10 * np.log10(np.array(rows) / whole_O)
    return np.asarray(
        louder - louder.mean(axis=0, keepdims=True) - louder.mean(axis=1, keepdims=True) + louder.mean()
    )


def octave_bounds(length: int) -> list[int]:
    """Bins between which octaves lie, from half the sample rate down: the octave below fs/2, below fs/4, ..."""
    return [length // 2 + 1, *(length // 2 ** (octave + 2) for octave in range(int(math.log2(length)) - 3))]
