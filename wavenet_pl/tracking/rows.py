"""The rows of metrics.jsonl: how one is written, and how all of them, or those of one number, are read."""

from __future__ import annotations

import itertools
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from wavenet_pl.errors import UserError
from wavenet_pl.files.durable import replacing
from wavenet_pl.files.line_file import lines_from_end, whole_lines

SAVE_SECONDS = "perf/save_seconds"
"""How long a checkpoint took, by which the time that a job needs for its last one is known."""
STOP_SECONDS = "perf/stop_seconds"
"""How long a request to stop would have had to wait, at most so far: for a step, a part of a validation or of clips."""
_NOT_FINITE = "not_finite"
_PLAIN = {int, float, bool, str, type(None)}
_LATELY = 2**26
"""Bytes at the end of a file, some 250,000 steps, in which the newest rows are looked for, however long it is."""
_LOWEST, _WIDEST = {"val/bits", "val/bits_mulaw256"}, "val/gap/"
"""What is best of a number of validations: bits as few as possible, gaps between a right and a wrong condition wide."""


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


def _lines_and_rows(
    path: str | os.PathLike[str], mark: bytes = b""
) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Lines and what they hold. Of rows that do not have the mark only the ends are looked at: decoding takes long."""
    try:
        for number, line in enumerate(whole_lines(path), start=1):
            if mark in line or not (line.startswith(b"{") and line.endswith(b"}")):
                yield line, _decode(line, f"{path} line {number}")
    except OSError as error:
        raise _unreadable(path, error) from None


def newest_rows(path: str | os.PathLike[str], key: str, count: int) -> list[dict[str, Any]]:
    """The last rows that have a key, at most so many, in the order in which they were written.

    What this takes does not grow with the file: rows from long ago are not looked for. Where there is no file, none.

    Raises:
        UserError: one of them is damaged, or the file cannot be read.
    """
    return list(itertools.islice(_backwards(path, key), count))[::-1]


def _mark(key: str) -> bytes:
    """What stands in each line that has this key."""
    return json.dumps(key, ensure_ascii=False).encode()


def _backwards(path: str | os.PathLike[str], key: str) -> Iterator[dict[str, Any]]:
    """The rows that have a key, the newest first."""
    try:
        for line in lines_from_end(path, _mark(key), _LATELY):
            if key in (row := _decode(line, f"a row of {path}")):
                yield row
    except FileNotFoundError:
        return
    except (OSError, MemoryError) as error:
        raise _unreadable(path, error) from None


def _decode(line: bytes, label: str) -> dict[str, Any]:
    """One row, of plain numbers and texts.

    Raises:
        UserError: it is none; the label says where it stands.
    """
    try:
        row: dict[str, Any] = json.loads(line)
        if not isinstance(row, dict):
            raise TypeError("it is no object")
        if _NOT_FINITE in row:
            row.update({key: float(text) for key, text in row.pop(_NOT_FINITE).items()})
        if type(row.get("step")) not in (int, type(None)):
            raise ValueError(f"its step is {row['step']!r:.40} and no number of steps")
        for key, value in row.items():
            if type(value) not in _PLAIN and not (
                isinstance(value, list) and _PLAIN.issuperset(map(type, value))
            ):
                raise ValueError(f"{key!r:.40} is neither a number nor text")
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{label} is {line[:80]!r}, expected a row of JSON ({error}); remove the line"
        ) from None
    return row


def _unreadable(path: str | os.PathLike[str], error: BaseException) -> UserError:
    reason = getattr(error, "strerror", None) or "it is too large"
    return UserError(f"{path} cannot be read ({reason}), expected rows of JSON; move it away")


def is_there(path: str | os.PathLike[str]) -> bool:
    """Whether there is a file. One that cannot be looked at counts as one: reading it says why, and nothing is lost."""
    try:
        os.stat(path)
    except OSError as error:
        return not isinstance(error, (FileNotFoundError, NotADirectoryError))
    return True


def cut_back(path: str | os.PathLike[str], step: int) -> int:
    """Drop the rows after a step, in one stroke, so that a run resumed there logs no step twice.

    Call it on one rank, before the first row of the resumed run is written.

    Returns:
        How many rows went. Where there is no file, 0.
    """
    path = Path(path)
    dropped = sum((row.get("step") or 0) > step for row in each_row(path)) if is_there(path) else 0
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
    for row in each_row(path) if is_there(path) else ():
        step = row.get("step") or 0
        if "train/loss" in row and step > done:
            gaps += [range(done + 1, step)] if step > done + 1 else []
            done = step
    return gaps + ([range(done + 1, last + 1)] if done < last else [])


def logged_numbers(path: str | os.PathLike[str], key: str) -> dict[int, float]:
    """step -> a number such as val/bits where it was logged and is finite; empty where there is no file.

    Raises:
        UserError: such a row is damaged, or a line is none.
    """
    rows = (row for _, row in _lines_and_rows(path, _mark(key))) if is_there(path) else ()
    return {step: value for step, value in pick(rows, key, path) if math.isfinite(value)}


def best_numbers(rows: Iterable[Mapping[str, Any]], so_far: Mapping[str, float]) -> dict[str, float]:
    """Key -> the lowest val/bits, the widest val/gap of rows, where it is better than what was known.

    Args:
        rows: as they are logged or read; other keys, and numbers that are not finite, count for nothing.
        so_far: the best of earlier rows.
    """
    best = dict(so_far)
    for row in rows:
        for key in row.keys() & _LOWEST | {key for key in row if key.startswith(_WIDEST)}:
            value = float(row[key])
            if math.isfinite(value):
                choose = min if key in _LOWEST else max
                best[key] = choose(best.get(key, value), value)
    return {key: value for key, value in best.items() if so_far.get(key) != value}


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
