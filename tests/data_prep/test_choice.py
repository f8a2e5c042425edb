"""Choosing: more minutes hold fewer minutes' audio, a tenth is held out, and too little is refused."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from data_prep.choice import choose
from data_prep.hearing import Heard, examine
from data_prep.sources import Source
from tests.data_prep.corpus import noise, write
from tests.data_prep.voices import GAP, RATE, chosen, copy_voice, speech, used_of
from wavenet_pl.errors import UserError


def recordings(*seconds: float) -> list[Heard]:
    """So long, and sound from end to end."""
    frames = [round(length * RATE) for length in seconds]
    return [
        Heard(source=Source(name=f"{number}.wav", sha256=f"{number:064}"), frames=count, sounds=((0, count),))
        for number, count in enumerate(frames)
    ]


def seconds_of(choice_part: tuple[object, ...]) -> list[float]:
    return [piece.samples / RATE for piece in choice_part]  # type: ignore[attr-defined]


def test_more_minutes_hold_all_that_fewer_do(tmp_path: Path) -> None:
    heard = examine(copy_voice(tmp_path), RATE)
    choices = [choose(heard, minutes, 0.0, RATE) for minutes in (0.05, 0.1, 0.17, 0.3, 0.5, 0.8, None)]
    for fewer, more in pairwise(choices):
        large = used_of(more)
        for name, stretches in used_of(fewer).items():
            first, last = min(start for start, _ in stretches), max(stop for _, stop in stretches)
            assert min(start for start, _ in large[name]) <= first
            assert max(stop for _, stop in large[name]) >= last


@pytest.mark.parametrize("minutes", [0.1, 0.25, 0.5])
def test_so_much_is_used_as_was_asked_for_held_out_audio_included(tmp_path: Path, minutes: float) -> None:
    choice = chosen(copy_voice(tmp_path), minutes)
    used = choice.train_seconds + choice.held_out_seconds
    assert used <= minutes * 60
    assert (
        used > minutes * 60 - 0.6
    )  # the last one ends with a sound, or its rest is shorter than half a second


def test_a_tenth_is_held_out_by_recording() -> None:
    choice = choose(recordings(*[3.0, 5.0, 4.0, 2.5] * 10), None, GAP, RATE)
    assert choice.held_out_seconds / (choice.train_seconds + choice.held_out_seconds) == pytest.approx(
        0.1, abs=0.02
    )
    assert not set(used_of(choice, ["train"])) & set(used_of(choice, ["held_out"]))
    assert len(choice.train) + len(choice.held_out) == 40


@pytest.mark.parametrize("lengths", [(60, 10), (10, 60), (60, 30), (60, 4)])
def test_of_two_recordings_the_shorter_is_held_out(lengths: tuple[float, float]) -> None:
    choice = choose(recordings(*lengths), None, GAP, RATE)
    assert seconds_of(choice.train) == [max(lengths)]
    assert seconds_of(choice.held_out) == [min(lengths)]
    assert (choice.gap, choice.is_split) == (0, False)


def test_beside_a_long_recording_a_scrap_is_not_all_that_is_held_out() -> None:
    choice = choose(recordings(0.3, 60, 0.4), None, GAP, RATE)
    (held_out,) = choice.held_out
    assert choice.is_split
    assert held_out.samples / RATE == pytest.approx(6.07, abs=0.01)
    assert held_out.start - choice.train[0].stop == choice.gap
    assert choice.train_seconds + choice.held_out_seconds == pytest.approx(60.7 - GAP)


@pytest.mark.parametrize(("length", "held"), [(30.0, 3.0), (6.0, 1.0), (2.4, 0.8)])
def test_of_a_single_recording_the_end_is_held_out_after_a_gap(length: float, held: float) -> None:
    choice = choose(recordings(length), None, GAP, RATE)
    (train,), (held_out,) = choice.train, choice.held_out
    assert choice.is_split
    assert held_out.samples == pytest.approx(held * RATE, abs=1)
    assert (train.start, held_out.stop) == (0, round(length * RATE))
    assert held_out.start - train.stop == choice.gap == GAP * RATE


def test_minutes_that_leave_one_recording_split_it() -> None:
    choice = choose(recordings(60, 60, 60), 0.2, GAP, RATE)
    assert choice.is_split
    assert choice.held_out[0].stop == 12 * RATE


def test_the_end_of_a_single_recording_is_where_its_sound_ends(tmp_path: Path) -> None:
    hush = np.zeros(5 * RATE)
    write(tmp_path / "a.wav", np.concatenate([hush, noise(6), hush]))
    (train,), (held_out,) = (choice := chosen(tmp_path)).train, choice.held_out
    assert train.start == pytest.approx(5 * RATE, abs=320)
    assert held_out.stop == pytest.approx(11 * RATE, abs=320)


def test_a_rest_of_less_than_half_a_second_is_left_out() -> None:
    heard = recordings(4, 4, 4, 4)
    assert seconds_of(choose(heard, 12.4 / 60, GAP, RATE).train) == [4, 4]
    longer = choose(heard, 12.6 / 60, GAP, RATE)
    assert sorted(seconds_of(longer.train + longer.held_out)) == [0.6, 4, 4, 4]


def test_what_cannot_be_used_is_not() -> None:
    bad = Heard(source=Source(name="bad.wav"), frames=9 * RATE, sounds=((0, RATE),), problem="broken")
    assert "bad.wav" not in used_of(choose([bad, *recordings(3, 3)], None, GAP, RATE))


def test_the_fingerprint_is_that_of_content_and_choice(tmp_path: Path) -> None:
    here, there = copy_voice(tmp_path / "here"), copy_voice(tmp_path / "there")
    assert chosen(here).fingerprint == chosen(there).fingerprint
    assert chosen(here, 0.3).fingerprint != chosen(here).fingerprint
    name = chosen(here).train[0].heard.source.name
    write(there / name, -speech(3))
    assert chosen(here).fingerprint != chosen(there).fingerprint


@pytest.mark.parametrize("minutes", [0.03, 0.0, -1.0, math.nan])
def test_too_few_minutes_are_refused(minutes: float) -> None:
    with pytest.raises(
        UserError, match=r"--minutes is .*, expected at least 2 s: 0.04 or more; leave it out"
    ):
        choose(recordings(60), minutes, GAP, RATE)


def test_ten_seconds_of_silence_are_one_message(tmp_path: Path) -> None:
    write(tmp_path / "hush.wav", np.zeros(10 * RATE))
    with pytest.raises(
        UserError,
        match=r"^no audio in --audio can be used \(hush.wav: silent: nothing above -72 dBFS\), expected at least 2 s "
        "of speech at 16000 Hz or more; give other recordings$",
    ):
        chosen(tmp_path)


def test_of_many_files_that_cannot_be_used_five_are_named(tmp_path: Path) -> None:
    for number in range(9):
        write(tmp_path / f"{number}.wav", np.full(RATE, 0.001 * number))
    with pytest.raises(UserError, match="and 4 more") as caught:
        chosen(tmp_path)
    assert str(caught.value).count("silent") == 5


def test_less_than_two_seconds_are_refused_and_bad_files_named(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", noise(1.2))
    write(tmp_path / "b.wav", np.zeros(RATE))
    with pytest.raises(
        UserError,
        match=r"--audio has 1\.2 s that can be used \(and b.wav: silent.*\), expected at least 2 s of speech",
    ):
        chosen(tmp_path)


def test_a_single_recording_that_the_gap_uses_up_is_refused() -> None:
    with pytest.raises(
        UserError,
        match=r"0.wav, the longest recording, has 2\.4 s from its first sound to its last, of which 0\.8 s are "
        r"held out after a gap of 1\.5 s.*"
        r"expected 0\.5 s or more to train on; give more audio",
    ):
        choose(recordings(2.4), None, 1.5, RATE)
