"""Loudness as people hear it (ITU-R BS.1770)."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt


def loudness(audio: npt.NDArray[np.float32], sample_rate: int) -> float:
    """Integrated loudness of mono audio in LUFS (ITU-R BS.1770-4: K-weighted, gated in blocks of 400 ms).

    Audio shorter than one block is measured as one block without gates. What is too quiet for the absolute gate
    (-70 LUFS), digital silence included, gives minus infinity.
    """
    if len(audio) == 0:
        return -math.inf
    step = max(1, round(0.1 * sample_rate))
    energies = _k_weighted_energies(audio, sample_rate, step)
    whole = len(audio) // step  # a last step that is not full belongs to no block
    if whole < 4:
        blocks = np.array([energies.sum() * step / len(audio)])
    else:  # four steps make a block, which overlaps the next by three quarters
        total = np.concatenate([[0.0], np.cumsum(energies)])
        blocks = (total[4 : whole + 1] - total[: whole - 3]) / 4
    loud = blocks[_lufs(blocks) > -70.0]
    if len(loud) == 0:
        return -math.inf
    loud = loud[_lufs(loud) > _lufs(loud.mean()) - 10.0]
    return float(_lufs(loud.mean()))


def _lufs(energy: Any) -> Any:
    return -0.691 + 10 * np.log10(np.maximum(energy, 1e-30))


def _k_weighted_energies(
    audio: npt.NDArray[np.float32], sample_rate: int, step: int
) -> npt.NDArray[np.float64]:
    """Mean square of the K-weighted audio in steps of `step` samples, the last one padded with zeros."""
    response_seconds = 0.25  # both filters have died away by then, below 1e-12
    size = 2 ** math.ceil(math.log2(max(4 * response_seconds * sample_rate, 4 * step)))
    tail = math.ceil(response_seconds * sample_rate)
    weights = _k_weighting(sample_rate, size)
    hop = (size - tail) // step * step
    energies = []
    for start in range(0, len(audio), hop):
        lead = min(tail, start)  # overlap-save: the filters' memory of what came before
        block = np.zeros(size)
        piece = audio[start - lead : start + hop]
        block[: len(piece)] = piece
        filtered = np.fft.irfft(np.fft.rfft(block) * weights, size)[lead : len(piece)]
        filtered = np.pad(filtered, (0, -len(filtered) % step))
        energies.append((filtered.reshape(-1, step) ** 2).mean(axis=1))
    return np.concatenate(energies)


@lru_cache(maxsize=8)
def _k_weighting(sample_rate: int, size: int) -> npt.NDArray[np.complex128]:
    """Frequency response of BS.1770's two filters, for any rate: its 48 kHz ones, traced back to the analogue."""
    z = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)
    k, q, high = _prewarp(1681.974450955533, sample_rate), 0.7071752369554196, 10 ** (3.999843853973347 / 20)
    band = high**0.4996667741545416
    shelf = (
        (high + band * k / q + k * k) + 2 * (k * k - high) * z + (high - band * k / q + k * k) * z**2
    ) / ((1 + k / q + k * k) + 2 * (k * k - 1) * z + (1 - k / q + k * k) * z**2)
    k, q = _prewarp(38.13547087602444, sample_rate), 0.5003270373238773
    highpass = (1 - z) ** 2 / (1 + (2 * (k * k - 1) * z + (1 - k / q + k * k) * z**2) / (1 + k / q + k * k))
    return np.asarray(shelf * highpass)


def _prewarp(frequency: float, sample_rate: int) -> float:
    # At rates whose Nyquist frequency is below the shelf there is nothing for it to lift.
    return math.tan(math.pi * min(frequency / sample_rate, 0.49))
