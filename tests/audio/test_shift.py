"""Notes that stand where they sound are never taken for those of another piece, however even their rhythm."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from wavenet_pl.audio.midi import Score
from wavenet_pl.audio.shift import shift_flaws

RATE, HOP, SECONDS = 16_000, 64, 8.0


def score_of(strikes: list[tuple[float, int]], hold: float) -> Score:
    onsets, keys = (np.array(column) for column in zip(*sorted(strikes), strict=True))
    none = np.zeros(0, np.int64)
    return Score(onsets.astype(float), onsets + hold, keys, np.full(len(keys), 90), none.astype(float), none)


def heard(
    score: Score, attack: float = 0.0, fade: float = 3.0, noise: float = 1e-4
) -> npt.NDArray[np.float32]:
    """(samples,) of harmonics that rise within `attack` seconds and die away."""
    random = np.random.default_rng(0)
    audio = noise * random.standard_normal(round(SECONDS * RATE))
    for onset, offset, key in zip(score.onsets, score.offsets, score.keys, strict=True):
        begin = round(onset * RATE)
        time = np.arange(min(round((offset - onset + 0.05) * RATE), len(audio) - begin)) / RATE
        loud = np.exp(-fade * time) * (1 - np.exp(-time / (attack or 1e-5)))
        loud *= np.clip((offset - onset + 0.05 - time) / 0.05, 0, 1)
        for partial in (1, 2, 3, 4, 5):
            hertz = 440 * 2 ** ((key - 69) / 12) * partial
            if hertz < RATE / 2:
                audio[begin : begin + len(time)] += 0.05 / partial * loud * np.sin(2 * np.pi * hertz * time)
    return audio.astype(np.float32)


def echoing(audio: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The same in a large hall."""
    echo = np.random.default_rng(1).standard_normal(RATE) * np.exp(-7 * np.arange(RATE) / RATE)
    echo[0] = 3
    size = 2 * len(audio)
    return np.fft.irfft(np.fft.rfft(audio, size) * np.fft.rfft(echo, size), size)[: len(audio)].astype(
        np.float32
    )


KEYS = np.random.default_rng(2).integers(40, 80, 400)
RHYTHMS = {
    "quarters": score_of([(0.3 + n / 2, 48 + 12 * (n % 2) + k) for n in range(14) for k in (0, 4, 7)], 0.45),
    "eighths": score_of([(0.3 + n / 4, int(KEYS[n])) for n in range(29)], 0.23),
    "sixteenths": score_of([(0.3 + n / 8, int(KEYS[n])) for n in range(58)], 0.12),
    "trill": score_of([(0.3 + n / 20, int(KEYS[n])) for n in range(148)], 0.04),
    "one key": score_of([(0.3 + n / 8, 60) for n in range(58)], 0.12),
}
SOUNDS: dict[str, Callable[[Score], npt.NDArray[np.float32]]] = {
    "plucked": heard,
    "blown": lambda score: heard(score, attack=0.02),
    "bowed": lambda score: heard(score, attack=0.06, fade=0.3),
    "noisy": lambda score: heard(score, noise=0.02),
    "in a hall": lambda score: echoing(heard(score, attack=0.02)),
}


@pytest.mark.parametrize("sound", SOUNDS)
@pytest.mark.parametrize("rhythm", RHYTHMS)
def test_an_even_rhythm_that_stands_where_it_sounds_is_no_other_piece(rhythm: str, sound: str) -> None:
    score = RHYTHMS[rhythm]
    assert "unheard" not in shift_flaws(score, SOUNDS[sound](score), RATE, HOP)


@pytest.mark.parametrize("rhythm", ["eighths", "sixteenths"])
def test_another_piece_in_an_even_rhythm_is_told(rhythm: str) -> None:
    score, other = RHYTHMS[rhythm], RHYTHMS["one key"]
    late = Score(
        other.onsets + 0.03,
        other.offsets,
        other.keys + 1,
        other.velocities,
        other.pedal_seconds,
        other.pedal_values,
    )
    assert "unheard" in shift_flaws(score, echoing(heard(late, attack=0.06)), RATE, HOP)
