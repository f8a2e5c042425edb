"""What a library writes to the terminal by itself: caught, and kept apart from what others write."""

from __future__ import annotations

import os
import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_OURS = re.compile(rb"libmpg123|^Warning: (Encountered|Big change|Xing)|^Note: |^$")
_STDERR = 2
_LOCK = threading.Lock()


@contextmanager
def caught_complaints() -> Iterator[list[str]]:
    """What libmpg123 writes to stderr while this is open, a line each, once it is closed.

    Nobody can tell the library inside of libsndfile to be quiet. What others write meanwhile comes a moment later.
    """
    lines: list[str] = []
    with _LOCK, tempfile.TemporaryFile() as file:
        try:
            kept = os.dup(_STDERR)
        except OSError:  # there is no stderr to keep clean
            yield lines
            return
        try:
            os.dup2(file.fileno(), _STDERR)
            yield lines
        finally:
            os.dup2(kept, _STDERR)
            os.close(kept)
            file.seek(0)
            for line in file:
                if _OURS.search(line.rstrip()):
                    lines.append(line.decode("utf-8", "replace").strip())
                else:
                    os.write(_STDERR, line)
