"""Audio files whose end is missing, where the decoder does not say so."""

from __future__ import annotations

import struct

import pytest
import soundfile

from tests.shards.damages import audio_bytes
from wavenet_pl.shards.containers import missing_end
from wavenet_pl.shards.format import audio_info


@pytest.mark.parametrize("extension", ["wav", "ogg", "flac", "mp3"])
def test_whole_files_have_an_end(extension: str) -> None:
    for frames in (1, 999, 20_000):
        assert missing_end(audio_bytes(frames, extension)) == ""


@pytest.mark.parametrize("extension", ["wav", "ogg"])
@pytest.mark.parametrize("kept", [0.5, 0.8, 0.999])
def test_cut_files_are_found_though_the_decoder_takes_them(extension: str, kept: float) -> None:
    data = audio_bytes(20_000, extension)
    data = data[: int(kept * len(data))]
    assert audio_info(data).frames < 20_000, "a decoder that notices would need no help"
    assert missing_end(data)


def test_wav_cut_by_one_sample_says_how_much_is_there() -> None:
    assert missing_end(audio_bytes(1_000)[:-2]) == "1998 of its 2000 bytes of samples are there"


def test_wav_with_chunks_around_the_samples_is_whole() -> None:
    data = audio_bytes(1_000)
    extra = b"LIST" + struct.pack("<I", 5) + b"abcde\0"
    data = data[:36] + extra + data[36:] + extra
    assert missing_end(data) == ""


@pytest.mark.parametrize("size", [0x7FFFFFFF, 0xFFFFFFFF])
def test_wav_from_a_pipe_does_not_know_its_length(size: int) -> None:
    data = bytearray(audio_bytes(1_000))
    data[40:44] = struct.pack("<I", size)
    assert missing_end(bytes(data)) == ""


def test_big_endian_wav_is_read_as_such() -> None:
    import io

    buffer = io.BytesIO()
    soundfile.write(buffer, [0.0] * 300, 8000, format="WAV", subtype="PCM_16", endian="BIG")
    assert buffer.getvalue()[:4] == b"RIFX"
    assert missing_end(buffer.getvalue()) == ""
    assert missing_end(buffer.getvalue()[:-100])


@pytest.mark.parametrize("data", [b"", b"RIFF", b"OggS", b"RIFF" + b"\xff" * 60, b"OggS" + b"\xff" * 300])
def test_nonsense_is_survived(data: bytes) -> None:
    missing_end(data)
