"""A command of ours, as a user would type it: in a process of its own, and what it says is shown."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from wavenet_pl.errors import UserError
from wavenet_pl.runs.folder import RunFolder

_RUN = "run folder   "
"""Stands before the path in what `train` says at its end."""


def wavenet_pl(folder: Path, arguments: Sequence[str]) -> str:
    """Runs `wavenet-pl` in a folder, and returns what it printed.

    Raises:
        UserError: it ended with another code than 0.
    """
    print("$ wavenet-pl", *arguments, file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "wavenet_pl", *arguments]
    lines = []
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", file=sys.stderr, flush=True)
            lines.append(line)
    if process.returncode:
        raise UserError(f"`wavenet-pl {arguments[0]}` ended with {process.returncode}; what it said is above")
    return "".join(lines)


def train(folder: Path, arguments: Sequence[str]) -> RunFolder:
    """Runs `wavenet-pl train` in a folder; returns the run, which may be beside others of its name.

    Raises:
        UserError: it did not come to its end.
    """
    printed = wavenet_pl(folder, ["train", *arguments])
    return RunFolder(folder / printed.rpartition(_RUN)[2].splitlines()[0])
