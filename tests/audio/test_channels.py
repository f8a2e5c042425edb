"""Levels of channels before they are mixed: measured from sums, compared with those of whole arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from wavenet_pl.audio.channels import ChannelLevels, ChannelMeter


def levels_of(audio_FC: npt.ArrayLike, cuts: Sequence[int] = ()) -> ChannelLevels:
    blocks = np.split(np.asarray(audio_FC, np.float32), cuts)
    meter = ChannelMeter(blocks[0].shape[1])
    for block in blocks:
        meter.push(block)
    return meter.levels()


def noises(channels: int, frames: int = 4_000) -> npt.NDArray[np.float64]:
    return 0.1 * np.random.default_rng(channels).standard_normal((frames, channels))


@pytest.mark.parametrize("cuts", [(), (1, 2, 1_500), range(100, 4_000, 100)])
@pytest.mark.parametrize("offset", [0.0, 0.6])
def test_levels_are_those_of_the_whole_however_it_comes(cuts: Sequence[int], offset: float) -> None:
    audio = noises(3) * [1.0, 0.1, 0.01] + offset
    levels = levels_of(audio, cuts)
    np.testing.assert_allclose(levels.powers, audio.var(axis=0), rtol=1e-4)
    assert levels.mixed == pytest.approx(audio.mean(axis=1).var(), rel=1e-4)
    assert levels.spread_decibels == pytest.approx(40, abs=0.5)


def test_channels_without_anything_in_common_lose_three_decibels() -> None:
    assert levels_of(noises(2)).lost_decibels == pytest.approx(3, abs=0.2)


@pytest.mark.parametrize(("balance", "lost"), [(-1.0, math.inf), (-0.9, 25.6), (-0.5, 10.0), (1.0, 0.0)])
def test_opposite_channels_lose_what_cancels(balance: float, lost: float) -> None:
    one = noises(1)
    assert levels_of(np.hstack([one, balance * one])).lost_decibels == pytest.approx(lost, abs=0.1)


@pytest.mark.parametrize("audio", [np.zeros((10, 2)), np.full((10, 2), np.nan), np.zeros((0, 2)), noises(1)])
def test_silence_numbers_that_are_none_and_one_channel_have_nothing_to_lose(audio: npt.ArrayLike) -> None:
    levels = levels_of(audio)
    assert (levels.lost_decibels, levels.spread_decibels) == (0.0, 0.0)
