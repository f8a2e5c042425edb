"""How a command ends: its exit code, and the two errors that are no bug of ours."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from enum import IntEnum


class ExitCode(IntEnum):
    """What a process exits with, and what that means to whoever started it."""

    meaning: str

    def __new__(cls, value: int, meaning: str) -> ExitCode:
        code = int.__new__(cls, value)
        code._value_, code.meaning = value, meaning
        return code

    DONE = 0, "done"
    BUG = 1, "a bug of ours"
    USER = 2, "a mistake in what was asked"
    BAD_DATA = 3, "bad data or numbers"
    SAVED = 85, "saved: run the same command again to go on"
    INTERRUPTED = 130, "Ctrl-C"
    BROKEN_PIPE = 141, "nobody reads the output any more"
    TERMINATED = 143, "terminated"


class UserError(ValueError):
    """Something the user can put right: a setting, a path, a file. Commands exit with `ExitCode.USER`.

    The message says what was found, what was expected and what to do, and is shown without a traceback.
    """

    exit_code = ExitCode.USER


class BadDataError(RuntimeError):
    """Too much bad data, or numbers that are not finite, so that the run cannot go on. Commands exit with
    `ExitCode.BAD_DATA`.

    The message says what was found, what was expected and what to do, and is shown without a traceback.

    Args:
        message: what is shown.
        kind: where one recording is meant, a key of `shards.damage.REMEDIES`. Then the message says only what was found
            and expected; whoever knows the recording adds its name, and the remedy.
    """

    exit_code = ExitCode.BAD_DATA

    def __init__(self, message: str, kind: str = "") -> None:
        super().__init__(message)
        self.kind = kind


def nearest(name: str, names: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The one of the names that is most like name, whatever the case; None where likeness (0 to 1) is below cutoff."""
    folded = {known.casefold(): known for known in names}
    matches = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=cutoff)
    return folded[matches[0]] if matches else None


def did_you_mean(name: str, names: Iterable[str], otherwise: str = "") -> str:
    """The nearest name as the end of a message; where none is near, what else there is to say."""
    guess = nearest(name, names)
    advice = f"did you mean {guess}?" if guess else otherwise
    return f"; {advice}" if advice else ""
