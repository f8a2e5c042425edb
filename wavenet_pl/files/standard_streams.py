"""Standard output and standard error of work that goes on where nobody reads them any more."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any


class _Unheeded:
    """A stream on which a write never fails: what it does not take is lost."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


@contextmanager
def readers_may_leave() -> Iterator[None]:
    """Inside, nothing fails because stdout or stderr takes no more.

    The Ctrl-C that stops a training ends what reads it too, as `tee` in ``2>&1 | tee log``; a terminal may close, and
    the disk of a log may be full.
    """
    before: Any = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (stream and _Unheeded(stream) for stream in before)  # None where it was closed
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def drop_unwritten() -> None:
    """Give up what stdout and stderr still hold and cannot write; to be called at the end of the process.

    The interpreter would try once more, and exit with 120 instead of the code that was decided.
    """
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
