"""Distances of sets of embeddings, against Gaussians whose distance is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from wavenet_pl.evaluation.judges.likeness import Measure, cosines, frechet_distance
from wavenet_pl.numbers.intervals import Interval


def exactly(mean: np.ndarray, covariance: np.ndarray, number: int = 400) -> np.ndarray:
    """A set with this very mean and covariance: drawn, then straightened out."""
    drawn = np.random.default_rng(0).standard_normal((number, len(mean)))
    drawn -= drawn.mean(axis=0)
    white = drawn @ np.linalg.inv(np.linalg.cholesky(np.cov(drawn, rowvar=False))).T
    return white @ np.linalg.cholesky(covariance).T + mean


def test_equal_sets_have_no_distance_and_moved_ones_that_of_their_means():
    one = exactly(np.zeros(4), np.diag([1.0, 2.0, 0.5, 1.0]))
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(one, one + np.array([3.0, 0, 4.0, 0])) == pytest.approx(25)


def test_spreads_differ_by_the_squares_of_their_differences():
    one = exactly(np.zeros(3), np.diag([1.0, 4.0, 9.0]))
    other = exactly(np.ones(3), np.diag([4.0, 4.0, 1.0]))
    assert frechet_distance(one, other) == pytest.approx(3 + (1 - 2) ** 2 + 0 + (3 - 1) ** 2)


def test_it_is_that_of_the_best_transport_and_does_not_turn_with_the_axes():
    """The linear map between two Gaussians that moves least (Olkin and Pukelsheim, 1982), applied to each clip."""
    random = np.random.default_rng(1)
    factors = [random.standard_normal((5, 5)) for _ in range(2)]
    first, second = (factor @ factor.T + np.eye(5) for factor in factors)
    one, other = exactly(np.zeros(5), first), exactly(np.full(5, 0.3), second)

    def root(matrix: np.ndarray) -> np.ndarray:
        values, vectors = np.linalg.eigh(matrix)
        return vectors @ np.diag(np.sqrt(values)) @ vectors.T

    inverse = np.linalg.inv(root(first))
    best = inverse @ root(root(first) @ second @ root(first)) @ inverse
    moved = one @ best.T + 0.3
    work = ((moved - one) ** 2).sum() / (len(one) - 1) + 5 * 0.3**2 * (1 - len(one) / (len(one) - 1))
    assert frechet_distance(one, other) == pytest.approx(work)
    assert frechet_distance(other, one) == pytest.approx(frechet_distance(one, other))
    turn = np.linalg.qr(random.standard_normal((5, 5)))[0]
    assert frechet_distance(one @ turn, other @ turn) == pytest.approx(frechet_distance(one, other))


def test_fewer_clips_than_numbers_are_no_error():
    few = np.random.default_rng(2).standard_normal((3, 64))
    assert frechet_distance(few, few) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(few, few + 1) == pytest.approx(64)


def test_cosines_are_of_directions_clip_by_clip():
    one = np.array([[1.0, 0.0], [0.0, 2.0]])
    assert cosines(one, 5 * one) == pytest.approx([1, 1])
    assert cosines(one, one[::-1]) == pytest.approx([0, 0])
    assert cosines(one, np.array([[-1.0, 0.0], [0.0, 0.0]])) == pytest.approx([-1, 0]), (
        "nothing is like nothing"
    )


def test_a_measure_says_what_is_known_and_no_more():
    sure, unsure = Interval(0.5, 0.25, 0.75), Interval(0.125, -math.inf, math.inf)
    assert (
        str(Measure("F1", sure, unsure, sure))
        == "F1 0.500 (0.250 to 0.750); recorded clips 0.125, by chance 0.500"
    )
    assert str(Measure("distance", unsure, sure)) == "distance 0.125; recorded clips 0.500"
    unknown = Interval(math.nan, -math.inf, math.inf)
    assert (
        str(Measure("precision", unknown, sure, unknown)) == "precision –; recorded clips 0.500, by chance –"
    )
