"""Spectrograms against the signals they show, and the pictures' bytes."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image

from wavenet_pl.audio.pictures import encode_curve, encode_spectrograms, save_spectrograms, spectrogram_db

RATE = 16_000


def sine(frequency: float, amplitude: float = 1.0, seconds: float = 0.5) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * frequency * np.arange(int(seconds * RATE)) / RATE)


@pytest.mark.parametrize("frequency", [500.0, 1000.0, 6000.0])
@pytest.mark.parametrize("amplitude", [1.0, 0.1])
def test_a_sine_is_one_line_at_its_frequency_and_level(frequency: float, amplitude: float) -> None:
    levels = spectrogram_db(sine(frequency, amplitude), RATE)
    column = levels[:, levels.shape[1] // 2]
    assert column.argmax() * RATE / 2 / (len(column) - 1) == pytest.approx(frequency, abs=20)
    assert column.max() == pytest.approx(20 * np.log10(amplitude), abs=0.1)


def test_silence_is_at_the_floor_everywhere() -> None:
    assert spectrogram_db(np.zeros(4000), RATE).max() == pytest.approx(-140)


@pytest.mark.parametrize("samples", [0, 1, 100, 100_000])
def test_any_length_has_a_picture(samples: int) -> None:
    levels = spectrogram_db(np.zeros(samples), RATE)
    assert levels.shape[1] <= 2001
    Image.open(io.BytesIO(encode_spectrograms([("clip", np.zeros(samples))], RATE))).verify()


def test_equal_clips_give_equal_bytes_whatever_the_user_s_style(tmp_path: Path) -> None:
    clips = [("recorded", sine(440)), ("costs $5 or $6", sine(880, seconds=0.2))]
    save_spectrograms(tmp_path / "a.png", clips, RATE, "step 1")
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "text.color": "red"}):
        before = dict(matplotlib.rcParams)
        again = encode_spectrograms(clips, RATE, "step 1")
        assert dict(matplotlib.rcParams) == before
    assert (tmp_path / "a.png").read_bytes() == again
    assert encode_spectrograms(clips, RATE, "step 2") != again


def test_pictures_name_no_program_and_no_time() -> None:
    assert Image.open(io.BytesIO(encode_spectrograms([("clip", sine(440))], RATE))).info.keys() <= {"dpi"}


@pytest.mark.cold("what is imported")
def test_pyplot_is_left_alone() -> None:
    program = (
        "import sys, numpy\n"
        "from wavenet_pl.audio.pictures import encode_spectrograms\n"
        "assert 'matplotlib' not in sys.modules\n"
        "encode_spectrograms([('clip', numpy.zeros(1000))], 8000)\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[2], check=True)


def test_a_curve_has_its_points_and_levels_and_the_same_bytes_again() -> None:
    points = [(0.0, 4.5), (20.0, 4.2), (40.0, 4.25)]
    one = encode_curve(points, {"before": 4.5}, "steps", "bits")
    assert one.startswith(b"\x89PNG")
    assert one == encode_curve(points, {"before": 4.5}, "steps", "bits")
    assert one != encode_curve(points[:2], {"before": 4.5}, "steps", "bits")
    assert one != encode_curve(points, {"before": 4.4}, "steps", "bits")
