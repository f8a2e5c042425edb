"""Up to which frequency a recording has content: one that was made at a lower rate ends in a cliff.

Shape letters: N blocks, W samples of a block, B bands.
"""

from __future__ import annotations

from bisect import insort
from functools import cache

import numpy as np
import numpy.typing as npt

_WINDOW = 1024
_HEARD = 64  # blocks, all over the recording; those that are loud among them
_BLOCKS = 8  # of the loud ones: so few take some hundredths of the time that eight seconds of audio take
_BANDS = 32
_KAISER = 14.0  # its side lobes are 100 dB down: what leaks out of a tone makes no slope that ends in a cliff
_LOUD = 1e-4  # of the loudest block's power: pauses say nothing
# Of 691 recordings of speech and music the steepest cliff below eight tenths of the band is 20 dB high. Where they were
# brought to half their rate and back, the least is 22 dB, in spoken digits, and 28 dB in what is longer than a second.
_CLIFF_DB = 25.0
_LEAST_BANDS = 4  # below the cliff
# Of the bands below the cliff, and of the bins of each: so many are above all that is behind it. Tones fill no band.
_FILLED = 0.75
_WHOLE = 0.9  # where a cliff is part of resampling from a higher rate


def find_bandwidth(audio: npt.NDArray[np.float32], sample_rate: int) -> float | None:
    """The frequency in Hz above which there is nothing, half the sample rate where there is something up to that.

    Found is a cliff of 25 dB and more, as what resamples or compresses leaves it. A slope as voices and instruments
    have it is none, nor is what vanishes in the steps of 16 bits because a recording is quiet.

    Args:
        audio: (samples,).
        sample_rate: in Hz.

    Returns:
        None where it cannot be told: there is less than a block, or nothing but silence.
    """
    blocks_NW = audio[: len(audio) // _WINDOW * _WINDOW].reshape(-1, _WINDOW)
    blocks_NW = blocks_NW[_spread(len(blocks_NW), _HEARD)]
    power_N = np.einsum("nw,nw->n", blocks_NW, blocks_NW)
    loud = np.flatnonzero(power_N > _LOUD * power_N.max(initial=0.0))
    if not len(loud):
        return None
    spectrum = np.fft.rfft(blocks_NW[loud[_spread(len(loud), _BLOCKS)]] * _window())
    power = (np.square(spectrum.real) + np.square(spectrum.imag)).sum(axis=0)
    bins_BW = 10 * np.log10(np.sort(power[1:].reshape(_BANDS, -1), axis=1) + 1e-20)
    levels = bins_BW[:, int((1 - _FILLED) * bins_BW.shape[1])].tolist()
    highest_B = np.maximum.accumulate(bins_BW[::-1, -1])[::-1].tolist()
    below, heights = sorted(levels[:_LEAST_BANDS]), {}
    for edge in range(_LEAST_BANDS, int(_WHOLE * _BANDS)):
        heights[edge] = below[int((1 - _FILLED) * edge)] - highest_B[edge + 1]
        insort(below, levels[edge])
    least = max(_CLIFF_DB, max(heights.values()) / 2)  # a cliff begins where half of it is behind
    edge = next((edge for edge, height in heights.items() if height >= least), _BANDS)
    return sample_rate / 2 * edge / _BANDS


def _spread(count: int, most: int) -> npt.NDArray[np.int64]:
    """Positions of so many out of all, at equal distances."""
    return np.arange(min(count, most)) * count // min(count, most) if count else np.arange(0)


@cache
def _window() -> npt.NDArray[np.float32]:
    return np.kaiser(_WINDOW, _KAISER).astype(np.float32)
