"""Listening: levels, silence, noise and clipping as they were put in; every file that cannot be used is named."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from data_prep.hearing import examine
from tests.data_prep.corpus import noise, write, write_table
from tests.data_prep.voices import RATE, copy_voice, hear, speech
from wavenet_pl.errors import UserError


def test_a_recorded_voice_is_all_usable_and_in_the_order_of_its_names_hashes(tmp_path: Path) -> None:
    heard = examine(copy_voice(tmp_path), RATE)
    assert not [one for one in heard if one.problem]
    assert len(heard) == 29
    assert [one.source.order for one in heard] == sorted(one.source.order for one in heard)
    assert {(one.sample_rate, one.channels) for one in heard} == {(RATE, 1)}


@pytest.mark.parametrize("voice", ["allison_en", "june_fr"])
def test_noise_is_measured_down_to_that_of_the_recording_itself(tmp_path: Path, voice: str) -> None:
    clean = speech(12, voice)
    wanted = range(5, 41, 5)
    for number in wanted:
        level = float(np.sqrt(np.mean(clean.astype(np.float64) ** 2)) * 10 ** (-number / 20))
        noisy = 0.5 * (clean + level * np.random.default_rng(number).standard_normal(len(clean)))
        write(tmp_path / f"{number}.wav", noisy, subtype="FLOAT")
    heard = hear(tmp_path)
    found = [heard[f"{number}.wav"].snr for number in wanted]
    assert found == sorted(found)
    assert found[:-1] == pytest.approx(list(wanted)[:-1], abs=2)
    assert found[-1] == pytest.approx(40, abs=4)  # the studio's own noise comes to it


def test_padding_with_digital_silence_is_no_quiet_room(tmp_path: Path) -> None:
    noisy = speech(6) + noise(6, level=0.02)
    write(tmp_path / "plain.wav", noisy)
    write(tmp_path / "padded.wav", np.concatenate([np.zeros(3 * RATE), noisy]))
    heard = hear(tmp_path)
    assert heard["padded.wav"].snr == pytest.approx(heard["plain.wav"].snr, abs=0.5)


def test_silence_is_where_it_was_put(tmp_path: Path) -> None:
    hiss = 1e-4 * noise(3, level=1.0)
    write(tmp_path / "a.wav", np.concatenate([hiss, noise(2), hiss, noise(2)]), subtype="FLOAT")
    (heard,) = examine(tmp_path, RATE)
    assert heard.silent == pytest.approx(0.6, abs=0.01)
    assert np.array(heard.sounds) / RATE == pytest.approx(np.array([[3, 5], [8, 10]]), abs=0.02)


def test_levels_and_clipping_are_those_of_the_file(tmp_path: Path) -> None:
    wave = 0.25 * np.sin(2 * np.pi * 200 * np.arange(4 * RATE) / RATE)
    write(tmp_path / "sine.wav", wave)
    write(tmp_path / "loud.wav", np.clip(8 * wave, -1, 1))
    heard = hear(tmp_path)
    sine, loud = heard["sine.wav"].levels, heard["loud.wav"].levels
    assert sine is not None
    assert loud is not None
    assert (sine.peak, sine.rms) == pytest.approx((0.25, 0.25 / np.sqrt(2)), rel=1e-3)
    assert sine.clipped == 0
    assert loud.clipped == pytest.approx(
        2 / 3, abs=0.05
    )  # a sine of twice full scale is above it for so long


def test_a_stereo_file_at_a_higher_rate_is_usable_as_it_is(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", np.stack([noise(1, 44_100), noise(1, 44_100, seed=1)], axis=1), 44_100)
    (heard,) = examine(tmp_path, RATE)
    assert (heard.problem, heard.sample_rate, heard.channels) == ("", 44_100, 2)
    assert heard.frames == RATE
    assert heard.seconds == 1


def test_each_file_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    write(tmp_path / "good.flac", speech(1))
    write(tmp_path / "same.flac", speech(1), subtype="PCM_16")
    write(tmp_path / "stereo.wav", np.stack([speech(1)] * 2, axis=1))
    write(tmp_path / "telephone.wav", noise(1, 8_000), 8_000)
    write(tmp_path / "silent.wav", np.zeros(RATE))
    write(tmp_path / "click.wav", np.concatenate([np.zeros(RATE), noise(0.04), np.zeros(RATE)]))
    write(tmp_path / "short.wav", noise(0.05))
    write(tmp_path / "nan.wav", np.full(RATE, np.nan), subtype="FLOAT")
    (tmp_path / "empty.wav").touch()
    (tmp_path / "broken.flac").write_bytes(b"fLaC" + bytes(200))
    (tmp_path / "cut.flac").write_bytes((tmp_path / "good.flac").read_bytes()[:9_000])
    os.mkfifo(tmp_path / "pipe.wav")
    problems = {name: heard.problem for name, heard in hear(tmp_path).items()}
    twins = {name: problems.pop(name) for name in ("good.flac", "same.flac", "stereo.wav")}
    (original,) = (name for name, problem in twins.items() if not problem)
    assert sorted(twins.values()) == ["", *[f"a copy of {original}"] * 2], "equal audio in any kind of file"
    for name, words in {
        "telephone.wav": "8000 Hz, below the model's 16000 Hz: what it lacks above 4000 Hz",
        "silent.wav": "silent: nothing above -72 dBFS",
        "click.wav": "silent but for 0.04 s",
        "short.wav": "0.050 s, shorter than 0.1 s",
        "nan.wav": "samples that are no numbers",
        "empty.wav": "empty file",
        "broken.flac": "cannot be decoded",
        "cut.flac": ("cut short", "cannot be decoded"),  # libsndfile's answer differs from version to version
        "pipe.wav": "no file",
    }.items():
        assert problems.pop(name).startswith(words), name
    assert not problems


def test_what_the_table_keeps_for_a_test_or_names_in_vain_is_not_used(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", noise(1))
    write(tmp_path / "b.wav", noise(1, seed=1))
    write_table(tmp_path, ["file", "split"], ["a.wav", "Testing"], ["b.wav", "val"], ["c.wav", ""])
    assert {name: heard.problem for name, heard in hear(tmp_path).items()} == {
        "a.wav": "a table or a folder keeps it for a test",
        "b.wav": "",
        "c.wav": "metadata.csv names it, and there is no such file",
    }


def test_the_content_is_known_whatever_the_file_is_called(tmp_path: Path) -> None:
    write(tmp_path / "x/a.wav", noise(1))
    write(tmp_path / "y/b.wav", noise(1))
    (first,), (second,) = examine(tmp_path / "x", RATE), examine(tmp_path / "y", RATE)
    assert first.source.sha256 == second.source.sha256


@pytest.mark.parametrize(("name", "words"), [("none", "is no folder"), ("", "holds no audio file")])
def test_no_audio_is_one_message(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(UserError, match=f"^--audio .*{words}.*check the path"):
        examine(tmp_path / name, RATE)
