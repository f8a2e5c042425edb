"""Signals that ask a run to stop: the handlers only set a flag."""

from __future__ import annotations

import signal
from types import FrameType

REQUEUE = 85
"""Exit code of a run that was saved and wants to be started again."""
EXIT_CODES = {signal.SIGUSR1: REQUEUE, signal.SIGTERM: 143, signal.SIGINT: 130}


class StopFlag:
    """Set by the first signal. A second one of the same kind does what it would have done without us."""

    def __init__(self) -> None:
        self.code = 0

    def install(self) -> None:
        """Answer SIGINT, SIGTERM and SIGUSR1 from now on; in the main thread only."""
        for number in EXIT_CODES:
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.code = EXIT_CODES[signal.Signals(number)]
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
