"""Mel spectrograms: how much sounds in each band of the mel scale, frame by frame.

Shapes: N frames, W samples of a window, K frequencies, F bands.
"""

from __future__ import annotations

import math
import warnings
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from wavenet_pl.audio.torchaudio_door import torchaudio
from wavenet_pl.errors import UserError

_CHUNK = 512  # frames at a time


class MelSettings(NamedTuple):
    """How mel frames are made; see `mel_frames`."""

    hop_length: int
    window_length: int
    num_mels: int
    lowest_hz: float
    highest_hz: float
    floor_db: float


def mel_frames(
    audio: npt.NDArray[np.float32], sample_rate: int, settings: MelSettings
) -> npt.NDArray[np.float16]:
    """The energy in each band, on a scale of decibels.

    Frame f is seen through a Hann window whose middle is sample f * hop_length + hop_length / 2; beyond the recording
    is silence. A band adds the energies at its frequencies with a triangle of weights. It is 1 where it has as much
    energy as a sine of amplitude 1 at its middle gives it, or more, 0 where it has -`floor_db` dB less, and linear in
    dB between. The same samples give the same bytes: everything is added up in one thread, in one order.

    Args:
        audio: (samples,), float32 in [-1, 1].
        sample_rate: its rate in Hz.
        settings: how.

    Returns:
        (N, F) float16 in [0, 1].

    Raises:
        UserError: a band lies above half the sample rate, or between two frequencies that the window tells apart.
    """
    num_frames = -(-len(audio) // settings.hop_length)
    window_W, weights_KF = mel_bands(settings, sample_rate)
    before = settings.window_length // 2 - settings.hop_length // 2
    padded = np.zeros(num_frames * settings.hop_length + settings.window_length)
    padded[before : before + len(audio)] = audio
    windows_NW = np.lib.stride_tricks.sliding_window_view(padded, settings.window_length)[
        :: settings.hop_length
    ]
    spans = [np.flatnonzero(weights_K)[[0, -1]] + (0, 1) for weights_K in weights_KF.T]
    made_NF = np.zeros((num_frames, settings.num_mels), np.float16)
    for start in range(0, num_frames, _CHUNK):
        stop = min(start + _CHUNK, num_frames)
        power_NK = np.abs(np.fft.rfft(windows_NW[start:stop] * window_W, transform_length(settings))) ** 2
        for band, (first, last) in enumerate(spans):
            energy_N = (power_NK[:, first:last] * weights_KF[first:last, band]).sum(axis=1)
            level_N = 1 - 10 * np.log10(np.maximum(energy_N, 1e-30)) / settings.floor_db
            made_NF[start:stop, band] = np.clip(level_N, 0, 1)
    return made_NF


def transform_length(settings: MelSettings) -> int:
    """Twice the window and more: the lowest bands are narrower than what the window tells apart."""
    return int(2 ** math.ceil(math.log2(2 * settings.window_length)))


@lru_cache(maxsize=4)
def mel_bands(
    settings: MelSettings, sample_rate: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The window (W,) and the weights (K, F), which give 1 for a full-scale sine in the middle of a band."""
    if settings.highest_hz > sample_rate / 2:
        raise UserError(
            f"mel has highest_hz {settings.highest_hz:g}, expected {sample_rate / 2:g} or less, half the sample rate; "
            "use frames that were made for this rate"
        )
    length = transform_length(settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of empty bands, which are refused below
        filters: Any = torchaudio().functional.melscale_fbanks(
            length // 2 + 1, settings.lowest_hz, settings.highest_hz, settings.num_mels, sample_rate
        )
    weights_KF = np.asarray(filters.numpy(), np.float64)
    if empty := int((weights_KF.max(axis=0) == 0).sum()):
        raise UserError(
            f"mel has num_mels {settings.num_mels}, of which {empty} are too narrow for windows of "
            f"{settings.window_length} samples, expected fewer bands; lower num_mels or take longer windows"
        )
    window_W = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(settings.window_length) / settings.window_length)
    low, high = (2595 * math.log10(1 + hz / 700) for hz in (settings.lowest_hz, settings.highest_hz))
    middles_F = 700 * (10 ** (np.linspace(low, high, settings.num_mels + 2)[1:-1] / 2595) - 1)
    turns_W = np.arange(settings.window_length) / sample_rate
    sines_FW = 0.5 * np.exp(
        2j * np.pi * middles_F[:, None] * turns_W
    )  # of a real sine, the half that is above 0 Hz
    power_FK = np.abs(np.fft.fft(sines_FW * window_W, length)[:, : length // 2 + 1]) ** 2
    return window_W, weights_KF / (weights_KF * power_FK.T).sum(axis=0)
