"""How a run ends before its time: signals that only set a flag, and what ends it on all ranks together."""

from __future__ import annotations

import signal
from types import FrameType

REQUEUE = 85
"""Exit code of a run that was saved and wants to be started again."""
BAD = 3
"""Exit code of a run that stopped for bad data or numbers."""
EXIT_CODES = {signal.SIGUSR1: REQUEUE, signal.SIGTERM: 143, signal.SIGINT: 130}


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
        """Answer SIGINT, SIGTERM and SIGUSR1 from now on, those that `hold` kept included; in the main thread only."""
        for number in EXIT_CODES:
            signal.signal(number, self._handle)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, EXIT_CODES)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.code = EXIT_CODES[signal.Signals(number)]
        if number != signal.SIGUSR1:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def hold() -> None:
    """Keep the signals waiting until a `StopFlag` is installed: before that they would kill the process."""
    signal.pthread_sigmask(signal.SIG_BLOCK, EXIT_CODES)


def ignore_signals() -> None:
    """Let no signal change how the process ends, from here on: for when all is written and the exit code is decided.

    Whoever started the ranks may end those that leave last as soon as the first one left.
    """
    for number in EXIT_CODES:
        signal.signal(number, signal.SIG_IGN)
