"""Work ahead: in order, several at a time, no further than it should be, and nothing is left of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from wavenet_pl.data.ahead import in_order


def test_results_come_in_the_order_of_the_items_whichever_is_ready_first() -> None:
    def late(item: int) -> int:
        time.sleep(0.003 * (item % 3 == 0))
        return item * item

    assert list(in_order(late, range(40), 4)) == [item * item for item in range(40)]
    assert list(in_order(late, [], 4)) == []


def test_several_are_made_at_a_time_and_no_more_than_two_each_are_waiting() -> None:
    taken: list[int] = []
    meet = threading.Barrier(3, timeout=10)

    def items() -> Iterator[int]:
        for item in range(30):
            taken.append(item)
            yield item

    def make(item: int) -> int:
        meet.wait()
        return item

    for number, item in enumerate(in_order(make, items(), 3)):
        assert item == number
        assert len(taken) <= number + 6


def test_what_is_at_hand_is_made_where_it_is_used_and_comes_in_its_turn() -> None:
    threads: dict[int, threading.Thread] = {}

    def make(item: int) -> int:
        threads[item] = threading.current_thread()
        return item

    assert list(in_order(make, range(20), 3, lambda item: item % 2 == 0)) == [*range(20)]
    here = {item for item, thread in threads.items() if thread is threading.current_thread()}
    assert here == set(range(0, 20, 2))


def test_an_error_is_raised_in_its_turn() -> None:
    results = in_order(lambda item: 6 // item, [3, 2, 0, 1], 2)
    assert [next(results), next(results)] == [2, 3]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_threads_end_with_the_iterator_and_do_not_begin_what_nobody_wants() -> None:
    before, made = threading.active_count(), []
    results = in_order(lambda item: made.append(item) or time.sleep(0.01), range(1_000), 2)
    next(results)
    results.close()
    until = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < until:
        time.sleep(0.001)
    assert threading.active_count() <= before
    assert len(made) <= 5
