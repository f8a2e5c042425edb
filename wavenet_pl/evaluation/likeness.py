"""How alike two sets of clips are to a network that hears: means and spreads of their embeddings.

Shapes: N clips, D numbers of an embedding.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

Embeddings = npt.NDArray[np.float64]


class Embedder(Protocol):
    """A trained network that turns a clip into a few numbers that say who or what it is."""

    name: str
    """What the numbers are of, for people."""

    def embed(self, audio: npt.NDArray[np.float32], sample_rate: int) -> Embeddings:
        """(D,) of a clip (samples,) of full scale 1."""


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


def mean_similarity(one_ND: Embeddings, other_ND: Embeddings) -> float:
    """Mean cosine of the angles between clip n of one set and clip n of the other: 1 for the same directions."""
    lengths_N = np.linalg.norm(one_ND, axis=1) * np.linalg.norm(other_ND, axis=1)
    return float(((one_ND * other_ND).sum(axis=1) / np.maximum(lengths_N, 1e-12)).mean())


def _root(covariance_DD: Embeddings) -> Embeddings:
    """The symmetric square root of a covariance; rounding below zero counts as zero."""
    values_D, vectors_DD = np.linalg.eigh(covariance_DD)
    return np.asarray((vectors_DD * np.sqrt(np.clip(values_D, 0, None))) @ vectors_DD.T)
