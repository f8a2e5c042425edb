"""Reading sources: what is audio comes in whole, what is not says why."""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data_prep.decoding import decode_source, hash_file
from tests.audio.files import claiming, encoded
from tests.data_prep.corpus import noise, write
from tests.nobody import not_ours
from wavenet_pl.audio import decoder, decoding
from wavenet_pl.audio.streams import Unreadable


def wav_bytes(seconds: float = 1.0, rate: int = 16_000) -> bytearray:
    buffer = io.BytesIO()
    soundfile.write(buffer, noise(seconds, rate), rate, format="WAV", subtype="PCM_16")
    return bytearray(buffer.getvalue())


def save(folder: Path, name: str, data: bytes | bytearray) -> str:
    (folder / name).write_bytes(data)
    return str(folder / name)


def why_not(path: str) -> str:
    with pytest.raises(Unreadable) as caught:
        decode_source(path, 16_000)
    return caught.value.reason


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_16_bit_audio_at_the_wanted_rate_comes_in_exactly(tmp_path: Path, name: str) -> None:
    audio = np.random.default_rng(0).integers(-32768, 32768, 20_000).astype(np.int16)
    decoded = decode_source(str(write(tmp_path / name, audio)), 16_000)
    np.testing.assert_array_equal(decoded.audio * 32768, audio)
    assert (decoded.seconds, decoded.sample_rate, decoded.channels) == (1.25, 16_000, 1)


@pytest.mark.parametrize("name", ["a.ogg", "a.mp3", "a.MP3"])
def test_ogg_and_mp3_are_read(tmp_path: Path, name: str) -> None:
    time = np.arange(22_050 * 2) / 22_050
    path = write(tmp_path / name, 0.5 * np.sin(2 * np.pi * 440 * time), 22_050, format=name[-3:].upper())
    decoded = decode_source(str(path), 16_000)
    assert decoded.seconds == pytest.approx(2, abs=0.1)
    spectrum = np.abs(np.fft.rfft(decoded.audio))
    assert np.argmax(spectrum) * 16_000 / len(decoded.audio) == pytest.approx(440, abs=2)


def test_channels_are_averaged(tmp_path: Path) -> None:
    audio = np.stack([noise(1), noise(1, seed=1)], axis=1)
    decoded = decode_source(str(write(tmp_path / "a.wav", audio, subtype="FLOAT")), 16_000)
    np.testing.assert_allclose(decoded.audio, audio.mean(axis=1), atol=1e-7)
    assert decoded.channels == 2


def test_blocks_do_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(write(tmp_path / "a.flac", noise(3, 22_050), 22_050))
    whole = decode_source(path, 16_000).audio
    monkeypatch.setattr(decoder, "BLOCK", 1_000)
    np.testing.assert_array_equal(decode_source(path, 16_000).audio, whole)


@pytest.mark.parametrize("rate", [1, 999, 768_001, 2**31 - 1])
def test_a_header_with_an_absurd_rate_is_refused(tmp_path: Path, rate: int) -> None:
    data = wav_bytes()
    data[24:28] = struct.pack("<I", rate)
    assert why_not(save(tmp_path, "a.wav", data)) == f"its header says {rate} Hz, expected 1000 to 768000"


def test_a_header_that_claims_200_hours_takes_no_memory_for_them(tmp_path: Path) -> None:
    data = claiming(encoded(noise(1), "FLAC", "PCM_16"), 200 * 3600 * 16_000)
    assert (
        why_not(save(tmp_path, "a.flac", data)) == "cut short: its header says 720000.00 s, 1.00 s are there"
    )


def test_a_source_of_many_hours_is_refused_as_soon_as_it_is_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "LONGEST_SECONDS", 0.9)
    path = str(write(tmp_path / "a.wav", noise(1)))
    with pytest.raises(Unreadable, match="longer than 0.00025 hours: cut it in several files"):
        decode_source(path, 16_000)


def test_a_wav_that_was_cut_is_not_taken_for_a_short_one(tmp_path: Path) -> None:
    reason = why_not(save(tmp_path, "a.wav", wav_bytes()[:16_044]))
    assert reason == "cut short: its header says 32000 bytes of audio, 16000 are there"


@pytest.mark.parametrize("name", ["a.flac", "a.mp3", "a.ogg"])
def test_half_a_file_is_refused(tmp_path: Path, name: str) -> None:
    whole = write(tmp_path / name, noise(5), format=name[2:].upper()).read_bytes()
    assert why_not(save(tmp_path, name, whole[: len(whole) // 2])).startswith(
        ("cut short", "cannot be decoded")
    )


def test_what_is_no_audio_says_so(tmp_path: Path) -> None:
    assert why_not(save(tmp_path, "a.wav", b"To be, or not to be\n" * 99)).startswith("cannot be decoded: ")
    assert why_not(save(tmp_path, "b.wav", b"")) == "empty file"
    assert why_not(str(tmp_path / "c.wav")) == "no such file"
    assert why_not(str(write(tmp_path / "d.wav", np.zeros(0)))) == "no samples in it"


def test_what_may_not_be_read_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(Path("a.wav"), noise(1))
    with not_ours(path):
        assert why_not(str(path)) == "may not be read"


def test_a_name_that_is_no_utf8_is_read(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/caf\xe9.wav"
    with open(path, "wb") as file:
        file.write(wav_bytes())
    assert len(decode_source(os.fsdecode(path), 16_000).audio) == 16_000


def test_a_hash_is_of_the_content(tmp_path: Path) -> None:
    first, second = save(tmp_path, "a", b"one"), save(tmp_path, "b", b"one")
    assert hash_file(first) == hash_file(second) != hash_file(save(tmp_path, "c", b"two"))
    with pytest.raises(Unreadable, match="No such file"):
        hash_file(str(tmp_path / "none"))
