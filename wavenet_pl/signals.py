"""How a run ends before its time: signals that only set a flag, and what ends it on all ranks together."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from types import FrameType
from typing import TypeVar

from wavenet_pl.errors import ExitCode

T = TypeVar("T")
EXIT_CODES = {
    signal.SIGUSR1: ExitCode.SAVED,
    signal.SIGTERM: ExitCode.TERMINATED,
    signal.SIGINT: ExitCode.INTERRUPTED,
}


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
    """Set by the first signal. A second SIGTERM or SIGINT does what it would have done without us.

    SIGUSR1 never does: it may come from a scheduler and again from a user, and asks for nothing but what is under way.
    """

    def __init__(self) -> None:
        self.code = 0

    def __bool__(self) -> bool:
        return self.code != 0

    def install(self) -> None:
        """Answer SIGINT, SIGTERM and SIGUSR1 from now on, those that `hold` kept included.

        Only the main thread can; in another one, as some notebooks have, nothing changes.
        """
        if threading.current_thread() is not threading.main_thread():
            return
        for number in EXIT_CODES:
            signal.signal(number, self._handle)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, EXIT_CODES)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.code = EXIT_CODES[signal.Signals(number)]
        if number != signal.SIGUSR1:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


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


def hold() -> None:
    """Keep the signals waiting until a `StopFlag` is installed: before that they would kill the process."""
    signal.pthread_sigmask(signal.SIG_BLOCK, EXIT_CODES)


def ignore_signals() -> None:
    """Let no signal change how the process ends, from here on: for when all is written and the exit code is decided.

    Whoever started the ranks may end those that leave last as soon as the first one left.
    """
    for number in EXIT_CODES:
        signal.signal(number, signal.SIG_IGN)
