"""Processes that a test starts, none of which outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from typing import Any

_started: list[subprocess.Popen[Any]] = []


def ends_with_test(process: subprocess.Popen[str]) -> subprocess.Popen[str]:
    """The process, which began a session: what is left of its group is killed when the test ends, however it ends."""
    _started.append(process)
    return process


def end_started() -> None:
    """Kill what was started, with its group: ranks and workers, also those of a process that has ended."""
    while _started:
        with _started.pop() as process, suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
