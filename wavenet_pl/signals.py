"""How a run ends before its time: signals that only set a flag, and what ends it on all ranks together."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TypeVar

from wavenet_pl.errors import ExitCode

T = TypeVar("T")
EXIT_CODES = {
    signal.SIGUSR1: ExitCode.SAVED,
    signal.SIGTERM: ExitCode.TERMINATED,
    signal.SIGINT: ExitCode.INTERRUPTED,
}


_STDERR, _SHOW_CURSOR = 2, "\x1b[?25h"


class StopRun(Exception):
    """The run ends now; every rank raises this at the same step.

    Args:
        code: what the process exits with.
        message: what is said about it, once.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class StopFlag:
    """Set by the first signal, or by the clock. A second Ctrl-C ends the process; so does a second SIGTERM.

    A second SIGUSR1 does not: it may come from a scheduler and again from a user, and asks for nothing but what is
    under way.

    Args:
        exits: whether a second Ctrl-C exits. It raises KeyboardInterrupt otherwise, for those who have more in their
            process than a command.
    """

    def __init__(self, *, exits: bool = False) -> None:
        self._exits, self._signal = exits, 0
        self.stop_at: float | None = None
        """On `time.monotonic`'s clock, when the run is to stop by itself."""
        self.speaks = False
        """Whether a signal is answered with a line on stderr; one rank does, where there are several."""
        self.longest_wait = 0.0
        """Seconds, at most, between two looks at the flag since `measure_waits`: for so long a signal may wait."""
        self._looked: float | None = None

    @property
    def code(self) -> int:
        """The exit code of what asks to stop; 0 for nothing. To be looked at wherever the run can stop."""
        now = time.monotonic()
        if self._looked is not None:
            self.longest_wait, self._looked = max(self.longest_wait, now - self._looked), now
        if not self._signal and self.stop_at is not None and now >= self.stop_at:
            return ExitCode.SAVED
        return self._signal

    def __bool__(self) -> bool:
        return self.code != 0

    def measure_waits(self) -> None:
        """From now on, as long as nothing did so before."""
        if self._looked is None:
            self._looked = time.monotonic()

    def install(self) -> None:
        """Answer SIGINT, SIGTERM and SIGUSR1 from now on, those that `hold` kept included.

        Only the main thread can; in another one, as some notebooks have, nothing changes.
        """
        if threading.current_thread() is not threading.main_thread():
            return
        for number in EXIT_CODES:
            signal.signal(number, self._handle)
        release()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        again = self._signal == EXIT_CODES[signal.Signals(number)]
        self._signal = EXIT_CODES[signal.Signals(number)]
        if number == signal.SIGTERM:
            signal.signal(number, signal.SIG_DFL)
        if number == signal.SIGINT:
            signal.signal(number, self._leave if self._exits else signal.default_int_handler)
            self._say("stopping after this step, and saving; Ctrl-C again stops without saving")
        elif not again:
            self._say(f"{signal.Signals(number).name}: stopping after this step, and saving")

    def _leave(self, number: int, frame: FrameType | None) -> None:
        """Ends the process at once, wherever it is. A terminal gets back the cursor that a bar had hidden."""
        shown = _SHOW_CURSOR if os.isatty(_STDERR) else ""
        self._say(f"{shown}stopped without saving; the same command goes on from the newest checkpoint")
        os._exit(ExitCode.INTERRUPTED)

    def _say(self, line: str) -> None:
        """Past Python's buffers, in whose lock the signal may have come; what reads it may have ended of it too."""
        if self.speaks:
            with suppress(OSError):
                os.write(_STDERR, f"\n{line}\n".encode())


def completed(futures: Iterable[Future[T]], poll_seconds: float = 0.2) -> Iterator[set[Future[T]]]:
    """Futures as they finish, in sets that may be empty, until all have.

    Ctrl-C is raised between two sets only: inside the wait it would leave locks of the futures taken, and the processes
    that work on them could never be shut down.

    Args:
        futures: of a pool.
        poll_seconds: between two looks.
    """
    waiting, struck = set(futures), False

    def strike(number: int, frame: FrameType | None) -> None:
        nonlocal struck
        struck = True

    in_main = threading.current_thread() is threading.main_thread()  # no other can have handlers
    before = signal.signal(signal.SIGINT, strike) if in_main else None
    try:
        while waiting:
            finished, waiting = wait(waiting, timeout=poll_seconds, return_when=FIRST_COMPLETED)
            if struck:
                raise KeyboardInterrupt
            yield finished
    finally:
        if in_main:
            signal.signal(signal.SIGINT, before)


@contextmanager
def interrupts_wait() -> Iterator[None]:
    """Raises KeyboardInterrupt at the end of the block where Ctrl-C came within it.

    For libraries that call Python back from C, as libsndfile does to read: there the exception would end nothing but
    that call, which then has read nothing, and be lost.
    """
    raises = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not raises or threading.current_thread() is not threading.main_thread():
        yield
        return
    struck = False

    def strike(number: int, frame: FrameType | None) -> None:
        nonlocal struck
        struck = True

    signal.signal(signal.SIGINT, strike)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if struck:
            raise KeyboardInterrupt


def hold() -> None:
    """Keep the signals waiting until a `StopFlag` is installed: before that they would kill the process.

    Processes that are started meanwhile begin so too.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, EXIT_CODES)


def release() -> None:
    """Let the signals come that `hold` kept, and those to come."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, EXIT_CODES)


def ignore_signals() -> None:
    """Let no signal change how the process ends, from here on: for when all is written and the exit code is decided.

    Whoever started the ranks may end those that leave last as soon as the first one left. Only the main thread can do
    this; in another one nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in EXIT_CODES:
        signal.signal(number, signal.SIG_IGN)
