"""The screen finds each way in which clips fail, and passes what was recorded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from wavenet_pl.evaluation.screen import KINDS, screen

RECORDINGS = sorted((Path(__file__).parents[2] / "data_prep/demo").rglob("*.flac"))
RATE = 16_000


def read(path: Path) -> np.ndarray:
    audio, rate = soundfile.read(path, dtype="float32")
    assert rate == RATE
    return audio


@pytest.fixture(scope="module")
def voice() -> np.ndarray:
    """Three seconds of recorded speech."""
    return np.concatenate([read(path) for path in RECORDINGS[:6]])[: 3 * RATE]


@pytest.mark.slow
def test_all_recorded_speech_passes():
    found = {path.name: faults for path in RECORDINGS if (faults := screen(read(path), RATE))}
    assert len(RECORDINGS) > 100
    assert not found


@pytest.mark.parametrize("decibels", [-20, -15, -10, 6])
def test_quiet_and_loud_recordings_pass_as_codes_too(decibels):
    """Down to a whisper of -45 dB, in the 256 steps of mu-law, where silence is one code."""
    for path in RECORDINGS[::20]:
        audio = np.clip(read(path) * 10 ** (decibels / 20), -1, 1)
        bent = np.sign(audio) * np.log1p(255 * np.abs(audio)) / np.log(256)
        codes = np.round((bent + 1) / 2 * 255)
        bent = codes / 255 * 2 - 1
        assert screen((np.sign(bent) * (256 ** np.abs(bent) - 1) / 255).astype(np.float32), RATE) == {}


def test_digital_silence_between_words_passes(voice):
    voice = voice.copy()
    voice[RATE : 2 * RATE] = 0
    assert screen(voice, RATE) == {}


def bad_clips() -> dict[str, list]:
    """Kind -> what makes a bad clip of it from a voice."""
    random = np.random.default_rng(0)
    noise = random.standard_normal(RATE).astype(np.float32)
    codes = random.uniform(-1, 1, RATE)
    expanded = np.sign(codes) * (256 ** np.abs(codes) - 1) / 255
    loop = random.uniform(-0.3, 0.3, 37).astype(np.float32)
    return {
        "silence": [lambda voice: voice * 0, lambda voice: voice * 1e-3],
        "clipping": [lambda voice: np.clip(voice * 50, -1, 1)],
        "DC": [lambda voice: voice * 0.3 + 0.2, lambda voice: voice * 0.1 - 0.15],
        "noise": [
            lambda voice: 0.1 * noise,
            lambda voice: np.concatenate([voice, 0.05 * noise]),  # it ran away after three seconds
            lambda voice: expanded,  # what a network that knows nothing draws
        ],
        "locked": [
            lambda voice: np.concatenate([voice, np.full(RATE // 4, 0.25)]),
            lambda voice: np.concatenate([voice[:RATE], np.tile([0.1, -0.1], RATE // 10), voice]),
            lambda voice: np.concatenate([voice, np.tile(loop, 50)]),
        ],
    }


@pytest.mark.parametrize(
    ("kind", "number"), [(kind, n) for kind, clips in bad_clips().items() for n in range(len(clips))]
)
def test_each_made_bad_clip_is_found(voice, kind, number):
    bad = bad_clips()[kind][number](voice).astype(np.float32)
    assert kind in screen(bad, RATE)


def test_each_kind_has_a_bad_clip():
    assert set(bad_clips()) == set(KINDS)


@pytest.mark.parametrize("samples", [0, 1, 5, 100])
def test_short_clips_are_looked_at(samples):
    assert "silence" in screen(np.zeros(samples, dtype=np.float32), RATE)
