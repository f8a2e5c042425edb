"""How far a piece of work is: a bar with the time left on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, TextIO

_REFRESH = 0.25  # seconds between two pictures of a bar
_DAY = 86400.0


def duration(seconds: float) -> str:
    """``1:07:30`` for 4050 seconds, ``7:30`` where there are no hours; ``2.5 days`` from two days on."""
    if seconds >= 2 * _DAY:
        return f"{seconds / _DAY:,.1f} days"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class Progress:
    """Shows how much of a whole is done and how long the rest takes, inside a ``with``. The work goes on where nobody
    reads it any more.

    Args:
        name: of the work, at the beginning of each line.
        total: how much there is to do; None where nobody knows.
        done: how much an earlier start did already.
        unit: what is counted; without one only the share in percent is shown.
        decimals: of the two numbers.
        stream: where to write; standard error by default, which leaves standard output to a command's results.
        line_seconds: between two lines in a log.
        clock: seconds from any beginning.
    """

    def __init__(
        self,
        name: str,
        total: float | None = 1.0,
        *,
        done: float = 0.0,
        unit: str = "",
        decimals: int = 0,
        stream: TextIO | None = None,
        line_seconds: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name, self._total, self._done, self._unit, self._decimals = name, total, done, unit, decimals
        self._stream = stream or sys.stderr
        self._clock = clock
        self._every = line_seconds
        self._bar: Any = None
        self._shown = clock()
        self.measure_from(done)

    def __enter__(self) -> Progress:
        if self._stream.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn
            from rich.progress import Progress as Bar

            console = Console(file=self._stream, soft_wrap=True)
            if not console.is_dumb_terminal:
                self._every = _REFRESH
                self._bar = Bar(
                    TextColumn("{task.description}", markup=False), BarColumn(bar_width=None),
                    TextColumn("{task.fields[text]}", markup=False),
                    console=console, auto_refresh=False, expand=True,
                )  # fmt: skip
                self._task = self._bar.add_task(self._name, total=self._total, completed=self._done, text="")
                self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take the bar down and leave the terminal as it was; a log needs nothing."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def measure_from(self, done: float) -> None:
        """Reckon the time left from the pace of what is done after this."""
        self._start, self._began = done, self._clock()

    @property
    def is_due(self) -> bool:
        """Whether the next `update` shows something: for those whose facts are dear."""
        return self._clock() - self._shown >= self._every

    def update(self, done: float, *facts: str, stage: str = "", at_once: bool = False) -> None:
        """Say how much is done, earlier starts included, and show it when it is time.

        Args:
            done: of the total.
            facts: what else is known, shown before the time left.
            stage: of the work, in the place of its name for now; on a terminal only.
            at_once: show it in any case.
        """
        self._done = done
        if not (at_once or self.is_due) or (stage and self._bar is None):
            return
        self._shown = self._clock()
        if self._bar is not None:
            text = "   ".join([self._amount(), *facts, *self._left()])
            self._bar.update(self._task, description=stage or self._name, completed=done, text=text)
            self._bar.refresh()
        else:
            share = f" ({100 * done / self._total:.0f} %)" if self._unit and self._total else ""
            line = "   ".join([f"{self._name}: {self._amount()}{share}", *facts, *self._left()])
            with suppress(BrokenPipeError):
                print(line, file=self._stream, flush=True)

    def _amount(self) -> str:
        if not self._unit:
            return f"{100 * self._done / self._total:.0f} %" if self._total else ""
        of = f" of {self._total:,.{self._decimals}f}" if self._total is not None else ""
        return f"{self._done:,.{self._decimals}f}{of} {self._unit}"

    def _left(self) -> list[str]:
        """The time left, where there is a pace."""
        now, done = self._clock(), self._done - self._start
        if self._total is None or done <= 0:
            return []
        return [f"{duration((now - self._began) / done * max(self._total - self._done, 0))} left"]
