"""Signals set a flag, and what they do after the first."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from wavenet_pl.signals import EXIT_CODES


def end_of(*lines: str) -> int:
    """How a process that runs these lines ends: its exit code, or the signal that killed it, negative."""
    begin = ("import os, signal", "from wavenet_pl.signals import *", "flag = StopFlag()", "flag.install()")
    return subprocess.run([sys.executable, "-c", "\n".join([*begin, *lines])], timeout=60).returncode


@pytest.mark.parametrize("number", EXIT_CODES)
def test_the_first_signal_sets_the_flag(number):
    assert end_of(f"os.kill(os.getpid(), {int(number)})", "os._exit(flag.code)") == EXIT_CODES[number]


def test_a_second_sigterm_ends_the_process():
    assert end_of(*2 * ["os.kill(os.getpid(), signal.SIGTERM)"]) == -signal.SIGTERM


def test_a_second_sigusr1_asks_for_nothing_new():
    assert end_of(*2 * ["os.kill(os.getpid(), signal.SIGUSR1)"], "raise SystemExit(flag.code)") == 85


@pytest.mark.parametrize("number", EXIT_CODES)
def test_a_decided_exit_code_stays(number):
    """Also while the interpreter shuts down, when handlers of Python's own are gone."""
    late = f"import atexit; atexit.register(os.kill, os.getpid(), {int(number)})"
    class_ = f"class Last:\n def __del__(self, kill=os.kill, pid=os.getpid()): kill(pid, {int(number)})\nlast = Last()"
    assert end_of("ignore_signals()", late, class_, "raise SystemExit(85)") == 85
