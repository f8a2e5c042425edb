"""The band of frequencies that a layer answers to: its edges, its middle and how far it stands out.

Shapes: F frequencies from 0 to half the sample rate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
_SMOOTHED = 0.02
"""Each frequency is averaged with its neighbours, as far as so large a share of itself on both sides."""


@dataclass(frozen=True)
class Band:
    """From where to where the gain is at least half of the largest; frequencies as shares of the sample rate."""

    low: float
    high: float
    contrast_db: float
    """The mean gain in the octave around the middle, over that of all octaves, which count alike."""

    @property
    def middle(self) -> float:
        """Between the two edges."""
        return (self.low + self.high) / 2


def find_band(gain_F: Floats) -> Band:
    """The outermost frequencies with half of the largest gain, between neighbours on a straight line.

    Never the place of the largest gain itself: among many nearly as large it is a matter of chance.
    """
    smooth_F = smoothed(gain_F)
    frequencies_F = np.linspace(0, 0.5, len(gain_F))
    half = 0.5 * float(smooth_F[1:].max())  # -3 dB
    if half <= 0:
        return Band(math.nan, math.nan, math.nan)
    above = np.flatnonzero(smooth_F[1:] >= half) + 1
    low, high = (_crossing(smooth_F, frequencies_F, int(above[0]), -1, half),
                 _crossing(smooth_F, frequencies_F, int(above[-1]), 1, half))  # fmt: skip
    return Band(low, high, contrast_db(gain_F, (low + high) / 2))


def _crossing(smooth_F: Floats, frequencies_F: Floats, inside: int, step: int, half: float) -> float:
    outside = inside + step
    if outside < 1 or outside >= len(smooth_F):
        return float(frequencies_F[inside])
    share = (smooth_F[inside] - half) / (smooth_F[inside] - smooth_F[outside])
    return float(frequencies_F[inside] + share * (frequencies_F[outside] - frequencies_F[inside]))


def smoothed(gain_F: Floats) -> Floats:
    """Each frequency averaged with its neighbours."""
    index = np.arange(len(gain_F))
    first = np.ceil(index / (1 + _SMOOTHED)).astype(int)
    last = np.minimum(np.floor(index * (1 + _SMOOTHED)).astype(int), len(gain_F) - 1)
    sums = np.concatenate([[0.0], np.cumsum(gain_F)])
    return np.asarray((sums[last + 1] - sums[first]) / (last + 1 - first))


def contrast_db(gain_F: Floats, centre: float) -> float:
    """How far the octave around a frequency stands above the mean of all octaves, in dB; as far down as 8 bins."""
    octave_F = np.round(np.log2(np.linspace(0, 0.5, len(gain_F))[8:] / centre)).astype(int)
    octaves = {int(octave): float(gain_F[8:][octave_F == octave].mean()) for octave in np.unique(octave_F)}
    mean = float(np.mean([max(0.0, value) for value in octaves.values()]))
    own = octaves.get(0, 0.0)
    return 10 * math.log10(own / mean) if own > 0 and mean > 0 else -math.inf
