"""Up to which frequency a recording has content: one that was made at a lower rate ends in a cliff.

Shape letters: N blocks, W samples of a block, B bands.
"""

from __future__ import annotations

from bisect import insort
from functools import cache

import numpy as np
import numpy.typing as npt

_WINDOW = 1024
_BLOCKS = 16  # of those that are loud; so few take less than a hundredth of the time that reading takes
_BANDS = 32
_LOUD = 1e-4  # of the loudest block's power: pauses say nothing
# All is measured on 280 recordings of speech and music: below nine tenths of their band the steepest cliff that nature
# or a studio made is 23 dB high, and where such a recording was brought to half its rate and back, the least is 33 dB.
_CLIFF_DB = 28.0
_LEAST_BANDS = 3  # below the cliff
_FILLED = (
    0.75  # of the bands below it have to rise so high above all that is behind it: a few tones are no band
)
_WHOLE = 0.9  # where a cliff is part of resampling from a higher rate


def find_bandwidth(audio: npt.NDArray[np.float32], sample_rate: int) -> float | None:
    """The frequency in Hz above which there is nothing, half the sample rate where there is something up to that.

    Found is a cliff of 28 dB and more, as what resamples or compresses leaves it. A slope as voices and instruments
    have it is none, nor is what vanishes in the steps of 16 bits because a recording is quiet.

    Args:
        audio: (samples,).
        sample_rate: in Hz.

    Returns:
        None where it cannot be told: there is less than a block, or nothing but silence.
    """
    blocks_NW = audio[: len(audio) // _WINDOW * _WINDOW].reshape(-1, _WINDOW)
    power_N = np.einsum("nw,nw->n", blocks_NW, blocks_NW)
    loud = np.flatnonzero(power_N > _LOUD * power_N.max(initial=0.0))
    if not len(loud):
        return None
    count = min(_BLOCKS, len(loud))
    spectrum = np.fft.rfft(blocks_NW[loud[np.arange(count) * len(loud) // count]] * _window())
    power = (np.square(spectrum.real) + np.square(spectrum.imag)).sum(axis=0)
    level_B = 10 * np.log10(power[1:].reshape(_BANDS, -1).sum(axis=1) + 1e-20)
    levels, highest_B = level_B.tolist(), np.maximum.accumulate(level_B[::-1])[::-1].tolist()
    below = sorted(levels[:_LEAST_BANDS])
    cliff, found = _CLIFF_DB, _BANDS
    for edge in range(_LEAST_BANDS, int(_WHOLE * _BANDS)):
        height = below[int((1 - _FILLED) * edge)] - highest_B[edge + 1]
        cliff, found = max((cliff, found), (height, edge))
        insort(below, levels[edge])
    return sample_rate / 2 * found / _BANDS


@cache
def _window() -> npt.NDArray[np.float32]:
    return np.hanning(_WINDOW + 1)[:-1].astype(np.float32)
