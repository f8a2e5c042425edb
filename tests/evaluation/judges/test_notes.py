"""Notes told and heard: frames against counting by hand, and, with the judge, chords of made strings."""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import ModuleSpec

import numpy as np
import pytest

from tests.evaluation.installed import needs
from wavenet_pl.audio.midi import LOWEST_KEY, Score, piano_roll
from wavenet_pl.errors import UserError
from wavenet_pl.evaluation.judges.notes import NoteJudge, compare_keys, condition_keys

RATE, HOP = 16_000, 64


def notes(*played: tuple[float, float, int], pedal: tuple[tuple[float, int], ...] = ()) -> Score:
    """From onset, offset and MIDI number of each, and where the pedal moves when."""
    onsets, offsets, keys = zip(*played, strict=True)
    return Score(
        np.array(onsets), np.array(offsets), np.array(keys), np.full(len(keys), 80),
        np.array([second for second, _ in pedal]), np.array([value for _, value in pedal], np.int64),
    )  # fmt: skip


def told(
    seconds: float, *played: tuple[float, float, int], **more: tuple[tuple[float, int], ...]
) -> np.ndarray:
    """Keys (J, K) of a recording of 2 s, of which the first so many count."""
    roll = piano_roll(notes(*played, **more), HOP, 2 * RATE, RATE)
    return condition_keys(roll, HOP, round(seconds * RATE), RATE)


def span(keys: np.ndarray, number: int) -> tuple[float, float]:
    """First and last second in which a key is there, without a hole."""
    frames = np.flatnonzero(keys[:, number - LOWEST_KEY])
    assert len(frames) == frames[-1] - frames[0] + 1
    return tuple(frames[[0, -1]] * 256 / 22_050)  # type: ignore[return-value]


@pytest.mark.parametrize("hop_length", [64, 1_000])
def test_a_key_is_told_when_it_is_down(hop_length):
    roll = piano_roll(notes((0.5, 1.0, 60), (1.2, 1.3, 21), (1.2, 1.3, 108)), hop_length, 2 * RATE, RATE)
    keys = condition_keys(roll, hop_length, 2 * RATE, RATE)
    assert keys.shape == (173, 88) and keys.any(axis=0).sum() == 3
    assert span(keys, 60) == pytest.approx((0.5, 1.0), abs=0.012 + hop_length / RATE)
    assert span(keys, 108) == pytest.approx((1.2, 1.3), abs=0.012 + hop_length / RATE)


def test_the_beginning_is_that_of_the_whole():
    whole, beginning = told(2.0, (0.2, 1.5, 60)), told(1.0, (0.2, 1.5, 60))
    assert len(beginning) == 87 and np.array_equal(beginning[:86], whole[:86])


def test_the_pedal_holds_what_was_let_go_until_it_is_up():
    pedal = ((0.4, 127), (1.2, 0))
    keys = told(2.0, (0.1, 0.3, 60), (0.2, 0.6, 64), (1.4, 1.5, 67), pedal=pedal)
    assert span(keys, 60) == pytest.approx((0.1, 0.3), abs=0.016), "let go before the pedal"
    assert span(keys, 64) == pytest.approx((0.2, 1.2), abs=0.016)
    assert span(keys, 67) == pytest.approx((1.4, 1.5), abs=0.016), "struck after it"
    half = told(2.0, (0.2, 0.6, 64), pedal=((0.4, 63),))
    assert span(half, 64) == pytest.approx((0.2, 0.6), abs=0.016), "not far enough down"


def test_the_pedal_holds_as_one_that_walks_from_frame_to_frame():
    random = np.random.default_rng(0)
    roll = np.zeros((300, 89), np.uint8)
    roll[:, :88] = 90 * (random.random((300, 88)) < 0.02)
    roll[:, 88] = np.repeat(random.integers(0, 128, 30), 10)
    sounds, rows = np.zeros(88, bool), []
    for row in roll:
        sounds = (row[:88] > 0) | (sounds & (row[88] >= 64))
        rows.append(sounds)
    keys = condition_keys(roll, 256, 300 * 256, 22_050)  # a row for each frame of the judge
    assert np.array_equal(keys, np.array(rows))


def test_agreement_is_counted_over_frames_and_keys():
    def keys(*rows: str) -> np.ndarray:
        return np.array([[letter == "x" for letter in row] for row in rows])

    told = [keys("x..", "x.."), keys("..x")]
    heard = [keys("xx.", "..."), keys("..x", "xxx")]  # beyond the recording nothing counts
    found = {measure.name: measure for measure in compare_keys(heard, told, told, [0, 1])}
    assert found["precision"].generated.mean == pytest.approx(2 / 3)
    assert found["recall"].generated.mean == pytest.approx(2 / 3)
    assert found["F1"].recorded.mean == 1
    chance = found["F1"].chance
    assert chance is not None and chance.mean == pytest.approx(2 / 9)
    assert compare_keys(heard[:1], heard[:1], told[:1], [0])[0].chance is None
    assert compare_keys(heard, heard, [told[0]] * 2, [0, 1])[0].chance is None, "all were told the same"
    twice = {each.name: each for each in compare_keys(heard * 2, told * 2, told * 2, [0, 1, 0, 1])}
    assert twice["F1"].generated == found["F1"].generated, "a recording that comes again says nothing new"


def test_chance_is_the_next_clip_that_was_told_something_else_and_finding_it_takes_one_look_at_each(
    monkeypatch,
):
    """Among thousands that were told the same, too."""
    told = [np.full((2, 88), number < 3, bool) for number in range(2000)]
    looks, equal = 0, np.array_equal

    def array_equal(one: np.ndarray, other: np.ndarray) -> bool:
        nonlocal looks
        looks += 1
        return equal(one, other)

    monkeypatch.setattr(np, "array_equal", array_equal)
    *_, f1 = compare_keys(told, told, told, range(len(told)))
    assert looks <= 2 * len(told)
    assert f1.chance is not None and f1.chance.mean == 0


def test_what_is_not_installed_is_said_with_what_to_do(monkeypatch, tmp_path):
    def find(spec: ModuleSpec | None) -> None:
        monkeypatch.setattr("wavenet_pl.evaluation.judges.notes.find_spec", lambda name: spec)

    find(None)
    with pytest.raises(UserError, match=r"basic-pitch is not installed.*--no-deps basic-pitch==0\.4\.0"):
        NoteJudge()
    spec = ModuleSpec("basic_pitch", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    find(spec)
    with monkeypatch.context() as gone:
        gone.setitem(sys.modules, "onnxruntime", None)  # as where there is none
        with pytest.raises(
            UserError, match=r"onnxruntime cannot be imported.*pip install -e '\.\[evaluate\]'"
        ):
            NoteJudge()
    monkeypatch.setitem(sys.modules, "onnxruntime", sys)  # it does not come to that
    with pytest.raises(UserError, match=r"has no nmp\.onnx where it is expected"):
        NoteJudge()


def strings(seconds: float, *played: tuple[float, float, int]) -> np.ndarray:
    """(samples,) of strings that are struck: harmonics that fade, the higher the faster."""
    time = np.arange(round(seconds * RATE)) / RATE
    audio = np.zeros(len(time))
    for onset, offset, number in played:
        since = time - onset
        sounds = (since >= 0) & (time < offset)
        for harmonic in range(1, 8):
            hertz = 440 * 2 ** ((number - 69) / 12) * harmonic
            if hertz < RATE / 2:
                fade = np.exp(-np.maximum(since, 0) * (1 + harmonic))
                audio += sounds * fade * np.sin(2 * np.pi * hertz * since) / harmonic
    return (0.1 * audio).astype(np.float32)


@needs("basic_pitch", "onnxruntime")
def test_chords_are_heard_when_and_where_they_are_played_and_no_others():
    judge = NoteJudge()
    one = [(at, at + 0.8, key) for at, key in ((0.3, 60), (0.3, 64), (0.3, 67), (2.5, 57), (4.0, 62))]
    other = [(at, at + 0.8, key) for at, key in ((0.3, 58), (0.3, 61), (0.3, 65), (2.5, 66), (4.0, 70))]
    rolls = [piano_roll(notes(*chords), HOP, 5 * RATE, RATE) for chords in (one, other)]
    meant = [condition_keys(roll, HOP, 5 * RATE, RATE) for roll in rolls]
    heard = [judge.hear(strings(5.0, *chords), RATE) for chords in (one, other)]
    assert [keys.shape for keys in heard] == [keys.shape for keys in meant]
    *_, f1 = compare_keys(heard, heard, meant, [0, 1])
    assert f1.generated.mean > 0.7 and f1.chance is not None and f1.chance.mean < 0.2
    begins = [np.flatnonzero(heard[0][:, key - LOWEST_KEY])[0] * 256 / 22_050 for _, _, key in one]
    assert begins == pytest.approx([onset for onset, _, _ in one], abs=0.06), "windows follow without a shift"


@needs("basic_pitch", "onnxruntime")
def test_any_length_is_heard_and_nothing_in_silence():
    judge = NoteJudge()
    for samples in (0, 1, 100, 32_000, 64_001):
        keys = judge.hear(np.zeros(samples, np.float32), RATE)
        assert keys.shape == (-(-samples * 22_050 // (RATE * 256)), 88) and not keys.any()


@needs("basic_pitch", "onnxruntime")
def test_its_package_is_not_imported():
    NoteJudge()
    assert importlib.util.find_spec("basic_pitch") is not None and "basic_pitch" not in sys.modules
