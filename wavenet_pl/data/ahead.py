"""Work that threads do ahead of who needs it, in the order in which it is needed."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def in_order(
    make: Callable[[T], R], items: Iterable[T], threads: int, at_hand: Callable[[T], bool] = lambda _: False
) -> Iterator[R]:
    """What `map` gives, made by some threads at a time: they are ahead by at most two items each.

    What `make` raises is raised in its turn. The threads end with the iterator, and hold up no exit: one may wait for a
    server that never answers.

    Args:
        make: what may take long.
        items: that it is called with.
        threads: that call it.
        at_hand: whether it takes less time for an item than to ask a thread; then it is called where the result goes.
    """
    tasks: SimpleQueue[tuple[T, Future[R]] | None] = SimpleQueue()
    closed = threading.Event()

    def work() -> None:
        while (task := tasks.get()) is not None and not closed.is_set():
            item, result = task
            try:
                result.set_result(make(item))
            except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
                result.set_exception(error)

    for _ in range(threads):
        threading.Thread(target=work, daemon=True).start()
    results: deque[Callable[[], R]] = deque()
    try:
        for item in items:
            if at_hand(item):
                results.append(partial(make, item))
            else:
                future: Future[R] = Future()
                results.append(future.result)
                tasks.put((item, future))
            if len(results) == 2 * threads:
                yield results.popleft()()
        while results:
            yield results.popleft()()
    finally:
        closed.set()
        for _ in range(threads):
            tasks.put(None)
