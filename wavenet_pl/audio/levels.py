"""How loud a clip is, and whether it hit the ceiling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_CEILING = 32767 / 32768  # what 16 bits can hold; mu-law's last code decodes to 1


@dataclass(frozen=True)
class Levels:
    """Levels of one clip, in amplitudes of full scale 1."""

    peak: float
    """Largest magnitude."""
    rms: float
    """Root of the mean square."""
    clipped: float
    """Share of the samples at full scale, 0 to 1."""

    @property
    def peak_db(self) -> float:
        """Peak in dBFS; minus infinity for digital silence."""
        return _decibels(self.peak)

    @property
    def rms_db(self) -> float:
        """RMS in dB below a full-scale square wave; minus infinity for digital silence."""
        return _decibels(self.rms)

    def describe(self) -> str:
        """For people: ``peak -3.1 dBFS, RMS -21.4 dB, 0.02 % clipped``."""
        if self.peak == 0:
            return "digital silence"
        clipped = f", {100 * self.clipped:.3g} % clipped" if self.clipped else ""
        return f"peak {self.peak_db:.1f} dBFS, RMS {self.rms_db:.1f} dB{clipped}"


def measure(audio: npt.ArrayLike) -> Levels:
    """Levels of float audio (full scale 1) of any shape; an empty clip is silence."""
    samples = np.abs(np.asarray(audio, dtype=np.float64))
    if samples.size == 0:
        return Levels(0.0, 0.0, 0.0)
    return Levels(
        float(samples.max()), math.sqrt(float(np.mean(samples**2))), float(np.mean(samples >= _CEILING))
    )


def join(pieces: Sequence[tuple[int, Levels]]) -> Levels:
    """Levels of a whole of pieces, each with its number of samples; at least one of them has any."""
    total = sum(number for number, _ in pieces)
    return Levels(
        max(levels.peak for _, levels in pieces),
        math.sqrt(sum(number * levels.rms**2 for number, levels in pieces) / total),
        sum(number * levels.clipped for number, levels in pieces) / total,
    )


def _decibels(amplitude: float) -> float:
    return 20 * math.log10(amplitude) if amplitude > 0 else -math.inf
