"""Shares of a whole as small whole numbers, and whose turn it is when things are dealt out by them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

FINEST = 10_000
"""A whole has so many parts at most: shares that need more are rounded to them."""


def are_parts(shares: Sequence[float]) -> bool:
    """Whether each is a part at least of a whole as fine as there is."""
    exact = _exact(shares)
    return min(exact) * FINEST >= 1


def parts_of(shares: Sequence[float]) -> tuple[int, ...]:
    """The whole numbers that are to each other as the shares: 7 and 3 of 0.7 and 0.3.

    Shares for which the whole would have more than `FINEST` parts are rounded to so many.

    Args:
        shares: finite and above 0, of which `are_parts` holds. They need not have the sum 1.
    """
    assert are_parts(shares), shares
    exact = _exact(shares)
    whole = math.lcm(*(share.denominator for share in exact))
    if whole <= FINEST:
        return tuple(int(share * whole) for share in exact)
    parts = [int(share * FINEST) for share in exact]
    by_rest = sorted(range(len(exact)), key=lambda number: parts[number] - exact[number] * FINEST)
    for number in by_rest[: FINEST - sum(parts)]:
        parts[number] += 1
    return tuple(part // math.gcd(*parts) for part in parts)


def _exact(shares: Sequence[float]) -> list[Fraction]:
    """Of a sum of 1: decimals as they are written."""
    exact = [Fraction(str(share)) for share in shares]
    whole = sum(exact)
    return [share / whole for share in exact]


def dealt(parts: Sequence[int]) -> list[int]:
    """Who gets each of sum(parts) things, so that at any moment everyone has their share of those so far within one.

    Thing number n of who has p of w parts comes between n * w / p and (n + 1) * w / p; of those whose time has begun,
    the one comes whose time ends first (Baruah, Cohen, Plaxton and Varvel, "Proportionate Progress: A Notion of
    Fairness in Resource Allocation", Algorithmica 1996).
    """
    whole = sum(parts)
    waiting = {who: 0 for who, part in enumerate(parts) if part}
    order = []
    for now in range(whole):
        begun = (who for who, count in waiting.items() if count * whole < (now + 1) * parts[who])
        who = min(begun, key=lambda who: (-(-(waiting[who] + 1) * whole // parts[who]), who))
        waiting[who] += 1
        order.append(who)
    return order
