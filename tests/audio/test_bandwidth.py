"""Bandwidth: what was at a lower rate once is told from what is only quiet, dark or pure up there."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from tests.data_prep.voices import speech
from wavenet_pl.audio.bandwidth import find_bandwidth
from wavenet_pl.audio.resampling import resample

RATE = 16_000


def sixteen_bits(audio: npt.NDArray[np.float32], level: float = 1.0) -> npt.NDArray[np.float32]:
    return (np.round(level * audio * 32768) / 32768).astype(np.float32)


def at_lower_rate(audio: npt.NDArray[np.float32], lower: int) -> npt.NDArray[np.float32]:
    return resample(resample(audio, RATE, lower), lower, RATE)


def coloured(exponent: float, seconds: float = 3.0) -> npt.NDArray[np.float32]:
    """Noise whose power falls with frequency."""
    white = np.fft.rfft(np.random.default_rng(0).standard_normal(round(seconds * RATE)))
    audio = np.fft.irfft(white * (1 + np.arange(len(white))) ** (-exponent / 2))
    return (0.3 * audio / np.abs(audio).max()).astype(np.float32)


@pytest.mark.parametrize("lower", [4_000, 8_000, 11_025])
@pytest.mark.parametrize("audio", [speech(3.0), coloured(0.0), coloured(2.0)])
def test_what_was_at_a_lower_rate_ends_below_half_of_that(audio: npt.NDArray[np.float32], lower: int) -> None:
    assert find_bandwidth(audio, RATE) == RATE / 2
    band = find_bandwidth(sixteen_bits(at_lower_rate(audio, lower)), RATE)
    assert band == pytest.approx(0.95 * lower / 2, abs=0.08 * lower)


@pytest.mark.parametrize("level", [1.0, 0.1, 0.01, 0.001])
@pytest.mark.parametrize("audio", [speech(3.0), coloured(2.0), coloured(4.0)])
def test_what_is_quiet_or_dark_has_its_whole_band(audio: npt.NDArray[np.float32], level: float) -> None:
    assert find_bandwidth(sixteen_bits(audio, level), RATE) == RATE / 2


@pytest.mark.parametrize("pitch", [55.0, 440.0, 3_000.0])
@pytest.mark.parametrize("partials", [1, 2, 3])
def test_a_few_tones_are_no_band(pitch: float, partials: int) -> None:
    time = np.arange(2 * RATE) / RATE
    tones = sum(np.sin(2 * np.pi * pitch * (1 + 0.5 * n) * time) for n in range(partials))
    assert find_bandwidth((0.2 * np.asarray(tones)).astype(np.float32), RATE) == RATE / 2


def test_pauses_say_nothing() -> None:
    quiet = 1e-5 * np.random.default_rng(0).standard_normal(20 * RATE).astype(np.float32)
    quiet[10 * RATE : 11 * RATE] += at_lower_rate(speech(1.0), 8_000)
    assert find_bandwidth(quiet, RATE) == pytest.approx(3_750, abs=600)


@pytest.mark.parametrize("audio", [np.zeros(5_000), np.zeros(0), np.ones(1_000), np.full(5_000, np.nan)])
def test_what_nobody_can_tell_is_not_told(audio: npt.NDArray[np.float64]) -> None:
    assert find_bandwidth(audio.astype(np.float32), RATE) is None
