"""Ways to say the next sample of two sines, where they are known to be exact and where not."""

from __future__ import annotations

import numpy as np
import pytest

from data_prep.corpora import DEMO
from wavenet_pl.analysis.extrapolation import (
    Pairs,
    estimated,
    linear,
    persistence,
    random_pairs,
    strongest_pairs,
)
from wavenet_pl.audio.reading import read_audio

LENGTH = 64


def error_db(said: np.ndarray, audio: np.ndarray) -> float:
    asked = audio[:, -said.shape[1] :]
    return float(10 * np.log10(((said - asked) ** 2).mean() / (asked**2).mean()))


@pytest.fixture(scope="module")
def audio() -> np.ndarray:
    return random_pairs(8, seed=0).audio(1200, seed=0)


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
    pairs = random_pairs(50, seed=1, band=(0.01, 0.1), levels_db=(-20, -10))
    assert (pairs.frequencies_M2 >= 0.01).all() and (pairs.frequencies_M2 <= 0.1).all()
    assert (np.abs(np.log2(pairs.frequencies_M2[:, 0] / pairs.frequencies_M2[:, 1])) > 1 / 3).all()
    assert (pairs.amplitudes_M2 >= 0.1).all() and (pairs.amplitudes_M2 <= 10**-0.5).all()


def test_noise_is_as_far_below_the_sines_as_was_asked_for():
    pairs = random_pairs(20, seed=1)
    clean, noisy = pairs.audio(4000, seed=3), pairs.audio(4000, seed=3, noise_db=-20)
    ratio = ((noisy - clean) ** 2).mean(axis=1) / (clean**2).mean(axis=1)
    np.testing.assert_allclose(10 * np.log10(ratio), -20, atol=0.5)


def test_the_strongest_pair_of_two_sines_in_noise_is_these_two():
    pairs = random_pairs(10, seed=2, levels_db=(-20, -12))
    found = strongest_pairs(pairs.audio(1000, seed=0, noise_db=-40))
    order = np.argsort(pairs.frequencies_M2), np.argsort(found.frequencies_M2)
    for name, within in (("frequencies_M2", 1e-3), ("amplitudes_M2", 0.05)):
        known, seen = (
            np.take_along_axis(getattr(each, name), index, 1)
            for each, index in zip((pairs, found), order, strict=True)
        )
        np.testing.assert_allclose(seen, known, rtol=within)


def test_the_strongest_pair_of_real_speech_is_no_envelope_and_stays_within_full_scale():
    """Two sines near each other fit a sound's beginning best, as loud as one likes, and of opposite signs."""
    files = sorted((DEMO / "allison_en").glob("*.flac"))[:6]
    speech = np.stack([read_audio(str(path), 16_000)[4000:5024] for path in files]).astype(float)
    found = strongest_pairs(speech)
    ratios = found.frequencies_M2.max(axis=1) / found.frequencies_M2.min(axis=1)
    assert (np.log2(ratios) > 1 / 3).all()
    assert (np.abs(found.audio(2000, seed=0)).max(axis=1) <= 1).all()
    turns = 2 * np.pi * np.arange(1024)[:, None] * found.frequencies_M2[:, None, :]
    for audio, turn in zip(speech, turns, strict=True):
        basis = np.concatenate([np.sin(turn), np.cos(turn)], axis=1)
        left = audio - basis @ np.linalg.lstsq(basis, audio, rcond=None)[0]
        assert (left**2).sum() < 0.9 * (audio**2).sum(), "they are in it"
    assert (found.amplitudes_M2.sum(axis=1) < 1.5 * np.abs(speech).max(axis=1)).all()


def test_a_shifted_pair_has_other_frequencies_and_none_beyond_half_the_sample_rate():
    pairs = Pairs(np.array([[0.1, 0.2], [0.1, 0.3]]), np.array([[0.5, 0.4], [0.1, 0.2]]))
    doubled = pairs.shifted(2)
    np.testing.assert_allclose(doubled.frequencies_M2, [[0.2, 0.4]])
    np.testing.assert_allclose(doubled.amplitudes_M2, [[0.5, 0.4]])
