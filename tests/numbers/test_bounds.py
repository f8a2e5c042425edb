"""Numbers that make sense are taken, whatever type they come in, and no others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from wavenet_pl.errors import UserError
from wavenet_pl.numbers.bounds import COUNTS, SECONDS, SEEDS, TEMPERATURES, THREADS, TOP_P, Bounds


@pytest.mark.parametrize(
    ("bounds", "good", "bad"),
    [
        (SECONDS, [2, 0.001, np.float32(2), 10**6], [0, -1, 1e-9, 1e7, 10**400, "2", None, True, 1j]),
        (COUNTS, [1, np.int64(3), 10**6], [0, 1.5, 10**7, "1", False]),
        (THREADS, [1, 64], [0, 100_000]),
        (SEEDS, [0, 20_261_129_123_456, 2**64 - 1], [-1, 2**64, 0.5]),
        (TEMPERATURES, [0, 0.0, 1e-6, 1, np.float64(0.9)], [-0.1, 1e-46, 1e30]),
        (TOP_P, [1e-300, 0.5, 1], [0, 1.01]),
    ],
)
def test_what_is_meant_is_taken_and_the_rest_refused(bounds: Bounds, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        bounds.check("it", value)
    for value in [*bad, float("nan"), float("inf"), -float("inf")]:
        with pytest.raises(UserError, match=r"it is .*, expected .*[0-9]"):
            bounds.check("it", value)
