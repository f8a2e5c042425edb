"""Two sines, S1 + S2: sound whose every property is known, to try a model on; always the same two, or any."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from wavenet_pl.numbers.counter import stream_key, uniforms


@dataclass(frozen=True, kw_only=True)
class Sines:
    """One recording: sines of equal amplitude, each with a phase of its own."""

    frequencies: tuple[float, float]
    """Hz."""
    amplitude: float
    """Of each sine; full scale is 1."""
    seconds: float
    seed: int
    number: int
    """Which recording of the corpus: with the seed it fixes the phases."""

    def audio(self, sample_rate: int) -> npt.NDArray[np.float32]:
        """(samples,) at any sample rate."""
        time = np.arange(round(self.seconds * sample_rate)) / sample_rate
        phases = 2 * math.pi * uniforms(stream_key("two_sines", self.seed, self.number), np.arange(2))
        waves = [
            np.sin(2 * math.pi * frequency * time + phase)
            for frequency, phase in zip(self.frequencies, phases, strict=True)
        ]
        return (self.amplitude * np.sum(waves, axis=0)).astype(np.float32)

    def describe(self) -> dict[str, Any]:
        """All settings as JSON, for the plan."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class RandomSines:
    """One recording: two sines with frequencies, levels and phases of its own, and a little noise."""

    seconds: float
    seed: int
    number: int
    """Which recording of the corpus: with the seed it fixes all the rest."""

    FREQUENCIES = (80.0, 3200.0)
    """Hz, evenly over octaves; and never more than 0.4 of the sample rate."""
    AMPLITUDES_DB = (-30.0, -8.0)
    """Of each sine; full scale is 0."""
    NOISE_DB = (-70.0, -40.0)
    """RMS of the white noise."""

    def audio(self, sample_rate: int) -> npt.NDArray[np.float32]:
        """(samples,) at any sample rate."""
        key = stream_key("many_sines", self.seed, self.number)
        draws = uniforms(key, np.arange(7))
        low, high = self.FREQUENCIES[0], min(self.FREQUENCIES[1], 0.4 * sample_rate)
        time = np.arange(round(self.seconds * sample_rate)) / sample_rate
        audio = np.zeros(len(time))
        for first, second, third in (draws[0:3], draws[3:6]):
            frequency = low * (high / low) ** first
            amplitude = 10 ** (_between(self.AMPLITUDES_DB, second) / 20)
            audio += amplitude * np.sin(2 * math.pi * (frequency * time + third))
        one, other = uniforms(key, np.arange(2 * len(time)) + len(draws)).reshape(2, -1)
        noise = np.sqrt(-2 * np.log1p(-one)) * np.cos(2 * math.pi * other)  # Box and Muller, 1958
        return (audio + 10 ** (_between(self.NOISE_DB, draws[6]) / 20) * noise).astype(np.float32)

    def describe(self) -> dict[str, Any]:
        """All settings as JSON, for the plan."""
        return {"kind": "many_sines", **asdict(self)}


def _between(bounds: tuple[float, float], share: float) -> float:
    return bounds[0] + share * (bounds[1] - bounds[0])
