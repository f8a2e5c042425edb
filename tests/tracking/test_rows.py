"""What is best of the numbers of a run."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from wavenet_pl.tracking.rows import best_numbers

BITS, GAP = "val/bits", "val/gap/speaker"
ROWS = st.lists(st.dictionaries(st.sampled_from([BITS, GAP, "train/bits"]), st.floats(-9, 9), max_size=3))


@given(ROWS, st.integers(0, 9))
def test_rows_that_come_in_two_parts_have_the_best_of_all(rows: list[dict[str, float]], cut: int) -> None:
    first = best_numbers(rows[:cut], {})
    both = first | best_numbers(rows[cut:], first)
    bits, gaps = ([row[key] for row in rows if key in row] for key in (BITS, GAP))
    assert both == ({BITS: min(bits)} if bits else {}) | ({GAP: max(gaps)} if gaps else {})


def test_what_is_no_better_and_what_is_not_finite_is_left_out() -> None:
    known = {BITS: 3.0, GAP: 0.2}
    assert best_numbers([{BITS: 4.0, GAP: 0.1}, {BITS: math.nan, GAP: math.inf}], known) == {}
    assert best_numbers([{BITS: 2.0, "val/bits_shuffled/speaker": 1.0}], known) == {BITS: 2.0}
