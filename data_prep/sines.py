"""Two sines, S1 + S2: sound whose every property is known, to try a model on."""

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
