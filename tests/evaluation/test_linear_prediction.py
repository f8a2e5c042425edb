"""Adaptive linear prediction: against sums and solutions written out, and as a distribution over codes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from wavenet_pl.codec import LinearCodec, MuLawCodec
from wavenet_pl.evaluation.baselines import measure_baselines
from wavenet_pl.evaluation.linear_prediction import (
    MEMORIES,
    ORDERS,
    WIDTH_MEMORIES,
    LinearPredictor,
    Setting,
    choose_setting,
    score,
)

SETTING = Setting(order=5, memory=40, width_memory=8)


def codes_of(audio: np.ndarray, codec: MuLawCodec | LinearCodec) -> np.ndarray:
    return codec.encode(torch.from_numpy(audio)).numpy()


def tones(num_samples: int, seed: int = 0) -> np.ndarray:
    """Two sines and a little noise."""
    n, rng = np.arange(num_samples), np.random.default_rng(seed)
    return 0.4 * np.sin(0.2 * n) + 0.2 * np.sin(0.71 * n + 1) + 0.01 * rng.standard_normal(num_samples)


def written_out(codes: np.ndarray, codec: MuLawCodec | LinearCodec, setting: Setting) -> np.ndarray:
    """The same from sums over all past samples, each time anew."""
    decode = lambda values: codec.decode(torch.as_tensor(values, dtype=torch.float64)).double().numpy()  # noqa: E731
    amplitudes = decode(codes)
    padded = np.concatenate([np.zeros(setting.order), amplitudes])
    pasts = np.array([padded[n : n + setting.order][::-1] for n in range(len(codes))])
    keep, keep_width = math.exp(-1 / setting.memory), math.exp(-1 / setting.width_memory)
    nats, width, weights = [], 0.0, np.zeros(setting.order)
    for n, code in enumerate(codes):
        if n % 16 == 0:
            old = keep ** np.arange(n - 1, -1, -1)
            energy = (pasts[:n] * old[:, None]).T @ pasts[:n]
            ridge = np.diag(1e-5 * np.diag(energy) + 1e-9)
            weights = np.linalg.solve(energy + ridge, (pasts[:n] * old[:, None]).T @ amplitudes[:n])
        predicted, scale = pasts[n] @ weights, max(width, 1e-5)

        def below(edge: float, predicted: float = predicted, scale: float = scale) -> float:
            x = (edge - predicted) / scale
            return 0.5 * math.exp(x) if x < 0 else 1 - 0.5 * math.exp(-x)

        low = below(float(decode(code - 0.5))) if code else 0.0
        high = below(float(decode(code + 0.5))) if code < codec.quantization_channels - 1 else 1.0
        nats.append(-math.log((1 - 2**-10) * (high - low) + 2**-10 / codec.quantization_channels))
        width = keep_width * width + (1 - keep_width) * abs(amplitudes[n] - predicted)
    return np.array(nats)


@pytest.mark.parametrize("codec", [MuLawCodec(), LinearCodec(64)], ids=["mu-law", "linear"])
def test_nats_are_those_of_sums_written_out(codec):
    codes = codes_of(tones(300), codec)
    nats = LinearPredictor(codec, SETTING).nats(codes)
    np.testing.assert_allclose(nats, written_out(codes, codec, SETTING), rtol=2e-6)


def test_the_compiled_loop_is_the_plain_one():
    codec = MuLawCodec()
    codes = codes_of(tones(100), codec)
    predictor, nats = LinearPredictor(codec, SETTING), np.empty(len(codes))
    keep, keep_width = math.exp(-1 / SETTING.memory), math.exp(-1 / SETTING.width_memory)
    score(codes, predictor._amplitudes_Q, predictor._edges, SETTING.order, keep, keep_width, nats)
    np.testing.assert_allclose(predictor.nats(codes), nats, rtol=1e-9)


@pytest.mark.parametrize("length", [1, 2, 16, 17, 90])
def test_each_sample_has_a_distribution_over_all_codes_that_follows_from_the_past(length):
    codec = MuLawCodec()
    codes = codes_of(tones(length), codec)
    predictor, last = LinearPredictor(codec, SETTING), []
    for code in range(codec.quantization_channels):
        nats = predictor.nats(np.append(codes[:-1], code))
        np.testing.assert_array_equal(nats[:-1], predictor.nats(codes)[:-1])
        last.append(nats[-1])
    assert np.exp(-np.array(last)).sum() == pytest.approx(1, abs=1e-9)


def test_what_is_a_sum_of_sines_costs_less_than_by_the_code_before():
    codec = MuLawCodec()
    train, val = (codes_of(tones(20_000, seed), codec) for seed in range(2))
    order1 = measure_baselines([train], [val], quantization_channels=256, silence_code=128).order1
    bits = LinearPredictor(codec, Setting(16, 512, 32)).nats(val).mean() / math.log(2)
    assert bits < order1 - 1


@pytest.mark.parametrize("audio", [np.zeros(5000), np.ones(5000), np.sign(np.sin(np.arange(5000.0)))])
def test_silence_full_scale_and_jumps_have_a_finite_price(audio):
    codec = MuLawCodec()
    nats = LinearPredictor(codec, Setting(48, 1024, 8)).nats(codes_of(audio, codec))
    assert np.isfinite(nats).all() and (nats <= math.log(256 * 2**10) + 1e-9).all()


def test_the_setting_is_the_best_of_its_neighbours():
    codec = MuLawCodec()
    recordings = [codes_of(tones(3000, seed), codec) for seed in range(2)]
    chosen = choose_setting(codec, recordings)
    assert chosen.order in ORDERS and chosen.memory in MEMORIES and chosen.width_memory in WIDTH_MEMORIES

    def cost(setting: Setting) -> float:
        return sum(LinearPredictor(codec, setting).nats(codes).sum() for codes in recordings)

    for width_memory in WIDTH_MEMORIES:
        assert cost(chosen) <= cost(Setting(chosen.order, chosen.memory, width_memory))
