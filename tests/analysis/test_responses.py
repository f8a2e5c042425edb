"""Probes of bands, held against networks whose every layer is known by a formula, and against chance."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.analysis.hand_built import CODEC, EPSILON, haar_edges, haar_network, period_of, transfer
from wavenet_pl.analysis.bands import find_band, smoothed
from wavenet_pl.analysis.controls import CONTROLS
from wavenet_pl.analysis.responses import Response, autocorrelation, measure_responses, sine_gains
from wavenet_pl.analysis.stimuli import noise, repeat, sines
from wavenet_pl.codec import MuLawCodec
from wavenet_pl.config.model import NetworkConfig
from wavenet_pl.network import WaveNet

LAYERS = 6
RATIOS = {True: [0.500, 0.667, 0.723, 0.737, 0.741, 0.742], False: [1.000, 0.784, 0.752, 0.744, 0.743, 0.742]}
"""Where a Haar layer answers most, as a share of the frequency of its dilation: by whether the first one sums."""


def responses_of(network: WaveNet, level_db: float = -20, segments: int = 4) -> list[Response]:
    audio_MN = noise(period_of(network), segments, level_db, seed=0)
    stimulus = repeat(CODEC, audio_MN, network.receptive_field)
    return measure_responses(network, stimulus, with_transfer=True)


@pytest.fixture(scope="module", params=[True, False], ids=["summing", "pass-through"])
def haar(request):
    network = haar_network(LAYERS, summing=request.param)
    return request.param, network, responses_of(network)


def test_power_and_phase_are_those_of_the_formula(haar):
    summing, network, responses = haar
    for response, expected_F in zip(responses, transfer(network, summing=summing), strict=True):
        power_F = np.abs(expected_F) ** 2
        heard_F = power_F > 1e-3 * power_F.max()
        heard_F[-1] = False  # at half the sample rate there is no signal
        assert np.abs(response.gain_F[heard_F] / power_F[heard_F] - 1).max() < 1e-4
        angle_F = np.angle(response.transfer_CF[0][heard_F] / expected_F[heard_F])
        assert np.abs(angle_F).max() < np.radians(0.5)
        assert response.answers and response.coherence_F[heard_F].min() > 0.9999


def test_the_middle_of_the_edges_is_that_of_the_formula(haar):
    summing, _, responses = haar
    for number, response in enumerate(responses):
        band, (low, high) = find_band(response.gain_F), haar_edges(number, summing=summing)
        assert band.middle == pytest.approx((low + high) / 2, rel=0.005)
        assert band.low == pytest.approx(low, rel=0.02) and band.high == pytest.approx(high, rel=0.01)
        assert band.contrast_db > 3


def test_haar_answers_most_below_the_frequency_of_its_dilation(haar):
    summing, _, responses = haar
    for number, response in enumerate(responses):
        most = np.argmax(response.gain_F) / response.period
        bin_width = 2 ** (number + 1) / response.period
        assert most * 2 ** (number + 1) == pytest.approx(RATIOS[summing][number], abs=0.6 * bin_width + 5e-4)
    low, high = (edge * 2**LAYERS for edge in haar_edges(LAYERS - 1, summing=summing))
    assert (low, high) == (pytest.approx(0.364, abs=0.002), pytest.approx(1.163, abs=0.003))


def test_lags_are_those_of_a_difference(haar):
    summing, _, responses = haar
    for number, response in enumerate(responses):
        lags_N = response.autocorrelation_N
        assert lags_N[0] == pytest.approx(1)
        if summing and number == 0:  # (1 - z)(1 + z) = 1 - z^2
            assert (lags_N[1], lags_N[2]) == (pytest.approx(0, abs=0.01), pytest.approx(-0.5, abs=0.01))
            continue
        own = 2**number if not summing else None
        if own is not None:
            assert lags_N[own] == pytest.approx(-0.5, abs=0.01)
            if number:
                assert lags_N[own // 2] == pytest.approx(0.25, abs=0.01)
    plain = haar_network(1, summing=False)
    assert responses_of(plain)[0].autocorrelation_N[1] == pytest.approx(-0.5, abs=0.01)


def test_sines_have_the_same_gain_as_noise(haar):
    summing, network, _ = haar
    cycles = np.array([8, 64, 500, 1500])
    stimulus = repeat(CODEC, sines(period_of(network), cycles, -20, seed=1), network.receptive_field)
    expected = np.abs(transfer(network, summing=summing)[:, cycles]) ** 2
    np.testing.assert_allclose(sine_gains(network, stimulus, cycles.tolist()), expected, rtol=1e-4)


def test_in_a_band_only_that_band_is_measured():
    network = haar_network(4, summing=False)
    audio_MN = noise(period_of(network), 4, -20, seed=0, band=(0.1, 0.2))
    response = measure_responses(network, repeat(CODEC, audio_MN, network.receptive_field))[0]
    frequencies_F = np.linspace(0, 0.5, len(response.gain_F))
    inside_F = (frequencies_F > 0.105) & (frequencies_F < 0.195)
    expected_F = EPSILON**2 * np.abs(1 - np.exp(-2j * np.pi * frequencies_F)) ** 2
    np.testing.assert_allclose(response.gain_F[inside_F], expected_F[inside_F], rtol=1e-4)


@pytest.mark.parametrize("segments", [4, 16])
def test_a_layer_that_answers_by_chance_has_no_gain(segments):
    codec, generator = MuLawCodec(), torch.Generator().manual_seed(0)
    network = haar_network(3, summing=False, codec=codec)
    assert network.embedding is not None
    with torch.no_grad():  # what comes in is a hash of the code: what goes out says nothing of the amplitude
        network.embedding.weight[:, 0] = torch.randn(256, generator=generator).double()
    stimulus = repeat(codec, noise(4096, segments, -20, seed=0), network.receptive_field)
    for response in measure_responses(network, stimulus):
        power_F = response.gain_F[8:]
        error = power_F.std() / np.sqrt(len(power_F))
        assert abs(power_F.mean()) < 4 * error
        assert response.coherence_F[8:].mean() == pytest.approx(1 / segments, rel=0.2)
        assert not response.answers


def test_noise_is_flat_and_as_loud_as_was_asked_for():
    audio_MN = noise(4096, 3, -26, seed=5)
    assert 10 * np.log10(np.mean(audio_MN**2)) == pytest.approx(-26)
    power_MF = np.abs(np.fft.rfft(audio_MN)[:, 1:-1]) ** 2
    assert power_MF.max() / power_MF.min() == pytest.approx(1)
    assert np.abs(np.corrcoef(audio_MN) - np.eye(3)).max() < 0.1


def test_a_stimulus_repeats_its_period_and_ends_with_it():
    audio_MN = noise(64, 2, -20, seed=0)
    stimulus = repeat(CODEC, audio_MN, before=100)
    assert stimulus.codes_MT.shape == (2, 164) and stimulus.period == 64
    assert torch.equal(stimulus.codes_MT[:, -64:], CODEC.encode(torch.from_numpy(audio_MN)))
    assert torch.equal(stimulus.codes_MT[:, :100], stimulus.codes_MT[:, 64:])


def test_smoothing_keeps_a_straight_line_and_a_silent_layer_has_no_band():
    line = np.linspace(0, 1, 513)
    np.testing.assert_allclose(smoothed(line)[5:500], line[5:500], rtol=0.02)
    silent = find_band(np.zeros(513))
    assert np.isnan([silent.low, silent.high]).all()
    assert (autocorrelation(np.zeros(513)) == 0).all()


def test_controls_keep_what_they_say_and_nothing_else():
    config = NetworkConfig(
        stacks=1, layers_per_stack=3, residual_channels=4, gate_channels=8, skip_channels=4
    )
    network = WaveNet(config, condition_channels=2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter))
    weights = network.state_dict()
    for name, make in CONTROLS.items():
        one, same, other = (
            make(network, 1).state_dict(),
            make(network, 1).state_dict(),
            make(network, 2).state_dict(),
        )
        for key in weights:
            assert torch.equal(one[key], same[key]), "the same seed gives the same network"
        kept = {key for key in weights if torch.equal(one[key], weights[key])}
        expected = {"embedding.weight", "first.weight", "first.bias"} if "behind" in name else set()
        assert kept == expected
        changed = {key for key in weights if not torch.equal(one[key], other[key])}
        assert {key for key in weights if "weight" in key and "embedding" not in key} - expected <= changed
        if "shuffled" in name:
            for key in weights:
                torch.testing.assert_close(one[key].flatten().sort()[0], weights[key].flatten().sort()[0])
    assert all(torch.equal(network.state_dict()[key], weights[key]) for key in weights)
