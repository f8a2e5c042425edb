"""A short file of rows for what should not happen, which a full disk may keep from being written for a while."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from wavenet_pl.errors import UserError
from wavenet_pl.files.durable import write_durably
from wavenet_pl.tracking.rows import encode_row, is_there, read_metrics


class RowFile:
    """Adds rows to a file; those that the disk refuses go with the next ones.

    Args:
        path: the file, which need not be there.
        same: keys by which two rows are one, of which the first stays; none where each is one of its own.
    """

    def __init__(self, path: str | os.PathLike[str], same: tuple[str, ...] = ()) -> None:
        self.path = Path(path)
        self._same = same
        self._unwritten: list[Mapping[str, Any]] = []

    def add(self, rows: Iterable[Mapping[str, Any]]) -> str:
        """Writes rows durably. Returns why that failed, as nobody should stop for it; empty where it did not."""
        self._unwritten += rows
        try:
            there = read_metrics(self.path) if is_there(self.path) else []
            known = {self._name(row) for row in there}
            new = [row for row in self._unwritten if not self._same or self._name(row) not in known]
            write_durably(self.path, b"".join(map(encode_row, [*there, *new])))
        except (OSError, UserError) as error:
            return str(getattr(error, "strerror", None) or error)
        self._unwritten = []
        return ""

    def _name(self, row: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(row.get(key) for key in self._same)
