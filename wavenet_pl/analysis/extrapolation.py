"""Two sines, and ways to say what their next sample is without a network.

Shapes: M signals, N samples, L the last of them that are predicted, P the past that is weighed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
ORDERS = (4, 8, 16, 32)
"""Of linear prediction."""
_RIDGE = 1e-9
_REFINEMENTS = 12


@dataclass(frozen=True)
class Sines:
    """Sums of two sines."""

    audio_MN: Floats
    frequencies_M2: Floats
    """As shares of the sample rate."""


def two_sines(
    count: int,
    samples: int,
    seed: int,
    band: tuple[float, float] = (0.005, 0.2),
    levels_db: tuple[float, float] = (-30, -12),
) -> Sines:
    """Pairs with frequencies, levels and phases at random, at least a third of an octave apart.

    Args:
        count: of signals.
        samples: of each.
        seed: of the draw.
        band: of the frequencies, as shares of the sample rate; evenly over octaves.
        levels_db: of the amplitude of each.
    """
    rng = np.random.default_rng(seed)
    pairs: list[Floats] = []
    while len(pairs) < count:
        pair = np.exp(rng.uniform(np.log(band[0]), np.log(band[1]), 2))
        if abs(np.log2(pair[0] / pair[1])) > 1 / 3:
            pairs.append(pair)
    frequencies_M2 = np.array(pairs)
    amplitudes_M2 = 10 ** (rng.uniform(*levels_db, (count, 2)) / 20)
    phases_M2 = rng.uniform(0, 2 * np.pi, (count, 2))
    turns_M2N = 2 * np.pi * frequencies_M2[:, :, None] * np.arange(samples) + phases_M2[:, :, None]
    return Sines((amplitudes_M2[:, :, None] * np.sin(turns_M2N)).sum(axis=1), frequencies_M2)


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
    """(M, L) by two sines that fit what comes before them best: by Gauss-Newton, from the peaks of its spectrum."""
    return np.array([_extrapolated(heard_N[:-length], length) for heard_N in heard_MN])


def _extrapolated(before_N: Floats, length: int) -> Floats:
    samples = len(before_N)
    n = np.arange(samples)
    left_N, frequencies = before_N.copy(), []
    for _ in range(2):
        spectrum = np.abs(np.fft.rfft(left_N * np.hanning(samples), 8 * samples))
        frequencies.append(float(np.argmax(spectrum[8:]) + 8) / (8 * samples))
        left_N = before_N - _fitted(frequencies, n, before_N)[0]
    for _ in range(_REFINEMENTS):
        made_N, weights = _fitted(frequencies, n, before_N)
        slopes = np.stack(
            [_slope(f, weights[2 * k : 2 * k + 2], n) for k, f in enumerate(frequencies)], axis=1
        )
        basis = np.concatenate([_basis(frequencies, n), slopes], axis=1)
        moves = np.linalg.lstsq(basis, before_N - made_N, rcond=None)[0][-2:]
        frequencies = [
            float(np.clip(f + move, 1e-4, 0.5)) for f, move in zip(frequencies, moves, strict=True)
        ]
    _, weights = _fitted(frequencies, n, before_N)
    return np.asarray(_basis(frequencies, samples + np.arange(length)) @ weights)


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
