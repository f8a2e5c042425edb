"""How small and how large a number may be that somebody gives: beyond that nothing works, or nothing ends."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral, Real

from wavenet_pl.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Which numbers of a kind are meant: ``value in THREADS``."""

    least: float
    most: float
    expected: str
    """In words, after `expected`."""
    whole: bool = False
    """Whether it is a count."""
    or_zero: bool = False
    """Whether 0 is meant as well, and has a meaning of its own."""

    def __contains__(self, value: object) -> bool:
        number = isinstance(value, Integral if self.whole else Real) and not isinstance(value, bool)
        # What is no number compares with none.
        return number and (self.least <= value <= self.most or (self.or_zero and value == 0))  # type: ignore[operator]

    def check(self, name: str, value: object) -> None:
        """Refuse any other value.

        Raises:
            UserError: says the name, the value and what was expected.
        """
        if value not in self:
            raise UserError(f"{name} is {value!r:.60}, expected {self.expected}")


SECONDS = Bounds(least=1e-6, most=1e6, expected="a number above 0, from 0.000001 to 1,000,000")
"""A length of audio: at least so much that there is a sample, at most eleven days."""
COUNTS = Bounds(least=1, most=1_000_000, whole=True, expected="a whole number from 1 on, up to 1,000,000")
"""Of clips."""
THREADS = Bounds(least=1, most=1024, whole=True, expected="1 or more, up to 1,024")
"""Of a CPU: a process with a hundred thousand is killed."""
SEEDS = Bounds(least=0, most=2**64 - 1, whole=True, expected="a whole number from 0 to 18446744073709551615")
"""Of draws."""
TEMPERATURES = Bounds(
    least=1e-6,
    most=1e6,
    or_zero=True,
    expected="a number from 0 to 1,000,000, and none between 0 and 0.000001; 1 draws from the model",
)
"""Of draws. A smaller one is 0 to an engine that computes in float32, and outputs cannot be divided by it."""
TOP_P = Bounds(least=math.ulp(0), most=1, expected="a share above 0 and up to 1; 1 draws from all codes")
"""Of draws."""
