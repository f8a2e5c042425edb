"""Two sines, and ways to say what their next sample is without a network.

Shapes: M signals, N samples, L the last of them that are predicted, P the past that is weighed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
ORDERS = (4, 8, 16, 32)
"""Of linear prediction."""
_APART = 1 / 3
"""Octaves between two sines, at least."""
_RIDGE = 1e-9
_REFINEMENTS = 12


@dataclass(frozen=True)
class Pairs:
    """Two sines for each signal."""

    frequencies_M2: Floats
    """As shares of the sample rate."""
    amplitudes_M2: Floats
    """Full scale is 1."""

    def shifted(self, factor: float) -> Pairs:
        """All frequencies times a factor; pairs of which one would pass half of the sample rate are left out."""
        frequencies_M2 = factor * self.frequencies_M2
        inside_M = (frequencies_M2 < 0.48).all(axis=1)
        return Pairs(frequencies_M2[inside_M], self.amplitudes_M2[inside_M])

    def audio(self, samples: int, seed: int, noise_db: float | None = None) -> Floats:
        """(M, N) with phases at random, and white noise so many dB below the sines."""
        rng = np.random.default_rng(seed)
        phases_M2 = rng.uniform(0, 2 * np.pi, self.frequencies_M2.shape)
        turns_M2N = 2 * np.pi * self.frequencies_M2[:, :, None] * np.arange(samples) + phases_M2[:, :, None]
        audio_MN = np.asarray((self.amplitudes_M2[:, :, None] * np.sin(turns_M2N)).sum(axis=1))
        if noise_db is None:
            return audio_MN
        power_M1 = (audio_MN**2).mean(axis=1, keepdims=True)
        return audio_MN + np.sqrt(power_M1) * 10 ** (noise_db / 20) * rng.standard_normal(audio_MN.shape)


def random_pairs(
    count: int,
    seed: int,
    band: tuple[float, float] = (0.005, 0.2),
    levels_db: tuple[float, float] = (-30, -12),
) -> Pairs:
    """Frequencies and levels at random, at least a third of an octave apart.

    Args:
        count: of signals.
        seed: of the draw.
        band: of the frequencies, as shares of the sample rate; evenly over octaves.
        levels_db: of the amplitude of each.
    """
    rng = np.random.default_rng(seed)
    pairs: list[Floats] = []
    while len(pairs) < count:
        pair = np.exp(rng.uniform(np.log(band[0]), np.log(band[1]), 2))
        if _are_apart(*pair):
            pairs.append(pair)
    return Pairs(np.array(pairs), 10 ** (rng.uniform(*levels_db, (count, 2)) / 20))


def strongest_pairs(audio_MN: Floats) -> Pairs:
    """The two sines that fit each signal best, at least a third of an octave apart; quieter where they would clip.

    Nearer ones are the beginning of a sound's envelope: as loud as one likes, and of opposite signs.
    """
    fits = [fit_two(audio_N, apart=True) for audio_N in audio_MN]
    frequencies_M2 = np.array([frequencies for frequencies, _ in fits])
    weights_M22 = np.array([weights for _, weights in fits]).reshape(-1, 2, 2)
    amplitudes_M2 = np.hypot(weights_M22[:, :, 0], weights_M22[:, :, 1])
    return Pairs(frequencies_M2, amplitudes_M2 / np.maximum(amplitudes_M2.sum(axis=1, keepdims=True), 1))


def persistence(heard_MN: Floats, length: int) -> Floats:
    """(M, L) the sample before."""
    return heard_MN[:, -length - 1 : -1]


def linear(heard_MN: Floats, length: int, order: int) -> Floats:
    """(M, L) by weights of the last samples (P) that were best for all before those that are predicted."""
    rows = []
    for heard_N in heard_MN:
        past = np.lib.stride_tricks.sliding_window_view(heard_N, order)
        fitted, asked = past[: -length - 1], past[-length - 1 : -1]
        energy_PP = fitted.T @ fitted
        ridge = _RIDGE * np.trace(energy_PP) * np.eye(order)
        weights_P = np.linalg.solve(energy_PP + ridge, fitted.T @ heard_N[order : len(heard_N) - length])
        rows.append(asked @ weights_P)
    return np.array(rows)


def estimated(heard_MN: Floats, length: int) -> Floats:
    """(M, L) by two sines that fit what comes before them best."""
    rows = []
    for heard_N in heard_MN:
        before_N = heard_N[:-length]
        frequencies, weights = fit_two(before_N)
        rows.append(_basis(frequencies, len(before_N) + np.arange(length)) @ weights)
    return np.array(rows)


def fit_two(heard_N: Floats, *, apart: bool = False) -> tuple[list[float], Floats]:
    """Frequencies, and a sine's and a cosine's weight for each: by Gauss-Newton, from the peaks of the spectrum.

    Args:
        heard_N: the signal.
        apart: whether they have to be a third of an octave apart.
    """
    samples = len(heard_N)
    n = np.arange(samples)
    left_N, frequencies = heard_N.copy(), list[float]()
    for _ in range(2):
        spectrum = np.abs(np.fft.rfft(left_N * np.hanning(samples), 8 * samples))
        candidates = np.arange(8, len(spectrum)) / (8 * samples)
        allowed = _are_apart(candidates, frequencies[0]) if apart and frequencies else True
        frequencies.append(float(candidates[np.argmax(np.where(allowed, spectrum[8:], -1))]))
        left_N = heard_N - _fitted(frequencies, n, heard_N)[0]
    for _ in range(_REFINEMENTS):
        made_N, weights = _fitted(frequencies, n, heard_N)
        slopes = np.stack(
            [_slope(f, weights[2 * k : 2 * k + 2], n) for k, f in enumerate(frequencies)], axis=1
        )
        basis = np.concatenate([_basis(frequencies, n), slopes], axis=1)
        moves = np.linalg.lstsq(basis, heard_N - made_N, rcond=None)[0][-2:]
        moved = [float(np.clip(f + move, 1e-4, 0.5)) for f, move in zip(frequencies, moves, strict=True)]
        if apart and not _are_apart(*moved):
            break
        frequencies = moved
    return frequencies, _fitted(frequencies, n, heard_N)[1]


def _are_apart(one: Any, other: Any) -> Any:
    return np.abs(np.log2(one / other)) > _APART


def _basis(frequencies: list[float], n: npt.NDArray[np.int64]) -> Floats:
    return np.stack([wave(2 * np.pi * f * n) for f in frequencies for wave in (np.sin, np.cos)], axis=1)


def _slope(frequency: float, weights: Floats, n: npt.NDArray[np.int64]) -> Floats:
    """Of a sine by its frequency."""
    turns = 2 * np.pi * frequency * n
    return np.asarray(2 * np.pi * n * (weights[0] * np.cos(turns) - weights[1] * np.sin(turns)))


def _fitted(frequencies: list[float], n: npt.NDArray[np.int64], heard_N: Floats) -> tuple[Floats, Floats]:
    basis = _basis(frequencies, n)
    weights = np.linalg.lstsq(basis, heard_N, rcond=None)[0]
    return np.asarray(basis @ weights), np.asarray(weights)
