"""The two ways a run can end that are no bug of ours."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Something the user can put right: a setting, a path, a file. Commands exit with 2.

    The message says what was found, what was expected and what to do, and is shown without a traceback.
    """


class BadDataError(RuntimeError):
    """Too much bad data, or numbers that are not finite, so that the run cannot go on. Commands exit with 3.

    The message says what was found, what was expected and what to do, and is shown without a traceback.

    Args:
        message: what is shown.
        kind: where one recording is meant, a key of `shards.damage.REMEDIES`. Then the message says only what was found
            and expected; whoever knows the recording adds its name, and the remedy.
    """

    def __init__(self, message: str, kind: str = "") -> None:
        super().__init__(message)
        self.kind = kind


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """The nearest name as the end of a message; empty where none is near."""
    matches = difflib.get_close_matches(name, list(names), n=1)
    return f"; did you mean {matches[0]}?" if matches else ""
