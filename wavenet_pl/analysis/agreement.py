"""How far several ways to ask layers for their frequencies agree."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def correlations(**ways: Floats) -> dict[str, float]:
    """Each two ways -> how their gains (layers, frequencies) in dB correlate, each layer's mean taken out.

    NaN is a gain that one of them does not know; two of which none is known to both have NaN.
    """
    return {f"{one} and {two}": _correlation(ways[one], ways[two]) for one, two in combinations(ways, 2)}


def _correlation(one: Floats, two: Floats) -> float:
    both = np.isfinite(one) & np.isfinite(two)
    if not both.any():
        return float("nan")
    number = np.maximum(both.sum(axis=1, keepdims=True), 1)
    one, two = (np.where(both, each, 0) for each in (one, two))
    one, two = (each - each.sum(axis=1, keepdims=True) / number for each in (one, two))
    return float(np.corrcoef(one[both], two[both])[0, 1])
