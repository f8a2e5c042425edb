"""Pitch: tones and glides whose height is known, what has none, and how far two clips are apart."""

from __future__ import annotations

import numpy as np
import pytest

from tests.evaluation.installed import speech
from wavenet_pl.evaluation.judges.pitch import pitch, pitch_error, voicing_error

RATE = 16_000
NOISE = np.random.default_rng(0).normal(size=2 * RATE)


def tone(hertz: float, rate: int = RATE, shape: tuple[float, ...] = (0.2, 0.5, 0.3, 0.1)) -> np.ndarray:
    """A second of harmonics, the second stronger than the first, as in many a vowel."""
    turns = 2 * np.pi * hertz * np.arange(rate) / rate
    waves = (size * np.sin(number * turns) for number, size in enumerate(shape, start=1))
    return (0.5 * sum(waves)).astype(np.float32)


@pytest.mark.parametrize("hertz", [70.3, 100.0, 155.5, 220.0, 333.3, 440.0])
@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000])
def test_a_tone_has_its_own_pitch(hertz, rate):
    found = pitch(tone(hertz, rate), rate)
    assert len(found) > 90 and np.isfinite(found).all()
    assert np.abs(1200 * np.log2(found / hertz)).max() < 8


def test_a_glide_is_followed():
    hertz = np.linspace(100, 200, RATE)
    audio = np.sin(2 * np.pi * np.cumsum(hertz) / RATE)
    found = pitch(audio.astype(np.float32), RATE)
    middles = np.interp((np.arange(len(found)) * 0.01 + 0.0125) * RATE, np.arange(RATE), hertz)
    assert np.abs(1200 * np.log2(found / middles)).max() < 60


def test_noise_silence_and_what_is_too_short_have_none():
    assert np.isnan(pitch((0.1 * NOISE).astype(np.float32), RATE)).mean() > 0.98
    assert np.isnan(pitch(np.zeros(RATE, np.float32), RATE)).all()
    assert len(pitch(np.zeros(500, np.float32), RATE)) == 0
    faint = np.concatenate([tone(200), 1e-5 * tone(200)])
    assert np.isnan(pitch(faint, RATE)[105:]).all(), "60 dB below the rest nobody speaks"


def test_speech_is_voiced_where_a_voice_is_and_in_its_range():
    found = np.concatenate([pitch(audio, rate) for audio, rate in speech("allison_en", 4)])
    assert 0.3 < np.isfinite(found).mean() < 0.9
    assert 150 < np.nanmedian(found) < 280, "a woman"
    assert np.nanmean(np.abs(np.diff(np.log2(found))) > 0.5) < 0.02, "octaves are not jumped"


def test_errors_are_those_that_were_made():
    total, number = pitch_error(tone(200), tone(200 * 2 ** (1 / 12)), RATE)
    assert number > 90 and total / number == pytest.approx(100, abs=4)
    both = np.concatenate([tone(200), np.zeros(RATE, np.float32)])
    whole = np.concatenate([tone(200), tone(200)])
    assert pitch_error(both, whole, RATE).total / pitch_error(both, whole, RATE).number < 5
    wrong, frames = voicing_error(both, whole, RATE)
    assert wrong / frames == pytest.approx(0.5, abs=0.03)
    assert voicing_error(whole, whole, RATE).total == 0
    assert pitch_error(np.zeros_like(whole), whole, RATE).number == 0
