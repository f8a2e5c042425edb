"""Levels against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from wavenet_pl.audio.levels import measure


def test_a_sine_has_the_levels_of_a_sine() -> None:
    sine = 0.5 * np.sin(2 * np.pi * np.arange(8000) / 80)
    levels = measure(sine)
    assert levels.peak_db == pytest.approx(20 * math.log10(0.5), abs=1e-6)
    assert levels.rms_db == pytest.approx(20 * math.log10(0.5 / math.sqrt(2)), abs=1e-6)
    assert levels.clipped == 0
    assert levels.describe() == "peak -6.0 dBFS, RMS -9.0 dB"


@pytest.mark.parametrize("audio", [np.zeros(10), np.zeros(0)])
def test_silence_divides_by_nothing(audio: np.ndarray) -> None:
    levels = measure(audio)
    assert levels.peak_db == levels.rms_db == -math.inf
    assert levels.describe() == "digital silence"


def test_samples_at_full_scale_are_counted() -> None:
    audio = np.array([1.0, -1.0, 32767 / 32768, 0.5] + [0.0] * 96, dtype=np.float32)
    assert measure(audio).clipped == pytest.approx(0.03)
    assert measure(audio).describe().endswith("3 % clipped")
