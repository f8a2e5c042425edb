"""The rules: what each keeps and drops, and that none does harm."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep import rules
from data_prep.options import RuleOptions
from data_prep.rules import RULES, Outcome, apply_rules, cut, find_bounds, find_gain, find_sound, is_silent
from data_prep.sines import Sines
from data_prep.sources import Source
from tests.data_prep.corpus import noise, write
from wavenet_pl.audio.loudness import loudness
from wavenet_pl.audio.wav import to_int16


def outcome(folder: Path, audio: npt.ArrayLike, rate: int = 16_000, **options: float) -> Outcome:
    """What becomes of a float recording."""
    path = write(folder / "a.wav", audio, rate, subtype="FLOAT")
    return apply_rules(Source(name="a.wav", path=str(path), size=1), RuleOptions(**options))  # type: ignore[arg-type]


def seconds(found: Outcome) -> dict[str, tuple[float, float]]:
    """Rule -> (kept, dropped)."""
    return {step.rule: (step.kept, step.dropped) for step in found.steps}


def quiet_loud_quiet(
    before: float, sound: float, after: float, level: float = 0.1
) -> npt.NDArray[np.float32]:
    pauses = [1e-4 * level * noise(length, level=1.0, seed=1) for length in (before, after)]
    return np.concatenate([pauses[0], noise(sound, level=level), pauses[1]])


def test_every_rule_hands_on_what_it_kept(tmp_path: Path) -> None:
    found = outcome(tmp_path, quiet_loud_quiet(1.0, 1.5, 0.5), trim=40, loudness=-23)
    assert [step.rule for step in found.steps] == list(RULES)
    for before, after in zip(found.steps[:-1], found.steps[1:], strict=True):
        assert after.kept + after.dropped == pytest.approx(before.kept)
    assert found.steps[-1].kept == pytest.approx(sum(len(part.audio) for part in found.parts) / 16_000)


def test_a_stretch_goes_through_the_rules_alone_and_the_rest_is_counted(tmp_path: Path) -> None:
    audio = noise(3)
    path = write(tmp_path / "a.wav", audio, subtype="FLOAT")
    source = Source(name="a.wav", path=str(path), size=1, stretch=(16_000, 40_000))
    found = apply_rules(source, RuleOptions(min_seconds=1.4))
    assert seconds(found)["decode"] == pytest.approx((1.5, 1.5))
    (part,) = found.parts
    assert part.start == 16_000
    np.testing.assert_array_equal(part.audio, to_int16(audio[16_000:40_000]))
    assert not apply_rules(source, RuleOptions(min_seconds=1.6)).parts


def test_resampling_keeps_the_seconds(tmp_path: Path) -> None:
    found = outcome(tmp_path, noise(2, 44_100), 44_100)
    assert seconds(found)["resample"][0] == pytest.approx(2, abs=1e-4)
    assert [step.changed for step in found.steps if step.rule == "resample"] == [True]


def test_trim_cuts_both_ends_and_says_how_much(tmp_path: Path) -> None:
    found = outcome(tmp_path, quiet_loud_quiet(1.0, 1.5, 0.5), trim=40)
    kept, lost = seconds(found)["trim"]
    assert kept == pytest.approx(1.5 + 0.2, abs=0.05)  # a tenth of a second stays at either end
    assert kept + lost == pytest.approx(3.0)
    assert found.parts[0].start == pytest.approx(0.9 * 16_000, abs=400)


def test_without_trim_the_ends_stay(tmp_path: Path) -> None:
    assert seconds(outcome(tmp_path, quiet_loud_quiet(1.0, 1.5, 0.5)))["trim"] == (3.0, 0.0)


@settings(max_examples=60)
@given(
    gain=st.floats(-90, 0),
    parts=st.lists(st.tuples(st.floats(0.01, 1), st.floats(-100, 0)), min_size=1, max_size=6),
    decibels=st.floats(1, 120),
    offset=st.floats(-0.5, 0.5),
)
def test_trim_never_eats_a_recording(
    gain: float, parts: list[tuple[float, float]], decibels: float, offset: float
) -> None:
    pieces = [noise(length, level=10 ** ((level + gain) / 20)) for length, level in parts]
    audio = (np.concatenate(pieces) + np.float32(offset)).astype(np.float32)
    first, last = find_sound(audio, 16_000, decibels)
    assert 0 <= first < last <= len(audio)
    assert last - first >= min(len(audio), 1_600)  # at least the margin around what is loudest
    power = np.square(audio.astype(np.float64) - audio.mean(dtype=np.float64))
    assert power[first:last].sum() >= 0.1 * power.sum()


@pytest.mark.parametrize("level", [1.0, 1e-2, 1e-4])
def test_trim_measures_against_the_recording_itself(level: float) -> None:
    audio = quiet_loud_quiet(0.5, 1.0, 0.5)
    assert find_sound(np.float32(level) * audio, 16_000, 40) == find_sound(audio, 16_000, 40)


def test_a_click_is_not_the_level() -> None:
    audio = 0.001 * noise(2, level=1.0)
    audio[100] = 1.0
    first, last = find_sound(audio, 16_000, 30)
    assert (first, last) == (0, len(audio))


def test_a_short_word_in_a_long_pause_is_found() -> None:
    first, last = find_sound(quiet_loud_quiet(5.0, 0.12, 5.0), 16_000, 40)
    assert (last - first) / 16_000 == pytest.approx(0.32, abs=0.05)


@pytest.mark.parametrize(
    "audio", [np.zeros(100), np.full(16_000, 0.25), 1e-4 * noise(1, level=0.5), np.zeros(0)]
)
def test_silence_is_silent(audio: npt.NDArray[np.float32]) -> None:
    assert is_silent(*find_bounds(audio.astype(np.float32)))


def test_silence_is_dropped_with_its_seconds(tmp_path: Path) -> None:
    found = outcome(tmp_path, np.zeros(24_000), trim=40, loudness=-23)
    assert seconds(found)["silence"] == (0.0, 1.5)
    assert found.steps[-1].reason == "silent: nothing above -72 dBFS"
    assert found.parts == ()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("rate", [16_000, 22_050])
def test_samples_that_are_no_numbers_are_dropped(tmp_path: Path, bad: float, rate: int) -> None:
    audio = noise(1, rate)
    audio[777] = bad
    found = outcome(tmp_path, audio, rate)
    assert (found.steps[-1].rule, found.steps[-1].reason) == ("finite", "samples that are no numbers")
    assert seconds(found)["finite"] == (0.0, 1.0)


@pytest.mark.parametrize("level", [0.001, 0.02, 0.2])
def test_loudness_is_reached(tmp_path: Path, level: float) -> None:
    found = outcome(tmp_path, noise(2, level=level), loudness=-30)
    assert loudness((found.parts[0].audio / 32768).astype(np.float32), 16_000) == pytest.approx(-30, abs=0.1)


def test_a_level_out_of_reach_is_said(tmp_path: Path) -> None:
    audio = noise(1, level=0.01)
    audio[500] = 0.9
    assert [step.limited for step in outcome(tmp_path, audio, rms=-10).steps if step.rule == "level"] == [
        True
    ]
    assert [step.limited for step in outcome(tmp_path, audio, rms=-40).steps if step.rule == "level"] == [
        False
    ]


def test_rms_is_reached(tmp_path: Path) -> None:
    samples = outcome(tmp_path, noise(2, level=0.01), rms=-25).parts[0].audio / 32768
    assert 20 * math.log10(np.sqrt(np.mean(samples**2))) == pytest.approx(-25, abs=0.05)


@settings(max_examples=40)
@given(
    level=st.floats(1e-3, 3),
    target=st.floats(-60, -1),
    measure=st.sampled_from(["loudness", "rms"]),
    crest=st.floats(0, 1),
)
def test_a_level_is_never_bought_with_clipping(
    level: float, target: float, measure: str, crest: float
) -> None:
    audio = noise(0.5, level=level)
    audio[100] = crest
    gain, limited = find_gain(audio, RuleOptions(**{measure: target}))  # type: ignore[arg-type]
    assert gain > 0
    assert limited == (np.abs(audio * np.float32(gain)).max() > 0.9999)
    assert np.abs(audio * np.float32(gain)).max() <= 32767.5 / 32768


@pytest.mark.parametrize("options", [RuleOptions(loudness=-23), RuleOptions(rms=-23)])
@pytest.mark.parametrize("audio", [np.zeros(16_000, np.float32), np.full(16_000, 1e-30, np.float32)])
def test_silence_is_not_divided_by(options: RuleOptions, audio: npt.NDArray[np.float32]) -> None:
    gain, _ = find_gain(audio, options)
    assert math.isfinite(gain)
    assert np.isfinite(audio * np.float32(gain)).all()


def test_what_passes_full_scale_is_turned_down_and_not_clipped(tmp_path: Path) -> None:
    audio = np.float32(1.9) * np.sin(np.arange(16_000) / 20).astype(np.float32)
    found = outcome(tmp_path, audio)
    np.testing.assert_allclose(found.parts[0].audio / 32767, audio / 1.9, atol=1e-3)
    assert not found.flaws
    assert [step.changed for step in found.steps if step.rule == "peak"] == [True]


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
@pytest.mark.parametrize("rate", [16_000, 44_100])
@pytest.mark.parametrize("channels", [1, 2])
def test_clipped_samples_are_told(tmp_path: Path, subtype: str, rate: int, channels: int) -> None:
    """In a channel of the source: what mixing, resampling and levels make of it no longer shows."""
    audio = np.stack([1.5 * np.sin(np.arange(rate) / 20), *[0.1 * np.ones(rate)] * (channels - 1)], axis=1)
    share = np.mean(np.abs(audio[:, 0]) >= 1)
    path = write(tmp_path / "a.wav", np.clip(audio, -1, 1), rate, subtype=subtype)
    found = apply_rules(Source(name="a.wav", path=str(path), size=1), RuleOptions(rms=-30))
    assert found.parts
    assert float(found.flaws["clipped"].split(" %")[0]) == pytest.approx(100 * share, rel=0.02)


def test_peaks_that_just_reach_full_scale_are_no_flaw(tmp_path: Path) -> None:
    audio = np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    audio[100:102] = 1.0
    assert outcome(tmp_path, audio / np.abs(audio).max()).flaws == {}
    assert (
        apply_rules(
            Source(name="a", made=Sines(frequencies=(440, 660), amplitude=0.5, seconds=1, seed=0, number=0)),
            RuleOptions(),
        ).flaws
        == {}
    )


@pytest.mark.parametrize(("offset", "told"), [(0.0, False), (0.009, False), (0.011, True), (-0.3, True)])
def test_an_offset_is_told(tmp_path: Path, offset: float, told: bool) -> None:
    audio = noise(1, level=0.05)
    flaws = outcome(tmp_path, audio - audio.mean() + offset).flaws
    assert flaws == ({"offset": f"{offset:+.3f} of full scale"} if told else {})


def test_short_recordings_are_dropped_with_their_seconds(tmp_path: Path) -> None:
    found = outcome(tmp_path, noise(0.4), min_seconds=0.5)
    assert seconds(found)["length"] == (0.0, 0.4)
    assert found.steps[-1].reason == "0.400 s, shorter than 0.5 s"


def test_a_recording_as_long_as_the_least_stays(tmp_path: Path) -> None:
    assert outcome(tmp_path, noise(0.5), min_seconds=0.5).parts


def test_sixteen_bits_come_back_exactly() -> None:
    codes = np.arange(-32768, 32768).astype(np.int16)
    np.testing.assert_array_equal(to_int16((codes / 32768).astype(np.float32)), codes)


@given(st.floats(-4, 4, width=32))
def test_rounding_goes_to_the_nearest_step_and_never_wraps(value: float) -> None:
    rounded = int(to_int16(np.array([value], np.float32))[0])
    assert abs(rounded - min(max(value * 32768, -32768), 32767)) <= 0.5 + 1e-3


@given(samples=st.integers(1, 4_000), start=st.integers(0, 100))
def test_parts_are_the_whole_and_none_is_too_long(samples: int, start: int) -> None:
    audio = np.arange(samples).astype(np.int16)
    parts = cut(audio, sample_rate=10, start=start)  # a minute is 600 samples
    np.testing.assert_array_equal(np.concatenate([part.audio for part in parts]), audio)
    assert all(part.start == start + int(part.audio[0]) for part in parts)
    assert max(len(part.audio) for part in parts) <= 600
    assert max(len(part.audio) for part in parts) - min(len(part.audio) for part in parts) <= 1


def test_exactly_a_minute_is_not_cut() -> None:
    assert len(cut(np.zeros(600, np.int16), sample_rate=10)) == 1
    assert rules.MAX_PART_SECONDS == 60
