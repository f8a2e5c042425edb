"""Mel frames: where a sine lies and how loud it is can be read off; time is where it should be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import torch

from tests.shards.made import make_audio
from wavenet_pl.errors import UserError
from wavenet_pl.inputs.known import frames_of
from wavenet_pl.inputs.mel import Mel

RATE = 16_000
SPEC = Mel.default(RATE)


def middles() -> npt.NDArray[np.float64]:
    """Hz of every band, equal steps of 2595 log10(1 + f / 700) apart."""
    low, high = (2595 * np.log10(1 + hz / 700) for hz in (SPEC.lowest_hz, SPEC.highest_hz))
    return 700 * (10 ** (np.linspace(low, high, SPEC.num_mels + 2)[1:-1] / 2595) - 1)


def sine(hertz: float, amplitude: float = 1.0, samples: int = RATE) -> npt.NDArray[np.float32]:
    return (amplitude * np.sin(2 * np.pi * hertz * np.arange(samples) / RATE + 0.3)).astype(np.float32)


def speech(samples: int = RATE) -> npt.NDArray[np.float32]:
    return make_audio(samples, RATE).astype(np.float32) / 32768


def test_the_default_is_a_frame_in_twelve_and_a_half_milliseconds() -> None:
    assert SPEC.hop_length == 200 and SPEC.window_length == 800 and SPEC.num_mels == 80


@pytest.mark.parametrize("rate", [1000, 8000, 11_025, 22_050, 48_000])
def test_the_default_of_every_rate_is_a_spec_that_can_be_read(rate: int) -> None:
    spec = Mel.default(rate)
    assert frames_of("mel", spec.spec) == spec
    assert spec.highest_hz < rate / 2


@pytest.mark.parametrize("band", [0, 1, 20, 50, 79])
@pytest.mark.parametrize("decibels", [0.0, -20.0, -60.0])
def test_a_sine_in_the_middle_of_a_band_has_its_level_there(band: int, decibels: float) -> None:
    made = SPEC.of_audio(sine(middles()[band], 10 ** (decibels / 20)), RATE)[4:-4]
    assert made[:, band].astype(float) == pytest.approx(1 + decibels / 80, abs=0.005)
    assert (made.argmax(axis=1) == band).all() or decibels == 0.0  # where neighbours may reach 1, too


def test_silence_is_nothing_and_what_passes_full_scale_is_one() -> None:
    assert not SPEC.of_audio(np.zeros(1234, np.float32), RATE).any()
    assert SPEC.of_audio(4 * sine(middles()[40]), RATE)[:, 40].max() == 1


@pytest.mark.parametrize("samples", [1, 199, 200, 201, 5000])
def test_there_is_a_frame_for_every_begun_hop(samples: int) -> None:
    made = SPEC.of_audio(speech(samples), RATE)
    assert made.shape == (SPEC.num_frames(samples), 80) and made.dtype == np.float16


def test_a_click_is_loudest_in_the_frame_that_has_it_in_its_middle() -> None:
    audio = np.zeros(4000, np.float32)
    audio[10 * 200 + 100] = 1
    assert SPEC.of_audio(audio, RATE).astype(float).sum(axis=1).argmax() == 10


def test_a_part_has_the_frames_of_the_whole_away_from_its_edges() -> None:
    audio = speech()
    whole = SPEC.of_audio(audio, RATE)
    part = SPEC.of_audio(audio[20 * 200 : 60 * 200], RATE)
    assert np.array_equal(part[2:-2], whole[22:58])


def test_the_bytes_do_not_depend_on_the_threads() -> None:
    audio, threads = speech(8 * RATE), torch.get_num_threads()
    made = []
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            made.append(SPEC.of_audio(audio, RATE).tobytes())
    finally:
        torch.set_num_threads(threads)
    assert made[0] == made[1]


def test_bands_that_cannot_be_are_refused() -> None:
    with pytest.raises(UserError, match="has highest_hz 7600, expected 4000 or less, half the sample rate"):
        SPEC.of_audio(speech(), 8000)
    with pytest.raises(UserError, match=r"has num_mels 512, of which \d+ are too narrow .*lower num_mels"):
        replace(SPEC, num_mels=512).of_audio(speech(), RATE)
