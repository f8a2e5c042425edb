"""How high a voice is, and how far a clip's is from its recording's.

Shapes: T samples, J frames, W samples of a frame, L lags.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from wavenet_pl.evaluation.judges.likeness import Tally

Audio = npt.NDArray[np.float32]

_LOWEST_HZ, _HIGHEST_HZ = 60.0, 500.0
"""From a low man's voice to a child's."""
_STEP, _FRAME = 0.01, 0.025
"""Seconds from frame to frame, and what each compares with itself."""
_APERIODIC = 0.2
"""Share of a frame's energy that may not repeat; a voice has 0.02 to 0.1, noise 0.6 and more."""
_QUIET = 1e-3
"""Share of the loudest frame's amplitude (-60 dB) below which nothing is a voice."""


def pitch(audio_T: Audio, sample_rate: int) -> npt.NDArray[np.float64]:
    """(J,) Hz every 10 ms; NaN where there is no voice.

    YIN (de Cheveigne and Kawahara, 2002): the first lag at which a frame is nearly what it was, steps 1 to 5.
    """
    shortest, longest = int(sample_rate / _HIGHEST_HZ), int(np.ceil(sample_rate / _LOWEST_HZ))
    size, step = round(_FRAME * sample_rate), round(_STEP * sample_rate)
    audio = np.asarray(audio_T, np.float64)
    num_frames = (len(audio) - size - longest - 1) // step + 1
    if num_frames < 1:
        return np.zeros(0)
    windows_JN = np.lib.stride_tricks.sliding_window_view(audio, size + longest + 1)[::step][:num_frames]
    difference_JL = _difference(windows_JN, size, longest)
    # Each difference beside the mean of those at shorter lags: a voice with strong harmonics is not taken for one of
    # them, and lag 0, at which everything is like itself, is no answer.
    lags = np.arange(1, longest + 2)
    means_JL = np.cumsum(difference_JL[:, 1:], axis=1) / lags
    relative_JL = np.ones_like(difference_JL)
    np.divide(difference_JL[:, 1:], means_JL, out=relative_JL[:, 1:], where=means_JL > 0)
    energy_J = np.sqrt((windows_JN[:, :size] ** 2).mean(axis=1))
    loud_J = energy_J > _QUIET * max(energy_J.max(), 1e-9)
    hertz_J = np.full(num_frames, np.nan)
    for frame in np.flatnonzero(loud_J):
        row_L = relative_JL[frame]
        inner = slice(shortest, longest + 1)
        dips = np.flatnonzero(
            (row_L[inner] < _APERIODIC) & (row_L[inner] <= row_L[shortest + 1 : longest + 2])
        )
        if len(dips):
            hertz_J[frame] = sample_rate / _between(row_L, shortest + int(dips[0]))
    return hertz_J


def _difference(windows_JN: npt.NDArray[np.float64], size: int, longest: int) -> npt.NDArray[np.float64]:
    """(J, L + 2) energy of a frame minus what follows each lag after it."""
    length = 2 ** int(np.ceil(np.log2(windows_JN.shape[1] + size)))
    spectra = np.fft.rfft(windows_JN, length), np.fft.rfft(windows_JN[:, :size], length)
    products_JL = np.fft.irfft(spectra[0] * spectra[1].conj(), length)[:, : longest + 2]
    sums = np.pad(np.cumsum(windows_JN**2, axis=1), ((0, 0), (1, 0)))
    energies_JL = sums[:, size : size + longest + 2] - sums[:, : longest + 2]
    return np.maximum(energies_JL[:, :1] + energies_JL - 2 * products_JL, 0)


def _between(row_L: npt.NDArray[np.float64], lag: int) -> float:
    """The lag of a dip between whole ones: that of the parabola through it and its neighbours."""
    before, here, after = row_L[lag - 1 : lag + 2]
    bend = before - 2 * here + after
    return lag + (0.5 * (before - after) / bend if bend > 0 else 0.0)


def pitch_error(recorded: Audio, made: Audio, sample_rate: int) -> Tally:
    """Cents (100 to a semitone) between the two, summed over the frames in which both have a voice."""
    one_J, other_J = pitch(recorded, sample_rate), pitch(made, sample_rate)
    cents_J = 1200 * np.abs(np.log2(one_J / other_J))
    both_J = np.isfinite(cents_J)
    return Tally(float(cents_J[both_J].sum()), float(both_J.sum()))


def voicing_error(recorded: Audio, made: Audio, sample_rate: int) -> Tally:
    """Frames in which only one of the two has a voice, of all frames."""
    one_J, other_J = (np.isfinite(pitch(each, sample_rate)) for each in (recorded, made))
    return Tally(float((one_J != other_J).sum()), float(len(one_J)))
