"""Shares as whole numbers, and whose turn it is."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wavenet_pl.numbers.shares import FINEST, are_parts, dealt, parts_of


@settings(max_examples=100)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=8).filter(any))
def test_at_any_moment_everyone_has_their_share_within_one(parts: list[int]) -> None:
    whole, had = sum(parts), Counter[int]()
    for now, who in enumerate(dealt(parts), start=1):
        had[who] += 1
        assert all(abs(had[each] - Fraction(now * part, whole)) < 1 for each, part in enumerate(parts))
    assert [had[each] for each in range(len(parts))] == parts


@pytest.mark.parametrize(
    ("shares", "parts"),
    [
        ([0.7, 0.3], (7, 3)),
        ([7.0, 3.0], (7, 3)),
        ([1.0, 1.0, 1.0], (1, 1, 1)),
        ([0.1, 0.2, 0.3], (1, 2, 3)),
        ([0.5], (1,)),
        ([1e-3, 0.999], (1, 999)),
        ([1e300, 1e300], (1, 1)),
    ],
)
def test_parts_are_to_each_other_as_shares(shares: list[float], parts: tuple[int, ...]) -> None:
    assert parts_of(shares) == parts


@given(st.lists(st.floats(1e-3, 1), min_size=1, max_size=9))
def test_parts_that_would_be_too_many_are_rounded(shares: list[float]) -> None:
    parts = parts_of(shares)
    assert sum(parts) <= FINEST and min(parts) >= 1
    for part, share in zip(parts, shares, strict=True):
        assert abs(
            Fraction(part, sum(parts)) - Fraction(str(share)) / sum(map(Fraction, map(str, shares)))
        ) < Fraction(1, FINEST)


def test_less_than_a_part_is_known() -> None:
    assert are_parts([1.0, 9_999.0]) and parts_of([1.0, 9_999.0]) == (1, 9_999)
    assert not are_parts([1.0, 10_000.0]) and not are_parts([0.0999999, 999.9000001])
    with pytest.raises(AssertionError):
        parts_of([1.0, 1e-5])
