"""How far the spectra of a clip are from its recording's, frame by frame: frame j of one beside frame j of the other.

Shapes: T samples, J frames, K frequencies, F bands, D coefficients.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from wavenet_pl.audio.mel import MelSettings, mel_frames
from wavenet_pl.evaluation.judges.likeness import Tally

Audio = npt.NDArray[np.float32]

_WINDOW, _STEP = 0.032, 0.008
"""Seconds of a frame, and from frame to frame."""
_FLOOR_DB = -100.0
"""Levels below are taken for it: 16 bits end there, and digital silence has no level."""
_QUIET_DB = -50.0
"""Frames of the recording that are so far below its loudest one do not count: nothing is said in them."""
_BANDS, _COEFFICIENTS = 80, 24
"""Of a mel cepstrum; the first coefficient, which is the level, is left out."""


def mel_cepstral_distortion(recorded: Audio, made: Audio, sample_rate: int) -> Tally:
    """dB between mel cepstra (Kubichek, 1993), summed over the frames in which something is said.

    Of 24 coefficients of 80 bands in dB, without the level. With coefficients of an orthonormal cosine transform it is
    the root mean square over the bands of the difference of the two spectra, smoothed.
    """
    step = round(_STEP * sample_rate)
    settings = MelSettings(step, round(_WINDOW * sample_rate), _BANDS, 55.0, 0.475 * sample_rate, _FLOOR_DB)
    one_JF, other_JF = (
        -_FLOOR_DB * (mel_frames(each, sample_rate, settings).astype(np.float64) - 1)
        for each in (recorded, made)
    )
    middles_F = (np.arange(_BANDS) + 0.5) * np.pi / _BANDS
    cosines_FD = np.sqrt(2 / _BANDS) * np.cos(np.outer(middles_F, np.arange(1, _COEFFICIENTS + 1)))
    distances_J = np.sqrt((((one_JF - other_JF) @ cosines_FD) ** 2).sum(axis=1) / _BANDS)
    return _tally(distances_J, one_JF)


def log_spectral_distance(recorded: Audio, made: Audio, sample_rate: int) -> Tally:
    """dB between spectra (Gray and Markel, 1976): root mean square over all frequencies of a frame of 32 ms.

    Summed over the frames in which something is said. Two draws of noise have 8 dB: the spectra of single frames differ
    so much by chance.
    """
    one_JK, other_JK = (_levels(each, sample_rate) for each in (recorded, made))
    return _tally(np.sqrt(((one_JK - other_JK) ** 2).mean(axis=1)), one_JK)


def _levels(audio_T: Audio, sample_rate: int) -> npt.NDArray[np.float64]:
    """(J, K) in dB of a sine of full scale."""
    size, step = round(_WINDOW * sample_rate), round(_STEP * sample_rate)
    padded = np.pad(np.asarray(audio_T, np.float64), size // 2)
    window = np.hanning(size + 1)[:-1]
    frames_JN = np.lib.stride_tricks.sliding_window_view(padded, size)[::step]
    levels_JK = 20 * np.log10(np.abs(np.fft.rfft(frames_JN * window)) / (window.sum() / 2) + 1e-30)
    return np.asarray(np.maximum(levels_JK, _FLOOR_DB))


def _tally(distances_J: npt.NDArray[np.float64], levels_JK: npt.NDArray[np.float64]) -> Tally:
    loudest_J = levels_JK.max(axis=1)
    said_J = loudest_J > max(loudest_J.max() + _QUIET_DB, _FLOOR_DB)
    return Tally(float(distances_J[said_J].sum()), float(said_J.sum()))
