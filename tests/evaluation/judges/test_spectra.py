"""Distances of spectra: nothing for equal clips, decibels for another level, and only where something is said."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.fft import dct

from wavenet_pl.audio.mel import MelSettings, mel_frames
from wavenet_pl.evaluation.judges.spectra import log_spectral_distance, mel_cepstral_distortion

RATE = 16_000
RANDOM = np.random.default_rng(0)
NOISE, OTHER = (
    (0.05 * RANDOM.normal(size=RATE)).astype(np.float32),
    (0.05 * RANDOM.normal(size=RATE)).astype(np.float32),
)
MEASURES = (log_spectral_distance, mel_cepstral_distortion)


def mean(measure, recorded, made) -> float:
    total, number = measure(recorded, made, RATE)
    return total / number


@pytest.mark.parametrize("measure", MEASURES)
def test_equal_clips_have_no_distance_and_others_have_one(measure):
    assert mean(measure, NOISE, NOISE) == 0
    assert mean(measure, NOISE, OTHER) > 1


def test_a_level_is_a_distance_of_spectra_and_none_of_cepstra():
    assert mean(log_spectral_distance, NOISE, 0.5 * NOISE) == pytest.approx(20 * np.log10(2), abs=0.01)
    assert mean(mel_cepstral_distortion, NOISE, 0.5 * NOISE) < 0.1, "but for the rounding of mel frames"


def test_two_draws_of_noise_have_the_distance_that_chance_gives():
    # The level of a bin of noise has a standard deviation of 5.57 dB, and two of them differ by the root of 2 more.
    assert mean(log_spectral_distance, NOISE, OTHER) == pytest.approx(5.57 * 2**0.5, abs=0.3)


@pytest.mark.parametrize("measure", MEASURES)
def test_only_frames_in_which_something_is_said_count(measure):
    spoken = measure(NOISE, OTHER, RATE)
    pause = np.zeros(RATE, np.float32)
    with_pause = measure(np.concatenate([NOISE, pause]), np.concatenate([OTHER, NOISE]), RATE)
    assert abs(with_pause.number - spoken.number) <= 4
    assert with_pause.total == pytest.approx(spoken.total, rel=0.1)
    assert measure(pause, NOISE, RATE).number == 0


def test_a_distortion_is_that_of_the_usual_formula():
    settings = MelSettings(128, 512, 80, 55.0, 7600.0, -100.0)
    decibels = (100 * (mel_frames(each, RATE, settings).astype(float) - 1) for each in (NOISE, OTHER))
    # Cepstra of the logarithm of amplitudes; see Kubichek (1993), equation 3.
    one, other = (dct(each * np.log(10) / 20, type=2, norm=None, axis=1)[:, 1:25] / 80 for each in decibels)
    expected = 10 / np.log(10) * np.sqrt(2 * ((one - other) ** 2).sum(axis=1))
    assert mean(mel_cepstral_distortion, NOISE, OTHER) == pytest.approx(expected.mean(), rel=1e-6)
