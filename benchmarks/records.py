"""What every benchmark has: its options, records that outlive a cut, a table of them, and how far it is."""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wavenet_pl.errors import UserError
from wavenet_pl.files.durable import write_durably


def build_parser(description: str) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    parser = argparse.ArgumentParser(description=description, allow_abbrev=False)
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="keep the records here; finished ones are not repeated"
    )
    parser.add_argument("--quick", action="store_true", help="a fraction of it, to see that it works")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="keep what the processes write here")
    return parser


def run(main: Callable[[argparse.Namespace], int], args: argparse.Namespace) -> None:
    """Exit as ``main`` says; 2 for a mistake and 130 for Ctrl-C, after which the same command goes on."""
    try:
        code = main(args)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        kept = getattr(args, "json", None)
        goes_on = f"; the same command goes on after what is in {kept}" if kept else ""
        print(f"\ninterrupted{goes_on}", file=sys.stderr)
        code = 130
    raise SystemExit(code)


@contextmanager
def workplace(folder: Path | None) -> Iterator[Path]:
    """The folder that was asked for, or one that is gone afterwards."""
    place = Path(tempfile.mkdtemp(prefix="wavenet-pl-")) if folder is None else folder
    place.mkdir(parents=True, exist_ok=True)
    try:
        yield place.resolve()
    finally:
        if folder is None:
            shutil.rmtree(place, ignore_errors=True)


class Records:
    """Flat records, one for each measured row; on disk as soon as they are there.

    Several processes may add to one file.

    Args:
        path: a JSON file with a list of them; None keeps them in memory.

    Raises:
        UserError: the file holds anything else.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = []
        self._read()

    def _read(self) -> None:
        if self.path is None or not self.path.exists():
            return
        try:
            rows = json.loads(self.path.read_text(encoding="utf-8"))
        except ValueError:
            rows = None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise UserError(
                f"{self.path} is no list of records, expected what --json wrote; name another file"
            )
        self.rows = rows

    def of(self, benchmark: str) -> list[dict[str, Any]]:
        """The records of one benchmark."""
        return [row for row in self.rows if row.get("benchmark") == benchmark]

    def measure(self, facts: Mapping[str, Any], measure: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        """The record that says all these facts: the one that is there, or what ``measure`` finds now."""
        row = next((row for row in self.rows if facts.items() <= row.items()), None)
        if row is None:
            began = time.monotonic()
            row = {**facts, **measure(), "seconds": round(time.monotonic() - began, 1)}
            with self._changing():
                self.rows.append(row)
        return row

    def drop(self, wrong: Callable[[Mapping[str, Any]], bool]) -> None:
        """Forget records, so that they are measured again."""
        with self._changing():
            self.rows = [row for row in self.rows if not wrong(row)]

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """The rows as they are on disk, which nobody else changes meanwhile; they are written afterwards."""
        if self.path is None:
            yield
            return
        self.path.absolute().parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(self.path.absolute().parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            self._read()
            yield
            write_durably(self.path, json.dumps(self.rows, indent=1) + "\n")
        finally:
            os.close(folder)


def lacking(record: Mapping[str, Any], promised: Mapping[str, Any]) -> list[str]:
    """What a record says otherwise than promised, a sentence each."""
    return [
        f"{name} is {record[name]}, expected {value}"
        for name, value in promised.items()
        if record[name] != value
    ]


def print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Records side by side, a line for each fact: there are more facts than records."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = [[name, *(_text(row.get(name, "")) for row in rows)] for name in names]
    widths = [max(len(line[column]) for line in table) for column in range(len(rows) + 1)]
    for line in table:
        cells = [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        print("  ".join([line[0].ljust(widths[0]), *cells]))


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


class Progress:
    """Says on stderr, at most once a second, how far a benchmark is and how long it may still take."""

    def __init__(self, what: str, total: int) -> None:
        self._what, self._total, self._done = what, total, 0
        self._began = self._said = time.monotonic()

    def step(self, text: str) -> None:
        """One of the total is done."""
        self._done += 1
        now = time.monotonic()
        if now - self._said >= 1 or self._done == self._total:
            self._said = now
            left = (now - self._began) / self._done * (self._total - self._done) / 60
            print(
                f"{self._what}: {self._done} of {self._total}, {left:.1f} min left, {text}", file=sys.stderr
            )
