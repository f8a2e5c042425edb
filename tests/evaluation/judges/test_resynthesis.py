"""Resynthesised clips between what the codec costs and noise, as far as judges are installed."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
import torch

from tests.evaluation.installed import needs, speech
from wavenet_pl.codec import MuLawCodec
from wavenet_pl.evaluation.judges.resynthesis import Pair, ResynthesisJudge, noise_like

RATE = 16_000
CODEC = MuLawCodec(256)
BETTER_WHEN_LARGE = ("STOI", "extended STOI", "words understood, share")


def through_codec(audio: np.ndarray) -> np.ndarray:
    return CODEC.decode(CODEC.encode(torch.from_numpy(np.ascontiguousarray(audio)))).numpy()


def noisy(audio: np.ndarray) -> np.ndarray:
    """Speech in noise that follows it, 20 dB below."""
    return np.clip(audio + 0.1 * noise_like(audio, RATE, seed=99), -1, 1).astype(np.float32)


@pytest.fixture(scope="module")
def recordings() -> list[np.ndarray]:
    return [audio for audio, _ in speech("allison_en", 3, 2.0)]


@pytest.mark.slow
@needs("pystoi", "pocketsphinx")
def test_every_measure_is_between_the_codec_and_noise(recordings):
    judge = ResynthesisJudge(RATE, through_codec)
    told: list[float] = []
    pairs = [Pair(audio, noisy(audio), english=True) for audio in recordings]
    measures = {measure.name: measure for measure in judge.judge(pairs, told.append).measures}
    assert told == sorted(told) and told[-1] == 1
    assert {*BETTER_WHEN_LARGE, "mel-cepstral distortion, dB", "log-spectral distance, dB"} <= measures.keys()
    for name, measure in measures.items():
        sign = 1 if name in (*BETTER_WHEN_LARGE, "PESQ") else -1
        assert measure.chance is not None
        best, made, worst = (
            sign * each.mean for each in (measure.recorded, measure.generated, measure.chance)
        )
        assert best >= made, name
        assert not made < worst, name  # of the pitch of noise there is nothing to say
        assert measure.generated.low <= measure.generated.mean <= measure.generated.high
    assert measures["STOI"].recorded.mean > 0.99 > 0.6 > measures["STOI"].chance.mean
    assert measures["words understood, share"].chance.mean < 0.2


def test_a_recording_that_comes_again_does_not_make_the_mean_surer(recordings, monkeypatch):
    for missing in ("pystoi", "pesq", "pocketsphinx"):
        monkeypatch.setitem(sys.modules, missing, None)
    judge = ResynthesisJudge(RATE, through_codec)
    pairs = [Pair(audio[: RATE // 2], noisy(audio[: RATE // 2])) for audio in recordings[:2]]
    once, twice = (judge.judge(each).measures for each in (pairs, pairs * 2))
    assert [each.generated for each in twice] == [pytest.approx(each.generated) for each in once]
    parts = judge.judge([pair._replace(source="long") for pair in pairs]).measures
    assert all(each.generated.low == -math.inf for each in parts)


@needs("pystoi")
def test_the_recording_itself_is_perfect_and_as_long_as_both_last(recordings, monkeypatch):
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    judge = ResynthesisJudge(RATE, lambda audio: audio)
    longer = [np.concatenate([audio, noise_like(audio, RATE, seed=0)]) for audio in recordings]
    pairs = [Pair(recordings[0], longer[0]), Pair(longer[1], recordings[1])]
    for measure in judge.judge(pairs).measures:
        perfect = {"STOI": 1, "extended STOI": 1, "PESQ": 4.64}.get(measure.name, 0)
        assert measure.generated.mean == pytest.approx(perfect, abs=0.01)
        assert measure.recorded == measure.generated


@needs("pystoi")
def test_a_clip_of_which_a_measure_says_nothing_does_not_count(recordings, monkeypatch):
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    judge = ResynthesisJudge(RATE, through_codec)
    short = recordings[0][:3000]
    alone = {measure.name: measure for measure in judge.judge([Pair(short, short)]).measures}
    assert "STOI" not in alone and "mel-cepstral distortion, dB" in alone
    beside = {
        measure.name: measure
        for measure in judge.judge([Pair(short, short), Pair(*recordings[1:3])]).measures
    }
    only = {measure.name: measure for measure in judge.judge([Pair(*recordings[1:3])]).measures}
    assert beside["STOI"].generated == only["STOI"].generated
    silence = np.zeros(RATE, np.float32)
    judge.judge([Pair(silence, silence), Pair(recordings[0], silence[:8000])])


@needs("pocketsphinx")
def test_words_are_judged_in_english_only(recordings):
    judge = ResynthesisJudge(RATE, through_codec)
    judge.measures.clear()
    assert judge.judge([Pair(recordings[0], recordings[0])]).measures == []
    pairs = [Pair(recordings[0], recordings[0], english=True), Pair(recordings[1], 0 * recordings[1])]
    understood, errors = judge.judge(pairs).measures
    assert (understood.generated.mean, errors.generated.mean) == (1, 0), "the other one does not count"


def test_what_is_not_installed_is_said_once_and_the_rest_is_judged(recordings, monkeypatch):
    for name in ("pystoi", "pesq", "pocketsphinx"):
        monkeypatch.setitem(sys.modules, name, None)
    judge = ResynthesisJudge(RATE, through_codec)
    assert len(judge.missing) == 3 and all("pip install -e" in missing for missing in judge.missing)
    measures = judge.judge([Pair(audio, audio, english=True) for audio in recordings]).measures
    assert [measure.name.split(",")[0] for measure in measures] == [
        "mel-cepstral distortion", "log-spectral distance", "pitch error", "voicing error",
    ]  # fmt: skip


def test_noise_is_as_loud_as_the_recording_all_the_way_and_the_same_every_time(recordings):
    audio = recordings[0]
    noise = noise_like(audio, RATE, seed=3)
    assert noise.shape == audio.shape and noise.dtype == np.float32
    levels = [
        np.sqrt((each[: len(each) // 320 * 320].reshape(-1, 320).astype(float) ** 2).mean(axis=1))
        for each in (audio, noise)
    ]
    assert np.corrcoef(*levels)[0, 1] > 0.99
    assert abs(np.corrcoef(audio, noise)[0, 1]) < 0.1
    np.testing.assert_array_equal(noise, noise_like(audio, RATE, seed=3))
    assert not np.array_equal(noise, noise_like(audio, RATE, seed=4))
    assert len(noise_like(audio[:0], RATE, seed=0)) == 0
