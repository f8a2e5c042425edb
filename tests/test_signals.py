"""Signals set a flag, and what they do after the first."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from wavenet_pl.errors import ExitCode
from wavenet_pl.signals import EXIT_CODES, StopFlag

pytestmark = pytest.mark.cold("signals in the first moments of a process")


def end_of(*lines: str, exits: bool = False) -> int:
    """How a process that runs these lines ends: its exit code, or the signal that killed it, negative."""
    begin = (
        "import os, signal, time", "from wavenet_pl.signals import *", f"flag = StopFlag(exits={exits})",
        "flag.install()",
    )  # fmt: skip
    return subprocess.run([sys.executable, "-c", "\n".join([*begin, *lines])], timeout=60).returncode


@pytest.mark.parametrize("number", EXIT_CODES)
def test_the_first_signal_sets_the_flag(number):
    assert end_of(f"os.kill(os.getpid(), {int(number)})", "os._exit(flag.code)") == EXIT_CODES[number]


def test_a_second_sigterm_ends_the_process():
    assert end_of(*2 * ["os.kill(os.getpid(), signal.SIGTERM)"]) == -signal.SIGTERM


@pytest.mark.parametrize(("exits", "code"), [(True, 130), (False, 7)])
def test_a_second_ctrl_c_ends_a_command_and_interrupts_a_notebook(exits, code):
    strike = "    os.kill(os.getpid(), signal.SIGINT)"
    lines = (
        "try:",
        strike,
        strike,
        "    time.sleep(9)",
        "except KeyboardInterrupt:",
        "    raise SystemExit(7)",
    )
    assert end_of(*lines, exits=exits) == code


def test_the_flag_is_set_by_the_clock_too():
    flag = StopFlag()
    flag.stop_at = time.monotonic() + 3600
    assert not flag
    flag.stop_at = time.monotonic()
    assert flag.code == ExitCode.SAVED


def test_the_longest_wait_is_that_between_two_looks():
    flag = StopFlag()
    assert not flag and flag.longest_wait == 0, "before it is measured"
    flag.measure_waits()
    for seconds in (0.0, 0.05, 0.0):
        time.sleep(seconds)
        assert not flag
    assert flag.longest_wait >= 0.05
    longest = flag.longest_wait
    flag.measure_waits()
    assert not flag and flag.longest_wait == longest


def test_a_second_sigusr1_asks_for_nothing_new():
    assert end_of(*2 * ["os.kill(os.getpid(), signal.SIGUSR1)"], "raise SystemExit(flag.code)") == 85


def test_what_only_the_main_thread_can_do_is_left_out_in_others():
    """As some notebooks have them."""
    lines = (
        "import threading",
        "before = [signal.getsignal(number) for number in EXIT_CODES]",
        "flaws = []",
        "threading.excepthook = flaws.append",
        "thread = threading.Thread(target=lambda: (flag.install(), ignore_signals()))",
        "thread.start(), thread.join()",
        "same = before == [signal.getsignal(number) for number in EXIT_CODES]",
        "raise SystemExit(0 if same and not flaws else 7)",
    )
    assert end_of(*lines) == 0


@pytest.mark.parametrize("number", EXIT_CODES)
def test_a_decided_exit_code_stays(number):
    """Also while the interpreter shuts down, when handlers of Python's own are gone."""
    late = f"import atexit; atexit.register(os.kill, os.getpid(), {int(number)})"
    class_ = f"class Last:\n def __del__(self, kill=os.kill, pid=os.getpid()): kill(pid, {int(number)})\nlast = Last()"
    assert end_of("ignore_signals()", late, class_, "raise SystemExit(85)") == 85


WAITING = (
    "from concurrent.futures import ThreadPoolExecutor",
    "from wavenet_pl import signals",
    "pool = ThreadPoolExecutor(1)",
    "before = signal.getsignal(signal.SIGINT)",
)


def test_ctrl_c_never_comes_inside_a_wait_for_futures():
    """There it would leave their locks taken: nobody could finish them any more."""
    waiting = """
def wait(futures, **options):
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.1)
    print("whole", flush=True)
    return set(), set(futures)

signals.wait = wait
try:
    for finished in signals.completed([pool.submit(time.sleep, 0.1)]):
        os._exit(1)
except KeyboardInterrupt:
    os._exit(20 + (signal.getsignal(signal.SIGINT) is before))
"""
    assert end_of(*WAITING, waiting) == 21, "raised after the wait, and the handler is the old one again"


def test_futures_come_as_they_finish():
    lines = (
        "jobs = [pool.submit(pow, 2, n) for n in range(5)]",
        "sets = list(signals.completed(jobs, poll_seconds=0.01))",
        "os._exit(sum(f.result() for s in sets for f in s) if set().union(*sets) == set(jobs) else 99)",
    )
    assert end_of(*WAITING, *lines) == 31


@pytest.mark.parametrize(("strikes", "code"), [(1, 85), (2, 130)])
def test_ctrl_c_is_obeyed_where_nobody_reads_the_answer(strikes, code):
    """It has ended `tee` too, to which the answer would go."""
    lines = (
        "flag.speaks = True",
        "read_end, write_end = os.pipe()",
        "os.close(read_end)",
        "os.dup2(write_end, 2)",
        *strikes * ["os.kill(os.getpid(), signal.SIGINT)"],
        "os._exit(85)",
    )
    assert end_of(*lines, exits=True) == code
