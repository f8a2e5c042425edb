"""Intervals over recordings, against simulated recordings and against integrals."""

from __future__ import annotations

import math

import numpy as np
import pytest

from wavenet_pl.numbers.intervals import LEVEL, Interval, mean_and_interval, student_quantile


@pytest.mark.parametrize("spread", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("number", [2, 3, 5, 12, 60])
def test_it_holds_the_true_mean_as_often_as_it_says(number, spread):
    """Recordings of unequal lengths with a level of their own, and samples that vary around it."""
    random = np.random.default_rng(number)
    trials, held = 2_000, 0
    for _ in range(trials):
        counts = np.round(random.lognormal(8, spread, number)).astype(int) + 1
        levels = random.normal(3.0, 0.4, number)
        sums = counts * levels + np.sqrt(counts) * random.standard_normal(number)
        found = mean_and_interval(sums, counts)
        held += found.low <= 3.0 <= found.high
    assert held / trials == pytest.approx(LEVEL, abs=0.02)


def test_samples_of_one_recording_are_no_evidence_of_others():
    random = np.random.default_rng(0)
    sums = random.normal(3.0, 0.4, 10) * 1_000
    few, many = (mean_and_interval(sums * factor, np.full(10, 1_000 * factor)) for factor in (1, 1_000))
    assert many == pytest.approx(few)
    assert few.high - few.mean == pytest.approx(
        2.262 * np.std(sums / 1_000, ddof=1) / math.sqrt(10), rel=1e-3
    )


def test_mean_is_of_samples_and_not_of_recordings():
    assert mean_and_interval([10.0, 900.0], [10, 100]).mean == pytest.approx(910 / 110)


def test_recordings_with_nothing_counted_are_left_out():
    assert mean_and_interval([3.0, 0.0, 8.0], [1, 0, 2]) == mean_and_interval([3.0, 8.0], [1, 2])


def test_a_recording_that_comes_again_is_still_one():
    sums, counts, of = [3.0, 5.0, 2.0, 8.0], [1, 1, 2, 1], ["a", "b", "a", b"b\0"]
    assert mean_and_interval(sums, counts, of) == mean_and_interval([5.0, 5.0, 8.0], [3, 1, 1])
    assert mean_and_interval([0.8, 0.8], [1, 1], [7, 7]) == (0.8, -math.inf, math.inf)


def test_one_recording_says_nothing_of_others():
    assert mean_and_interval([6.0], [2]) == (3.0, -math.inf, math.inf)
    assert math.isnan(mean_and_interval([], []).mean)


def probability_below(quantile: float, degrees: int) -> float:
    """Of Student's t, by the integral."""
    angle = np.linspace(0, math.atan(quantile / math.sqrt(degrees)), 20_001)  # t = sqrt(degrees) tan(angle)
    density = np.cos(angle) ** (degrees - 1)
    constant = math.exp(math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2)) / math.sqrt(math.pi)
    return float(0.5 + constant * np.sum((density[1:] + density[:-1]) / 2) * angle[1])


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 5, 10, 100])
@pytest.mark.parametrize("probability", [0.9, 0.975, 0.99, 0.999])
def test_quantile_of_student_is_as_near_as_it_says(degrees, probability):
    quantile = student_quantile(probability, degrees)
    surely = {3: 0.028, 4: 0.009}.get(degrees, 0.004) if probability > 0.99 else 0.004
    assert probability_below(quantile * (1 - 1e-4), degrees) < probability, "it is not too large"
    assert probability_below(quantile / (1 - surely), degrees) > probability


def test_it_is_written_as_far_as_there_is_one():
    assert f"{Interval(1, 0.5, 1.5):+7.3f}" == " +1.000 (+0.500 to +1.500)"
    assert f"{mean_and_interval([3.0], [2]):.2f}" == "1.50"  # one recording says nothing of others
    assert f"{mean_and_interval([], []):7.3f}" == "      –"
    assert f"{mean_and_interval([], []):.3f}" == "–"
