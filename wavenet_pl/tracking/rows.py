"""The rows of metrics.jsonl: how one is written, and all of them read, one at a time."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from wavenet_pl.errors import UserError
from wavenet_pl.files.durable import replacing
from wavenet_pl.files.line_file import whole_lines

SAVE_SECONDS = "perf/save_seconds"
"""How long a checkpoint took, by which the time that a job needs for its last one is known."""
_NOT_FINITE = "not_finite"
_PLAIN = {int, float, bool, str, type(None)}


def encode_row(row: Mapping[str, Any]) -> bytes:
    """One line of JSON: floats by ``repr``, so reading gives the same bits, and tensors as numbers.

    Raises:
        TypeError: a value is neither a number, text nor None.
    """
    out: dict[str, Any] = {}
    not_finite = {}
    for key, value in row.items():
        number = value.item() if hasattr(value, "item") else value
        if isinstance(number, float) and not math.isfinite(number):
            not_finite[key], number = repr(number), None
        out[key] = number
    if not_finite:
        out[_NOT_FINITE] = not_finite
    return json.dumps(out, allow_nan=False, ensure_ascii=False).encode() + b"\n"


def read_metrics(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """All rows at once, as `each_row` gives them: for files that are short."""
    return list(each_row(path))


def each_row(path: str | os.PathLike[str]) -> Iterator[dict[str, Any]]:
    """The rows in the order in which they were written, numbers that are not finite as such.

    No more than one is in memory. A row that a kill left half written at the end is passed over.

    Raises:
        UserError: a row before the last is damaged, or there is no such file.
    """
    return (row for _, row in _lines_and_rows(path))


def _lines_and_rows(path: str | os.PathLike[str]) -> Iterator[tuple[bytes, dict[str, Any]]]:
    number, line = 0, b""
    try:
        for number, line in enumerate(whole_lines(path), start=1):  # noqa: B007 - for the message
            yield line, _decode_row(line)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{path} cannot be read ({reason}), expected rows of JSON; move it away") from None
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{path} line {number} is {line[:80]!r}, expected a row of JSON ({error}); remove the line"
        ) from None


def _decode_row(line: bytes) -> dict[str, Any]:
    row: dict[str, Any] = json.loads(line)
    if not isinstance(row, dict):
        raise TypeError("it is no object")
    if _NOT_FINITE in row:
        row.update({key: float(text) for key, text in row.pop(_NOT_FINITE).items()})
    if type(row.get("step")) not in (int, type(None)):
        raise ValueError(f"its step is {row['step']!r:.40} and no number of steps")
    if _PLAIN.issuperset(map(type, row.values())):
        return row
    for key, value in row.items():
        if type(value) not in _PLAIN and not (
            isinstance(value, list) and _PLAIN.issuperset(map(type, value))
        ):
            raise ValueError(f"{key!r:.40} is neither a number nor text")
    return row


def cut_back(path: str | os.PathLike[str], step: int) -> int:
    """Drop the rows after a step, in one stroke, so that a run resumed there logs no step twice.

    Call it on one rank, before the first row of the resumed run is written.

    Returns:
        How many rows went. Where there is no file, 0.
    """
    path = Path(path)
    dropped = sum((row.get("step") or 0) > step for row in each_row(path)) if path.exists() else 0
    if dropped:
        with replacing(path) as file:
            for line, row in _lines_and_rows(path):
                if (row.get("step") or 0) <= step:
                    file.write(line + b"\n")
    return dropped


def missing_steps(path: str | os.PathLike[str], last: int) -> list[range]:
    """Steps from 1 to the last that have no row of the training, which writes one for each: those that were lost.

    Args:
        path: where the rows are; it need not be there.
        last: the step that a run goes on from, to which the rows were cut back.
    """
    gaps: list[range] = []
    done = 0
    for row in each_row(path) if os.path.exists(path) else ():
        step = row.get("step") or 0
        if "train/loss" in row and step > done:
            gaps += [range(done + 1, step)] if step > done + 1 else []
            done = step
    return gaps + ([range(done + 1, last + 1)] if done < last else [])


def logged_numbers(path: str | os.PathLike[str], key: str) -> dict[int, float]:
    """step -> a number such as val/bits where it was logged and is finite; empty where there is no file.

    Raises:
        UserError: it is damaged.
    """
    rows = each_row(path) if os.path.exists(path) else ()
    return {step: value for step, value in pick(rows, key, path) if math.isfinite(value)}


def pick(
    rows: Iterable[Mapping[str, Any]], key: str, path: str | os.PathLike[str]
) -> list[tuple[int, float]]:
    """(step, number) of each row that has this key; the number may be infinite, or none.

    Args:
        rows: as `read_metrics` gives them.
        key: such as train/loss.
        path: where they were read, for messages.

    Raises:
        UserError: a step or a value is no number.
    """
    points = []
    for row in rows:
        if key in row:
            step, value = row.get("step"), row[key]
            if type(step) is not int or type(value) not in (int, float):
                raise UserError(
                    f"{path} has the row {row!s:.80}, expected numbers as step and {key}; remove it"
                )
            points.append((step, float(value)))
    return points
