"""The door to torchaudio, resampling and loudness."""

from __future__ import annotations

import itertools
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wavenet_pl.audio.loudness import loudness
from wavenet_pl.audio.resampling import Resampler, resample
from wavenet_pl.audio.torchaudio_door import torchaudio

ROOT = Path(__file__).resolve().parents[2]


def tone(
    frequency: float, rate: int, seconds: float = 1.0, amplitude: float = 0.5
) -> npt.NDArray[np.float32]:
    time = np.arange(round(seconds * rate)) / rate
    return (amplitude * np.sin(2 * np.pi * frequency * time)).astype(np.float32)


def noise(samples: int, seed: int = 0) -> npt.NDArray[np.float32]:
    return (0.1 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def test_torchaudio_imports_beside_this_torch_and_resamples() -> None:
    import torch

    module = torchaudio()
    assert module is torchaudio()
    assert module.functional.resample(torch.zeros(160), 16_000, 8_000).shape == (80,)


CASES = """
import sys
class Broken:
    error = None
    def find_spec(self, name, path=None, target=None):
        if name == "torchaudio._extension":
            raise self.error
sys.meta_path.insert(0, Broken())
import torch
from wavenet_pl.audio.torchaudio_door import torchaudio
for error, cuda in [
    (OSError("Could not load this library: x.so"), None),
    (OSError("Could not load this library: x.so"), "13.0"),
    (OSError("disk on fire"), None),
    (RuntimeError("PyTorch has CUDA 13.2"), None),
]:
    for name in [name for name in sys.modules if name.startswith("torchaudio")]:
        del sys.modules[name]
    torchaudio.cache_clear()
    Broken.error, torch.version.cuda = error, cuda
    try:
        print("loaded", torchaudio().functional.resample(torch.zeros(160), 16_000, 8_000).shape)
    except ImportError as error:
        print(error)
"""


@pytest.mark.slow
@pytest.mark.cold("what is imported")
def test_only_the_extension_of_a_cpu_build_is_stubbed() -> None:
    done = subprocess.run([sys.executable, "-c", CASES], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    cpu, cuda, other, refused = done.stdout.splitlines()
    assert cpu == "loaded torch.Size([80])"
    for message, reason in ((cuda, "x.so"), (other, "disk on fire"), (refused, "CUDA 13.2")):
        assert re.search(rf"torchaudio cannot be loaded beside torch .*{reason}.*pip install", message)


def test_what_needs_the_extension_says_so() -> None:
    from wavenet_pl.audio.torchaudio_door import _stub

    guarded = _stub().fail_if_no_align(torchaudio)
    with pytest.raises(RuntimeError, match="needs its compiled extension"):
        guarded()


@pytest.mark.parametrize(
    ("from_rate", "to_rate"), [(48_000, 16_000), (44_100, 16_000), (8_000, 16_000), (22_050, 24_000)]
)
def test_resampling_equals_torchaudio(from_rate: int, to_rate: int) -> None:
    import torch

    audio = noise(from_rate // 2 + 17)
    expected = torchaudio().functional.resample(
        torch.from_numpy(audio).double(),
        from_rate,
        to_rate,
        lowpass_filter_width=64,
        rolloff=0.9475937167399596,
        resampling_method="sinc_interp_kaiser",
        beta=14.769656459379492,
    )
    np.testing.assert_allclose(resample(audio, from_rate, to_rate), expected.numpy(), atol=1e-7)


@settings(max_examples=30)
@given(
    rates=st.sampled_from(
        [(48_000, 16_000), (44_100, 16_000), (16_000, 44_100), (16_000, 16_000), (11_127, 16_000)]
    ),
    cuts=st.lists(st.integers(0, 9_000), max_size=6),
)
def test_blocks_make_the_same_samples_as_the_whole(rates: tuple[int, int], cuts: list[int]) -> None:
    audio = noise(9_000)
    resampler = Resampler(*rates)
    edges = [0, *sorted(cuts), len(audio)]
    pieces = [resampler.push(audio[a:b]) for a, b in itertools.pairwise(edges)]
    np.testing.assert_array_equal(np.concatenate([*pieces, resampler.finish()]), resample(audio, *rates))


@pytest.mark.slow
@settings(max_examples=12)
@given(
    from_rate=st.integers(1_000, 50_000), to_rate=st.integers(1_000, 50_000), samples=st.integers(0, 3_000)
)
def test_length_follows_from_the_rates(from_rate: int, to_rate: int, samples: int) -> None:
    resampled = resample(noise(samples), from_rate, to_rate)
    assert len(resampled) == -(-samples * to_rate // from_rate)
    assert resampled.dtype == np.float32


@pytest.mark.parametrize("from_rate", [48_000, 44_100, 8_000, 192_000])
def test_a_tone_keeps_its_frequency_and_level(from_rate: int) -> None:
    resampled = resample(tone(1_000, from_rate, amplitude=0.5), from_rate, 16_000)
    np.testing.assert_allclose(resampled[800:15_200], tone(1_000, 16_000)[800:15_200], atol=2e-4)


def test_an_odd_rate_drifts_less_than_any_clock() -> None:
    resampled = resample(tone(1_000, 44_099), 44_099, 16_000)  # its exact filter would take 5 GB
    assert len(resampled) == 16_000
    late = resampled[15_000:15_160] @ np.exp(-2j * np.pi * np.arange(15_000, 15_160) / 16)
    early = resampled[1_000:1_160] @ np.exp(-2j * np.pi * np.arange(1_000, 1_160) / 16)
    assert abs(np.angle(late / early)) / (2 * np.pi * 1_000 * 14_000 / 16_000) < 1e-6


@pytest.mark.parametrize("frequency", [8_200, 11_000, 23_000])
def test_what_would_alias_is_gone(frequency: int) -> None:
    resampled = resample(tone(frequency, 48_000), 48_000, 16_000)[1_000:-1_000]
    assert 20 * math.log10(np.abs(resampled).max() / 0.5) < -80


def test_rates_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match="sample rates are 0 and 16000, expected numbers above 0"):
        resample(noise(10), 0, 16_000)


@pytest.mark.parametrize("rate", [16_000, 24_000, 44_100, 48_000])
def test_a_full_scale_sine_has_the_loudness_that_the_standard_names(rate: int) -> None:
    assert loudness(tone(997, rate, 3.0, amplitude=1.0), rate) == pytest.approx(-3.01, abs=0.1)


@pytest.mark.parametrize("rate", [8_000, 16_000])
def test_loudness_agrees_with_torchaudio(rate: int) -> None:
    import torch

    # Torchaudio filters in a loop over the samples: short audio, with a pause that the gate has to leave out.
    audio = np.concatenate([noise(rate // 2), 1e-3 * noise(rate // 2, 1), 0.5 * noise(rate // 2, 2)])
    expected = torchaudio().functional.loudness(torch.from_numpy(audio)[None].double(), rate)
    assert loudness(audio, rate) == pytest.approx(float(expected), abs=0.3)


def test_loudness_follows_the_gain() -> None:
    audio = noise(40_000)
    assert loudness(0.5 * audio, 16_000) == pytest.approx(loudness(audio, 16_000) - 6.02, abs=0.01)


def test_a_pause_does_not_count() -> None:
    audio = noise(48_000)
    assert loudness(np.pad(audio, (0, 96_000)), 16_000) == pytest.approx(loudness(audio, 16_000), abs=0.3)


def test_short_audio_is_measured_as_it_is() -> None:
    audio = tone(997, 16_000, 2.0)
    assert loudness(audio[:3_200], 16_000) == pytest.approx(loudness(audio, 16_000), abs=0.3)


@pytest.mark.parametrize("samples", [0, 100, 16_000])
def test_silence_has_no_loudness(samples: int) -> None:
    assert loudness(np.zeros(samples, np.float32), 16_000) == -math.inf
