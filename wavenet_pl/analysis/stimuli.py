"""Signals that a network is probed with: periods of noise and of sines, as codes and as what these stand for.

A period is repeated until the network has forgotten its beginning, so that what a layer makes of the last one is a
period as well: its spectrum has no leakage, and that of a linear layer no error.

Shapes: M periods (segments), N samples of one, T samples with those before.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from wavenet_pl.codec import Codec

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Stimulus:
    """Periods of one kind of signal."""

    codes_MT: Tensor
    """What the network is given: the period, after as many samples of it as the network remembers."""
    amplitudes_MN: Floats
    """What the codes of the last period stand for: rounding to codes is a part of the signal, not an error."""

    @property
    def period(self) -> int:
        """Samples of a period (N)."""
        return self.amplitudes_MN.shape[1]


def repeat(codec: Codec, audio_MN: Floats, before: int) -> Stimulus:
    """Periods of audio, with at least so many samples of each before it."""
    codes_MN = codec.encode(torch.from_numpy(audio_MN))
    number = 1 + math.ceil(before / audio_MN.shape[1])
    codes_MT = codes_MN.repeat(1, number)[:, -(audio_MN.shape[1] + before) :]
    return Stimulus(codes_MT, codec.decode(codes_MN).double().numpy())


def noise(
    period: int, segments: int, level_db: float, seed: int, band: tuple[float, float] = (0.0, 0.5)
) -> Floats:
    """Noise (M, N) with the same power at every frequency of a band, and phases at random.

    Args:
        period: N.
        segments: M.
        level_db: RMS in dB of full scale. From -12 on some samples of white noise are beyond it, and clipped.
        seed: of the phases.
        band: from which to which frequency, as shares of the sample rate.
    """
    frequencies = np.fft.rfftfreq(period)
    inside = (frequencies > 0) & (frequencies >= band[0]) & (frequencies <= band[1]) & (frequencies < 0.5)
    phases = np.random.default_rng(seed).uniform(0, 2 * np.pi, (segments, len(frequencies)))
    audio_MN = np.fft.irfft(np.where(inside, np.exp(1j * phases), 0), period)
    power = np.mean(audio_MN**2, axis=1, keepdims=True)
    return np.asarray(audio_MN * 10 ** (level_db / 20) / np.sqrt(power))


def sines(period: int, cycles: npt.NDArray[np.int64], level_db: float, seed: int) -> Floats:
    """Sines (M, N), each with so many cycles in a period and a phase at random; their RMS as that of `noise`."""
    phase_M1 = np.random.default_rng(seed).uniform(0, 2 * np.pi, (len(cycles), 1))
    turns_MN = np.outer(cycles, np.arange(period)) / period
    return np.asarray(math.sqrt(2) * 10 ** (level_db / 20) * np.sin(2 * np.pi * turns_MN + phase_M1))
