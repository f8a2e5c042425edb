"""Words: what the recogniser hears, and how two lists of words are held side by side."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.evaluation.installed import needs, speech
from wavenet_pl.audio.resampling import resample
from wavenet_pl.evaluation.judges.words import Alignment, Recogniser, align, hear_all
from wavenet_pl.signals import EXIT_CODES

WORDS = st.lists(st.sampled_from("abc"), max_size=6)


@pytest.mark.parametrize(
    ("reference", "heard", "expected"),
    [
        ("the number you dialed", "the number you dialed", Alignment(4, 0)),
        ("the number you dialed", "", Alignment(0, 4)),
        ("", "the number", Alignment(0, 2)),
        ("the number you dialed", "a number dialed today", Alignment(2, 3)),
        ("a b c", "c a b", Alignment(2, 2)),
        ("a b", "b", Alignment(1, 1)),
    ],
)
def test_the_fewest_changes_are_counted(reference, heard, expected):
    assert align(reference.split(), heard.split()) == expected


@given(WORDS, WORDS)
def test_an_alignment_is_one_of_all_there_are_and_none_is_better(reference, heard):
    def ways(left: list[str], right: list[str]) -> set[tuple[int, int]]:
        if not left or not right:
            return {(len(left) + len(right), 0)}
        (one, *more), (other, *others) = left, right
        found = {(errors + (one != other), same + (one == other)) for errors, same in ways(more, others)}
        found |= {(errors + 1, same) for errors, same in ways(more, right) | ways(left, others)}
        return found

    errors, same = min(ways(reference, heard), key=lambda way: (way[0], -way[1]))
    assert align(reference, heard) == Alignment(same, errors)


@pytest.mark.slow
@needs("pocketsphinx")
def test_words_of_a_clip_do_not_depend_on_what_was_heard_before_it_nor_on_its_rate():
    clips = speech("allison_en", 4, 3.0)
    expected = [Recogniser().hear(audio, rate) for audio, rate in clips]
    assert sum(map(len, expected)) >= 8, expected
    again = Recogniser()
    again.hear(np.zeros(16_000, np.float32), 16_000)
    again.hear(np.zeros(0, np.float32), 16_000)
    assert [again.hear(audio, rate) for audio, rate in reversed(clips)] == expected[::-1]
    wide = [again.hear(resample(audio, rate, 24_000), 24_000) for audio, rate in clips]
    same = sum(align(one, other).same for one, other in zip(expected, wide, strict=True))
    assert same >= 0.6 * sum(map(len, expected)), "another rate is another rounding, and no other speech"


@pytest.mark.slow
@needs("pocketsphinx")
@pytest.mark.parametrize(
    "processes", [None, pytest.param(1, marks=pytest.mark.soak), 2, pytest.param(3, marks=pytest.mark.soak)]
)
def test_processes_hear_what_one_hears_in_the_order_of_the_clips(processes):
    clips = [audio for audio, _ in speech("allison_en", 4, 2.0)] + [np.zeros(0, np.float32)]
    recogniser = Recogniser()
    expected = [recogniser.hear(clip, 16_000) for clip in clips]
    assert len({*map(tuple, expected)}) > 2
    assert hear_all(recogniser, clips, 16_000, processes) == expected


@pytest.mark.slow
@needs("pocketsphinx")
@pytest.mark.cold("processes are found by the command they began with")
def test_signals_to_all_of_a_job_do_not_end_the_processes_that_hear():
    clips = [audio for audio, _ in speech("allison_en", 4, 2.0)]
    expected, signalled, done = hear_all(Recogniser(), clips, 16_000, 1), set(), threading.Event()

    def signal_all() -> None:
        while not done.wait(0.05):
            for child in " ".join(
                file.read_text() for file in Path("/proc/self/task").glob("*/children")
            ).split():
                if b"judges.words" in Path(f"/proc/{child}/cmdline").read_bytes():
                    for number in EXIT_CODES:
                        os.kill(int(child), number)
                    signalled.add(child)

    thread = threading.Thread(target=signal_all)
    thread.start()
    try:
        assert hear_all(Recogniser(), clips, 16_000, 2) == expected
    finally:
        done.set()
        thread.join()
    assert len(signalled) == 2
