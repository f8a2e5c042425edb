"""Flaws that the ear would notice: each has its name and its size, a sound recording has none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from data_prep.flaws import FLAWS
from data_prep.options import RuleOptions
from data_prep.rules import Outcome, apply_rules
from data_prep.sources import Source
from tests.data_prep.corpus import noise, write
from wavenet_pl.audio.resampling import resample


def outcome(folder: Path, audio: npt.ArrayLike, rate: int = 16_000, **options: float) -> Outcome:
    """What becomes of a float file."""
    path = write(folder / "a.wav", audio, rate, subtype="FLOAT")
    return apply_rules(Source(name="a.wav", path=str(path), size=1), RuleOptions(**options))  # type: ignore[arg-type]


def two(left: npt.ArrayLike, right: npt.ArrayLike) -> npt.NDArray[np.float32]:
    return np.stack([np.asarray(left), np.asarray(right)], axis=1).astype(np.float32)


@pytest.mark.parametrize(("echo", "told"), [(-0.99, True), (-0.85, True), (-0.75, False), (0.5, False)])
@pytest.mark.parametrize("level", [1.0, 0.2])
def test_channels_that_cancel_are_told(tmp_path: Path, echo: float, told: bool, level: float) -> None:
    left = level * noise(1)
    result = outcome(tmp_path, two(left, echo * left), loudness=-30)
    assert result.parts
    lost = 10 * np.log10((1 + echo**2) / 2 / ((1 + echo) / 2) ** 2)
    assert result.flaws == (
        {"channels cancel": f"the mix is {lost:.0f} dB below its channels"} if told else {}
    )


def test_what_is_silent_because_its_channels_cancel_says_so(tmp_path: Path) -> None:
    result = outcome(tmp_path, two(noise(1), -noise(1)))
    assert result.steps[-1].reason == (
        "silent: nothing above -72 dBFS; channels cancel: the mix is more than 120 dB below its channels"
    )


@pytest.mark.parametrize(
    ("faint", "found"),
    [
        (0.0, "channel 1 of 2, more than 120 dB below the loudest"),
        (0.005, "channel 1 of 2, 46 dB below the loudest"),
    ],
)
def test_a_silent_channel_is_told(tmp_path: Path, faint: float, found: str) -> None:
    result = outcome(tmp_path, two(faint * noise(1, seed=1), noise(1)))
    assert result.flaws == {"silent channel": found}
    assert not outcome(tmp_path, two(0.03 * noise(1, seed=1), noise(1))).flaws


def test_a_recording_that_trim_takes_for_silence_beside_a_beep_is_told(tmp_path: Path) -> None:
    """The beep is the loudest tenth of a second, and all speech is 40 dB below."""
    beep = 0.8 * np.sin(np.arange(4_800) / 6)
    audio = np.concatenate([beep, noise(3, level=0.002)])
    result = outcome(tmp_path, audio, trim=40)
    assert result.flaws == {"mostly dropped": "trim took 2.9 of 3.3 s"}
    assert outcome(tmp_path, audio, trim=40, min_seconds=1).steps[-1].reason == (
        "0.400 s, shorter than 1 s; mostly dropped: trim took 2.9 of 3.3 s"
    )
    assert not outcome(tmp_path, audio, trim=60).flaws


def test_the_rest_of_a_stretch_that_was_asked_for_is_no_loss(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", noise(3))
    source = Source(name="a.wav", path=str(path), size=1, stretch=(0, 16_000))
    assert not apply_rules(source, RuleOptions()).flaws


@pytest.mark.parametrize("level", [1.0, 0.01])
def test_what_was_recorded_at_a_lower_rate_is_told(tmp_path: Path, level: float) -> None:
    upsampled = resample(level * noise(1, 8_000), 8_000, 16_000)
    result = outcome(tmp_path, upsampled, trim=40, rms=-20)
    assert result.flaws == {"narrow band": "nothing above about 3.8 of 8 kHz"}
    assert result.properties["bandwidth"] == "up to 4 kHz"


def test_a_low_rate_is_a_narrow_band_however_little_can_be_seen(tmp_path: Path) -> None:
    tone = 0.1 * np.sin(np.arange(8_000) / 10)
    assert outcome(tmp_path, tone, 8_000).flaws == {"narrow band": "nothing above about 4 of 8 kHz"}
    assert not outcome(tmp_path, tone, 11_025).flaws
    assert not outcome(tmp_path, tone, 44_100).flaws


@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("level", [1e-3, 0.1])
def test_sound_recordings_have_no_flaw(tmp_path: Path, channels: int, level: float) -> None:
    audio = np.stack([noise(1, level=level, seed=seed) for seed in range(channels)], axis=1)
    assert not outcome(tmp_path, audio, trim=40).flaws


def test_files_are_described_by_what_the_report_counts(tmp_path: Path) -> None:
    path = write(tmp_path / "a.flac", np.stack([noise(1, 44_100)] * 2, axis=1), 44_100, subtype="PCM_24")
    result = apply_rules(Source(name="a.flac", path=str(path), size=1), RuleOptions())
    assert result.properties == {
        "sample rate": "44100 Hz",
        "channels": "2",
        "format": "FLAC PCM_24",
        "bandwidth": "up to 8 kHz",
    }


def test_every_flaw_says_what_it_means() -> None:
    assert all(meaning and not meaning.endswith(".") for meaning in FLAWS.values())
