"""WAV files that are valid while they grow, and FLAC files that are whole in the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.full_disk import full_disk
from wavenet_pl.audio.flac import FlacWriter
from wavenet_pl.audio.wav import WavWriter, to_int16
from wavenet_pl.errors import UserError


def test_a_file_can_be_read_at_any_time(tmp_path: Path) -> None:
    path, codes = tmp_path / "clip.wav", np.arange(-500, 500, dtype=np.int16)
    writer = WavWriter(path, 8_000)
    assert soundfile.info(path).frames == 0
    for start in range(0, 1_000, 100):
        writer.write((codes[start : start + 100] / 32768).astype(np.float32))
        audio, rate = soundfile.read(path, dtype="int16")
        assert rate == 8_000 and np.array_equal(audio, codes[: start + 100])
    writer.close()
    assert soundfile.info(path).frames == 1_000


@pytest.mark.parametrize("kind", [WavWriter, FlacWriter])
def test_a_file_that_is_there_is_replaced_only_where_that_is_meant(tmp_path: Path, kind: Any) -> None:
    path, audio = tmp_path / "clip", np.linspace(-1, 1, 10_000, dtype=np.float32)
    path.write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        kind(path, 8_000, replace=False)
    assert path.read_bytes() == b"mine"
    writer = kind(path, 8_000, replace=True)
    for start in range(0, 10_000, 3_000):
        writer.write(audio[start : start + 3_000])
    writer.close()
    read, rate = soundfile.read(path, dtype="int16")
    assert rate == 8_000 and np.array_equal(read, to_int16(audio))


@pytest.mark.parametrize("kind", [WavWriter, FlacWriter])
@pytest.mark.parametrize("samples", [1_000, 10_000])
@pytest.mark.parametrize("missing", [1, 300])
def test_a_disk_that_does_not_take_the_end_is_an_error(
    tmp_path: Path, kind: Any, samples: int, missing: int
) -> None:
    audio = np.random.default_rng(0).uniform(-1, 1, samples).astype(np.float32)

    def write(path: Path) -> Path:
        writer = kind(path, 8_000)
        try:
            writer.write(audio)
        finally:
            writer.close()
        return path

    size = write(tmp_path / "whole").stat().st_size
    with (
        full_disk(size - missing),
        pytest.raises((OSError, UserError), match="File too large|cannot be written"),
    ):
        write(tmp_path / "cut")
    if kind is WavWriter:
        assert soundfile.info(tmp_path / "cut").frames == 0, "valid, and no longer than what is counted"


def test_a_rate_that_flac_has_not_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"clip.flac cannot be written .*; make room, or write a .wav file"):
        FlacWriter(tmp_path / "clip.flac", 768_000)
    assert not list(tmp_path.iterdir())


def test_sixteen_bits_come_back_as_they_were() -> None:
    codes = np.arange(-32768, 32768).astype(np.int16)
    assert np.array_equal(to_int16((codes / 32768).astype(np.float32)), codes)
    assert to_int16(np.array([2.0, -2.0], dtype=np.float32)).tolist() == [32767, -32768]


def test_sixteen_bits_are_the_nearest_ones_half_way_to_the_even_one() -> None:
    rng = np.random.default_rng(0)
    halves = (np.arange(-32768, 32768, dtype=np.float32) + np.float32(0.5)) / 32768
    audio = np.concatenate([halves, rng.uniform(-1.01, 1.01, 100_000).astype(np.float32)])
    expected = [min(max(round(float(sample) * 32768), -32768), 32767) for sample in audio]
    assert to_int16(audio).tolist() == expected
    assert to_int16(np.array([np.inf, -3e38], dtype=np.float32)).tolist() == [32767, -32768]
