"""WAV files that are valid while they grow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from wavenet_pl.audio.wav import WavWriter, to_int16


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


def test_sixteen_bits_come_back_as_they_were() -> None:
    codes = np.array([-32768, -1, 0, 1, 32767], dtype=np.int16)
    assert np.array_equal(to_int16((codes / 32768).astype(np.float32)), codes)
    assert to_int16(np.array([2.0, -2.0], dtype=np.float32)).tolist() == [32767, -32768]
