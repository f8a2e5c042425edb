"""How much memory a block of a test takes, whatever tests before it have taken."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def taking_at_most(size: int) -> Iterator[None]:
    """Fails where the block takes more memory, and be it for a moment.

    The system's own maximum is of the whole life of a process, and would hide what is less than an earlier test took:
    it begins anew here.

    Args:
        size: bytes, beyond those that the process has when the block begins.
    """
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the most so far is what there is now
    before = _memory("VmRSS")
    yield
    assert _memory("VmHWM") - before < size


def _memory(name: str) -> int:
    """Bytes that the process has now (VmRSS), or had at most (VmHWM)."""
    [line] = [row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith(name)]
    return 1024 * int(line.split()[1])
