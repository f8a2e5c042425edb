"""What can be read out of skips, where it is known: of differences one quadrature, of a delayed pair both."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.analysis.hand_built import CODEC, haar_network, transfer
from wavenet_pl.analysis.knowledge import (
    TARGETS,
    ask,
    centre,
    components,
    measure_knowledge,
    of_loudness,
    of_raw_samples,
    ridge_shares,
)
from wavenet_pl.analysis.material import Windows

LAYERS, OCTAVE = 4, 1
LENGTH = 256


def windows_of(audio_WT: np.ndarray) -> Windows:
    return Windows(CODEC.encode(torch.from_numpy(audio_WT)), None, np.arange(len(audio_WT)))


def sines(count: int = 40, before: int = 400) -> np.ndarray:
    """Of the frequency of one octave, with amplitudes and phases of their own."""
    rng, t = np.random.default_rng(0), np.arange(before + LENGTH + 1)
    amplitude, phase = rng.uniform(0.2, 0.9, (count, 1)), rng.uniform(0, 2 * np.pi, (count, 1))
    return amplitude * np.cos(2 * np.pi * centre(OCTAVE) * t + phase)


def test_components_of_a_sine_are_its_amplitude_and_phase():
    t = np.arange(500)
    audio = 0.7 * np.cos(2 * np.pi * centre(3) * t + 0.4)
    moments = np.array([300, 411, 499])
    z = components(audio[None], 3, moments)[0]
    np.testing.assert_allclose(np.abs(z), 0.7, rtol=0.01)
    np.testing.assert_allclose(
        np.exp(1j * np.angle(z)), np.exp(1j * (2 * np.pi * centre(3) * moments + 0.4)), atol=0.02
    )


def test_components_do_not_see_what_comes_later():
    audio = np.random.default_rng(0).standard_normal((1, 200))
    other = audio.copy()
    other[0, 150:] = 0
    moments = np.array([100, 149])
    np.testing.assert_array_equal(components(audio, 2, moments), components(other, 2, moments))


@pytest.mark.parametrize("summing", [True, False])
def test_one_difference_has_one_quadrature(summing):
    network, windows = haar_network(LAYERS, summing=summing), windows_of(sines())
    questions = ask(CODEC, windows, LENGTH, OCTAVE + 1)
    knowledge = measure_knowledge(network, windows, questions)
    turns = transfer(network, summing=summing)
    frequencies = np.linspace(0, 0.5, turns.shape[1])
    for layer, shares_OY in enumerate(knowledge.by_layer):
        turn = np.interp(centre(OCTAVE), frequencies, np.unwrap(np.angle(turns[layer])))
        shares = dict(zip(TARGETS, shares_OY[OCTAVE], strict=True))
        # What the layer hears is A cos(phase + turn).
        assert shares["A cos"] == pytest.approx(np.cos(turn) ** 2, abs=0.02)
        assert shares["A sin"] == pytest.approx(np.sin(turn) ** 2, abs=0.02)
        assert shares["A"] < 0.1


def test_the_whole_past_has_both_and_loudness_has_the_amplitude():
    windows = windows_of(sines())
    questions = ask(CODEC, windows, LENGTH, OCTAVE + 1)
    raw, loud = (
        dict(zip(TARGETS, made(CODEC, windows, questions, 64)[OCTAVE], strict=True))
        for made in (of_raw_samples, of_loudness)
    )
    assert min(raw["A cos"], raw["A sin"]) > 0.99 and raw["A"] < 0.1
    assert loud["log A"] > 0.95 and max(loud["A cos"], loud["A sin"]) < 0.1


def test_every_second_recording_is_held_out():
    audio = np.random.default_rng(0).uniform(-0.5, 0.5, (6, 400))
    windows = Windows(CODEC.encode(torch.from_numpy(audio)), None, np.array([7, 7, 3, 5, 5, 5]))
    questions = ask(CODEC, windows, 64, 2)
    held_out = questions.held_out_N.reshape(6, -1)
    assert (held_out == held_out[:, :1]).all()
    assert held_out[:, 0].tolist() == [False, False, False, True, True, True]


def test_octaves_in_which_there_is_nothing_are_not_asked_for():
    windows = windows_of(sines())
    assert ask(CODEC, windows, LENGTH, 4).octaves == [0, 1]


def test_ridge_explains_what_is_linear_and_nothing_of_noise():
    rng = np.random.default_rng(0)
    x, other = rng.standard_normal((400, 30)), rng.standard_normal((400, 30))
    x[:, 3] = other[:, 3] = 2.0  # never changes
    weights = rng.standard_normal(30)
    noise = rng.standard_normal((2, 400))
    shares = ridge_shares(
        x, np.stack([x @ weights, noise[0]], axis=1), other, np.stack([other @ weights, noise[1]], axis=1)
    )
    assert shares[0] > 0.999
    assert 0 <= shares[1] < 0.1
