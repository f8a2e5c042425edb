"""Worker processes: they hear no stop signal, and end with whoever reads from them, whatever ends that."""

from __future__ import annotations

import multiprocessing
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.data.reading import Numbers
from tests.processes import are_gone
from wavenet_pl.data.workers import Workers, read_ahead
from wavenet_pl.signals import EXIT_CODES

START_METHODS = ["forkserver", "spawn"]


@contextmanager
def reader(start_method: str, then: str) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A process that has read one batch and then waits, or ends; it, and its workers'."""
    command = [sys.executable, "-m", "tests.data.reading", start_method, then]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pids = [int(pid) for pid in process.stdout.readline().split()]
        assert len(pids) == 2
        try:
            yield process, pids
        finally:
            process.kill()


@pytest.mark.slow
@pytest.mark.parametrize("start_method", START_METHODS)
def test_they_do_not_hear_the_stop_signals(start_method: str) -> None:
    """A signal to the whole process group is for the training process to answer."""
    batches = read_ahead(Numbers(), Workers(2, start_method))
    assert next(batches)["number"] == 0
    workers = [child.pid for child in multiprocessing.active_children()]
    assert len(workers) == 2
    stops = sum(1 << (number - 1) for number in EXIT_CODES)
    for pid in workers:
        status = Path(f"/proc/{pid}/status").read_text()
        assert int(status.partition("SigBlk:")[2].split()[0], 16) & stops == stops
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()) & set(EXIT_CODES), "we do"
    assert len(list(batches)) == 2 * 20 - 1


@pytest.mark.slow
@pytest.mark.parametrize("start_method", START_METHODS)
def test_they_end_when_the_reading_process_is_killed(start_method: str) -> None:
    with reader(start_method, "wait") as (process, pids):
        process.kill()
        assert are_gone(pids, 15)


@pytest.mark.slow
@pytest.mark.parametrize("start_method", START_METHODS)
def test_they_hold_up_no_exit(start_method: str) -> None:
    """Somebody still holds what reads from them, as a traceback does."""
    with reader(start_method, "end") as (process, pids):
        assert process.wait(timeout=20) == 0
        assert are_gone(pids, 15)
