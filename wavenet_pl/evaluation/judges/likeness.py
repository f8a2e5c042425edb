"""How alike clips are to a network that hears: angles between their embeddings, and distances of whole sets of them.

Shapes: N clips, D numbers of an embedding.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from wavenet_pl.numbers.intervals import Interval

Embeddings = npt.NDArray[np.float64]


class Tally(NamedTuple):
    """What one clip adds to a mean over clips."""

    total: float
    number: float
    """Of what is added up: frames, words or the clip itself; 0 where there is nothing to compare."""


Compare = Callable[[npt.NDArray[np.float32], npt.NDArray[np.float32], int], Tally]
"""Takes a recording, a clip of the same length and their sample rate."""


@dataclass(frozen=True)
class Measure:
    """One number of the generated clips, between what recordings reach and what comes by chance."""

    name: str
    generated: Interval
    """Without an interval where the number is of all clips together."""
    recorded: Interval
    """The same of the recorded counterparts."""
    chance: Interval | None = None
    """The same of clips beside what they do not belong to."""

    def __str__(self) -> str:
        beside = "" if self.chance is None else f", by chance {shown(self.chance.mean)}"
        return f"{self.name} {self.generated:.3f}; recorded clips {shown(self.recorded.mean)}{beside}"


def shown(mean: float) -> str:
    """Three digits, or a dash where nothing was counted."""
    return "–" if math.isnan(mean) else f"{mean:.3f}"


def cosines(one_ND: Embeddings, other_ND: Embeddings) -> Embeddings:
    """(N,) cosine of the angle between row n of one set and row n of the other: 1 for the same direction."""
    lengths_N = np.linalg.norm(one_ND, axis=1) * np.linalg.norm(other_ND, axis=1)
    return np.asarray((one_ND * other_ND).sum(axis=1) / np.maximum(lengths_N, 1e-12))


def frechet_distance(one_ND: Embeddings, other_ND: Embeddings) -> float:
    """Squared Wasserstein distance of two Gaussians with the sets' means and covariances (Heusel et al., 2017).

    With few clips it is too large, as chance then looks like difference: compare numbers of sets of the same sizes.

    Args:
        one_ND: at least two embeddings.
        other_ND: at least two, of the same network.

    Returns:
        0 for sets alike; in the square of the embeddings' unit.
    """
    for embeddings in (one_ND, other_ND):
        assert embeddings.ndim == 2 and len(embeddings) >= 2, embeddings.shape
    shift_D = one_ND.mean(axis=0) - other_ND.mean(axis=0)
    one_DD, other_DD = (np.atleast_2d(np.cov(each, rowvar=False)) for each in (one_ND, other_ND))
    # The trace of the root of a product: with the root of one factor on both sides of the other it is symmetric.
    root_DD = _root(one_DD)
    common = np.sqrt(np.clip(np.linalg.eigvalsh(root_DD @ other_DD @ root_DD), 0, None)).sum()
    return max(0.0, float(shift_D @ shift_D + np.trace(one_DD) + np.trace(other_DD) - 2 * common))


def _root(covariance_DD: Embeddings) -> Embeddings:
    """The symmetric square root of a covariance; rounding below zero counts as zero."""
    values_D, vectors_DD = np.linalg.eigh(covariance_DD)
    return np.asarray((vectors_DD * np.sqrt(np.clip(values_D, 0, None))) @ vectors_DD.T)
