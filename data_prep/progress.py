"""How far it is: a bar with the time left on a terminal, a line now and then elsewhere; always on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

_LINE_EVERY_SECONDS = 10.0


class Progress:
    """Counts recordings towards a total.

    Args:
        total: recordings there are.
        done: those that were done by an earlier run.
        clock: seconds, from any beginning.
        command: whose work it is.
    """

    def __init__(
        self,
        total: int,
        done: int = 0,
        clock: Callable[[], float] = time.monotonic,
        command: str = "prepare",
    ) -> None:
        self._command = command
        self.total, self._first, self._clock = total, done, clock
        self._began = self._spoke = clock()
        self._bar: Any = None

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn(self._command),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("recordings, time left"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )
            self._bar.start()
            self._task = self._bar.add_task(self._command, total=self.total, completed=self._first)
        return self

    def show(self, done: int) -> None:
        """Say that so many are done, earlier runs included."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done)
            return
        now = self._clock()
        if now - self._spoke >= _LINE_EVERY_SECONDS and done > self._first:
            self._spoke = now
            left = (now - self._began) / (done - self._first) * (self.total - done)
            share = 100 * done // max(self.total, 1)
            print(
                f"{self._command}: {done} of {self.total} recordings, {share} %, {_duration(left)} left",
                file=sys.stderr,
                flush=True,
            )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
