"""Packing many shards, in this process or in several: one shard is one process's work from end to end."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection
from typing import Any

from data_prep.packing import ShardTask, pack_shard
from wavenet_pl.errors import BadDataError
from wavenet_pl.signals import completed

_shared: tuple[Any, Any] | None = None
"""In a worker: the count of sources done by all of them, and whether to stop."""


class _Stopped(Exception):
    """The user interrupted; the shard in work is given up."""


def pack_shards(tasks: Sequence[ShardTask], jobs: int, show: Callable[[int], None]) -> None:
    """Pack every shard; the bytes do not depend on `jobs`.

    Args:
        tasks: what to pack.
        jobs: processes.
        show: told now and then how many sources are done.

    Raises:
        KeyboardInterrupt: Ctrl-C; finished shards stay, nothing half done is left.
        BadDataError: a process died.
    """
    jobs = min(jobs, len(tasks))
    if jobs <= 1:
        _pack_here(tasks, show)
    else:
        _pack_in_processes(tasks, jobs, show)


def _pack_here(tasks: Iterable[ShardTask], show: Callable[[int], None]) -> None:
    done = 0

    def after_source() -> None:
        nonlocal done
        done += 1
        show(done)

    for task in tasks:
        pack_shard(task, after_source)


def _pack_in_processes(tasks: Sequence[ShardTask], jobs: int, show: Callable[[int], None]) -> None:
    # Spawned, not forked: torch's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    count, stop = context.Value("q", 0), context.Event()
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_start_worker, initargs=(count, stop))
    try:
        for finished in completed(_submit(pool, tasks)):
            show(count.get_obj().value)  # without the lock: a process may have died with it
            for future in finished:
                future.result()
    except BrokenProcessPool:
        raise BadDataError(
            "a process that packs shards died, perhaps for want of memory, expected it to finish; run the same command "
            "again with fewer --jobs: it goes on after the last finished shard"
        ) from None
    finally:
        stop.set()  # at the end nobody is left to hear it
        pool.shutdown(wait=True, cancel_futures=True)


def _submit(pool: ProcessPoolExecutor, tasks: Sequence[ShardTask]) -> set[Future[None]]:
    """Start the processes with Ctrl-C blocked: a terminal sends it to all of them, and answering it is our part."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return {pool.submit(_pack_in_worker, task) for task in tasks}
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker(count: Any, stop: Any) -> None:
    global _shared
    _shared = count, stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent()


def die_with_parent() -> None:
    """In a worker: end when the parent ends, however that ends. One whose parent was killed would wait for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_die_with, args=(parent.sentinel,), daemon=True).start()


def _die_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)


def _pack_in_worker(task: ShardTask) -> None:
    assert _shared is not None
    count, stop = _shared

    def after_source() -> None:
        with count.get_lock():
            count.value += 1
        if stop.is_set():
            raise _Stopped

    pack_shard(task, after_source)
