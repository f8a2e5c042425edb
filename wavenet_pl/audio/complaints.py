"""What a library writes to the terminal by itself: caught, and kept apart from what others write."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from wavenet_pl.files.shared import nameless_file

_OURS = re.compile(rb"libmpg123|^Warning: (Encountered|Big change|Xing)|^Note: |^$")
_STDERR = 2
_LOCK = threading.Lock()


@lru_cache(maxsize=1)
def _file_of(process: int) -> int:
    """A descriptor of a file in memory, of one process alone: what is forked would write into the same."""
    with nameless_file() as file:
        return os.dup(file.fileno())


@contextmanager
def caught_complaints() -> Iterator[list[str]]:
    """What libmpg123 writes to stderr while this is open, a line each, once it is closed.

    Nobody can tell the library inside of libsndfile to be quiet. What others write meanwhile comes a moment later.
    """
    lines: list[str] = []
    with _LOCK:
        file = _file_of(os.getpid())
        try:
            kept = os.dup(_STDERR)
        except OSError:  # there is no stderr to keep clean
            yield lines
            return
        try:
            os.dup2(file, _STDERR)
            yield lines
        finally:
            os.dup2(kept, _STDERR)
            os.close(kept)
            if size := os.lseek(file, 0, os.SEEK_END):
                written = os.pread(file, size, 0)
                os.ftruncate(file, 0)
                os.lseek(file, 0, os.SEEK_SET)
                for line in written.splitlines(keepends=True):
                    if _OURS.search(line.rstrip()):
                        lines.append(line.decode("utf-8", "replace").strip())
                    else:
                        os.write(_STDERR, line)
