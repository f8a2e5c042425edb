"""Ways to say the next sample of two sines, where they are known to be exact and where not."""

from __future__ import annotations

import numpy as np
import pytest

from wavenet_pl.analysis.extrapolation import estimated, linear, persistence, two_sines

LENGTH = 64


def error_db(said: np.ndarray, audio: np.ndarray) -> float:
    asked = audio[:, -said.shape[1] :]
    return float(10 * np.log10(((said - asked) ** 2).mean() / (asked**2).mean()))


@pytest.fixture(scope="module")
def audio() -> np.ndarray:
    return two_sines(8, 1200, seed=0).audio_MN


def test_four_weights_are_enough_for_two_sines_and_two_are_not(audio):
    assert error_db(linear(audio, LENGTH, 4), audio) < -60
    assert error_db(linear(audio, LENGTH, 2), audio) > -30


def test_two_sines_that_fit_go_on_as_they_are(audio):
    assert error_db(estimated(audio, LENGTH), audio) < -60


def test_the_sample_before_is_the_sample_before(audio):
    np.testing.assert_array_equal(persistence(audio, LENGTH), audio[:, -LENGTH - 1 : -1])


def test_nobody_sees_what_is_predicted(audio):
    other = audio.copy()
    other[:, -1] = 0
    for way in (persistence, estimated, lambda heard, length: linear(heard, length, 8)):
        np.testing.assert_array_equal(way(audio, LENGTH)[:, -1], way(other, LENGTH)[:, -1])


def test_pairs_are_in_their_band_apart_and_in_their_levels():
    sines = two_sines(50, 4000, seed=1, band=(0.01, 0.1), levels_db=(-20, -10))
    assert (sines.frequencies_M2 >= 0.01).all() and (sines.frequencies_M2 <= 0.1).all()
    assert (np.abs(np.log2(sines.frequencies_M2[:, 0] / sines.frequencies_M2[:, 1])) > 1 / 3).all()
    assert np.abs(sines.audio_MN).max() <= 2 * 10 ** (-10 / 20)
    powers = (sines.audio_MN**2).mean(axis=1)
    assert (powers > 10 ** (-20 / 10)).all() and (powers < 1.1 * 10 ** (-10 / 10)).all()
