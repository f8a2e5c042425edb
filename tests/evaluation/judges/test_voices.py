"""Similarity to speakers: against directions that are known, and, with the judge, of real voices."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
import torch

from tests.evaluation.installed import needs, speech
from wavenet_pl.errors import UserError
from wavenet_pl.evaluation.judges.likeness import Measure, frechet_distance
from wavenet_pl.evaluation.judges.voices import FEWEST_CLIPS, VoiceJudge, compare_sets, compare_speakers
from wavenet_pl.numbers.intervals import mean_and_interval


def turned(*degrees: float) -> np.ndarray:
    """(N, 2) unit embeddings at such angles."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def compared(*facts: np.ndarray, sources: list[int] | None = None) -> Measure | None:
    """`compare_speakers` of recordings that are each whole, or parts of such sources."""
    whole = np.arange(len(facts[-1])) if sources is None else np.array(sources)
    return compare_speakers(*facts, whole)


def test_parts_of_a_recording_are_it_too():
    recordings, speakers, own = turned(0, 10, 40, 50), np.zeros(4, np.int64), np.arange(4)
    measure = compared(turned(0, 10, 40, 50), recordings, own, recordings, speakers, sources=[7, 7, 3, 3])
    assert measure is not None
    apart = np.mean([math.cos(math.radians(angle)) for angle in (45, 35, 35, 45)])
    assert measure.recorded.mean == pytest.approx(apart), "none is compared with another part of itself"
    by_two = mean_and_interval([apart * 2] * 2, [2, 2])
    assert measure.recorded == pytest.approx(by_two)


def test_a_clip_is_beside_its_speaker_less_its_own_recording():
    recordings, speakers = turned(0, 10, 90, 100), np.array([0, 0, 1, 1])
    measure = compared(turned(10, 120), turned(0, 90), np.array([0, 2]), recordings, speakers)
    assert measure is not None
    assert measure.generated.mean == pytest.approx((1 + math.cos(math.radians(20))) / 2)
    assert measure.recorded.mean == pytest.approx(math.cos(math.radians(10)))
    others = [math.cos(math.radians(angle)) for angle in (95, 85)]
    assert measure.chance is not None and measure.chance.mean == pytest.approx(np.mean(others))
    assert measure.generated.low < measure.generated.mean < measure.generated.high
    own = np.array([0, 2, 0, 2])  # each recording stands beside two clips
    twice = compared(turned(10, 120, 10, 120), turned(0, 90, 0, 90), own, recordings, speakers)
    assert twice == measure


def test_one_speaker_has_no_chance_and_one_recording_no_similarity():
    measure = compared(turned(0), turned(0), np.array([0]), turned(0, 20), np.array([3, 3]))
    assert measure is not None and measure.chance is None
    assert compared(turned(0), turned(0), np.array([0]), turned(0, 20), np.array([3, 4])) is None
    unnamed = np.array([-1, -1])
    assert compared(turned(0), turned(0), np.array([0]), turned(0, 20), unnamed) is None


def test_distances_are_of_sets_of_one_size_and_not_of_few():
    random = np.random.default_rng(0)
    made, real, others = (random.standard_normal((number, 3)) for number in (20, 20, 18))
    measure = compare_sets(made + 1, real, others)
    assert measure is not None and measure.name == "Frechet distance, 18 clips"
    assert measure.generated.mean == pytest.approx(frechet_distance(made[:18] + 1, others))
    assert measure.recorded.mean == pytest.approx(frechet_distance(real[:18], others))
    assert measure.generated.mean > measure.recorded.mean and math.isinf(measure.generated.high)
    few = FEWEST_CLIPS - 1
    assert compare_sets(made[:few], real[:few], others) is None
    assert compare_sets(made, real, others[:few]) is None


def test_a_judge_that_is_not_installed_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "resemblyzer", None)  # as where there is none
    with pytest.raises(
        UserError, match=r"cannot be imported.*no voices are judged; run `pip install -e '\.\[evaluate\]'`"
    ):
        VoiceJudge()


@needs("resemblyzer")
def test_a_voice_is_more_like_itself_than_like_any_other():
    judge = VoiceJudge()
    speakers = ("allison_en", "carlo_it", "june_fr", "ivrvoice_ru")
    voices = np.array([[judge.embed(*clip) for clip in speech(speaker, 4)] for speaker in speakers])
    assert np.linalg.norm(voices, axis=-1) == pytest.approx(np.ones((4, 4)))
    flat, rows = voices.reshape(16, -1), np.repeat(np.arange(4), 4)
    for speaker in range(4):
        own = np.flatnonzero(rows == speaker)
        measure = compared(flat[own], flat[own], own, flat, rows)
        assert measure is not None and measure.chance is not None
        assert measure.recorded.mean > measure.chance.mean + 0.1, speakers[speaker]


@needs("resemblyzer")
@pytest.mark.filterwarnings("error")
def test_it_hears_no_voice_in_nothing_and_changes_no_random_numbers():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    judge = VoiceJudge()
    assert torch.rand(1) == expected
    assert judge.embed(np.zeros(16_000, np.float32), 16_000) is None
    assert judge.embed(np.zeros(0, np.float32), 16_000) is None
    assert judge.embed(np.full(100, 0.5, np.float32), 8_000) is None, "too short to hear anything in"
    hum = 0.3 * np.sin(np.arange(16_000) * 2 * np.pi * 50 / 16_000)
    assert judge.embed(hum.astype(np.float32), 16_000) is None
