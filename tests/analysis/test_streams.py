"""Spectra of what comes into each layer, and impulse responses on real audio, held against formulas."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from tests.analysis.hand_built import CODEC, EPSILON, haar_network, period_of
from tests.shards.made import write_shard_set
from tests.small import small_config, small_model
from wavenet_pl.analysis.material import TooShort, Windows, read_windows, usual_condition
from wavenet_pl.analysis.responses import autocorrelation
from wavenet_pl.analysis.steps import roughness, step_gains
from wavenet_pl.analysis.stimuli import noise, repeat
from wavenet_pl.analysis.streams import CHANGED, centroid, stream_spectra
from wavenet_pl.codec import MuLawCodec
from wavenet_pl.model import Model
from wavenet_pl.shards.index import load_index, shard_storage
from wavenet_pl.shards.split import Split

LAYERS = 5


def spectra_on_noise(network, segments: int = 3):
    audio_MN = noise(period_of(network), segments, -20, seed=0)
    stimulus = repeat(CODEC, audio_MN, network.receptive_field)
    pieces = [(codes_T[None], None) for codes_T in stimulus.codes_MT]
    into_F = (np.abs(np.fft.rfft(stimulus.amplitudes_MN)) ** 2).mean(axis=0)
    return stream_spectra(network, pieces, np.ones(stimulus.period)), into_F


@pytest.mark.parametrize("residual", [-0.5, 1.0], ids=["mean", "essay"])
@pytest.mark.parametrize("summing", [True, False])
def test_centroids_of_a_linear_stream_are_those_of_the_formula(summing, residual):
    network = haar_network(LAYERS, summing=summing, residual=residual)
    spectra, into_F = spectra_on_noise(network)
    turns_F = np.exp(-2j * np.pi * np.fft.rfftfreq(period_of(network)))
    stream_F = (1 + turns_F) / 2 if summing else np.ones_like(turns_F)
    centroids = []
    for power_F, dilation in zip(spectra, network.config.dilations, strict=True):
        centroids.append(centroid(power_F))
        assert centroids[-1] == pytest.approx(centroid(np.abs(stream_F) ** 2 * into_F), rel=0.01)
        stream_F = stream_F + residual * stream_F * (1 - turns_F**dilation)
    if residual == -0.5:  # the slow part goes down
        assert all(after < before for before, after in pairwise(centroids))
    else:  # a0 + b0 = 2 a0 - a1 is high-pass
        assert centroids[1] > centroids[0]


def test_what_is_changed_in_a_network_is_what_it_is_called():
    network = haar_network(LAYERS, summing=False)
    pieces = [(torch.randint(256, (1, 256), generator=torch.Generator().manual_seed(0)), None)]
    plain = stream_spectra(network, pieces, np.ones(128))
    for name, change in CHANGED.items():
        made = stream_spectra(change(network), pieces, np.ones(128))
        if name == "without residuals":  # nothing is added on the way
            np.testing.assert_allclose(made, np.broadcast_to(made[0], made.shape), rtol=1e-9)
        elif name == "without biases":  # its gates are half open, so a quarter of each difference is left
            assert not np.allclose(made[1:], plain[1:])
        else:  # a layer that sees one sample adds a share of that sample
            shapes = made / made.sum(axis=1, keepdims=True)
            np.testing.assert_allclose(shapes, np.broadcast_to(shapes[0], shapes.shape), atol=1e-6)
    np.testing.assert_allclose(made[0], plain[0])


def test_a_step_on_audio_has_the_impulse_response_of_the_formula():
    network = haar_network(LAYERS, summing=False)
    length = 64
    codes = torch.randint(
        40, 216, (4, network.receptive_field + length + 1), generator=torch.Generator().manual_seed(0)
    )
    gains = step_gains(network, CODEC, Windows(codes, None, np.arange(4)), length)
    turns_F = np.exp(-2j * np.pi * np.fft.rfftfreq(2 * length))
    stream_F = np.ones_like(turns_F)
    for number, gain_F in enumerate(gains):
        difference_F = stream_F * (1 - turns_F**2**number)
        expected_F = np.abs(EPSILON * difference_F) ** 2
        np.testing.assert_allclose(gain_F, expected_F, rtol=1e-4, atol=1e-6 * expected_F.max())
        assert autocorrelation(gain_F)[2**number] == pytest.approx(-0.5, abs=0.01)
        stream_F = stream_F - 0.5 * difference_F


def test_a_straight_line_of_embeddings_is_smooth_and_random_ones_are_rough():
    codec = MuLawCodec()
    network = haar_network(2, summing=False, codec=codec)
    assert network.embedding is not None
    with torch.no_grad():
        network.embedding.weight[:, 0] = torch.arange(256.0)
    assert roughness(network, codec) == pytest.approx(1)
    with torch.no_grad():
        torch.manual_seed(0)
        network.embedding.weight.normal_()
    assert roughness(network, codec) == pytest.approx(16, rel=0.1)


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    folder = write_shard_set(tmp_path_factory.mktemp("windows"), train=1, val=4, speakers=("anna", "ben"))
    index = load_index(folder)
    return Split(index.splits["val"], shard_storage(index, folder), index.sample_rate, index.labels)


def test_windows_are_stretches_of_recordings_with_their_conditions(split):
    model = Model(small_config("nowhere", "model.kind=speaker"), sample_rate=8_000, labels=split.labels)
    windows = read_windows(model, split, count=20, length=300, seed=0)
    assert windows.codes_WT.shape == (20, 301) and windows.inputs_WT.shape == windows.targets_WT.shape == (
        20,
        300,
    )
    audio = [model.encode(split.try_read(position)) for position in range(len(split))]
    for codes_T, recording in zip(windows.codes_WT, windows.recording_W, strict=True):
        stretches = audio[recording].unfold(0, 301, 1)[1:]  # none at the beginning
        assert (stretches == codes_T).all(dim=1).any()
    assert windows.condition is not None
    for (codes, condition), row in zip(windows.each(), windows.condition, strict=True):
        assert codes.shape == (1, 300) and torch.equal(condition[0], row)
    usual = usual_condition(windows)
    assert usual is not None and usual.shape == (1, windows.condition.shape[1], 1)
    again = read_windows(model, split, count=20, length=300, seed=0)
    assert torch.equal(windows.codes_WT, again.codes_WT)
    assert not torch.equal(
        windows.codes_WT, read_windows(model, split, count=20, length=300, seed=1).codes_WT
    )


def test_recordings_that_are_too_short_are_said(split):
    with pytest.raises(TooShort, match="the longest recording has 7,000 samples, expected more than 9,000"):
        read_windows(small_model(), split, count=2, length=9000, seed=0)


def test_windows_of_parts_are_of_one_recording(tmp_path):
    index = load_index(write_shard_set(tmp_path, train=2, val=6, frames=2_000, parts=2))
    split = Split(index.splits["val"], shard_storage(index, tmp_path), index.sample_rate)
    model = Model(small_config("nowhere"), sample_rate=8_000)
    windows = read_windows(model, split, count=40, length=300, seed=0)
    assert set(windows.recording_W.tolist()) == {0, 2, 4}, "the first part of each"
