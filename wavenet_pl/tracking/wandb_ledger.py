"""The ledger of a W&B run: what each start handed over, written before W&B gets it, and what of it W&B has.

W&B's own files cannot say that: a kill costs seconds of rows of a local log and of an upload, a server may have rows
that the log lacks, and logs that were sent may be deleted. But W&B numbers the rows of a run, anew in each offline
folder and in one sequence over all starts on a server, which says at each start how many it has.
"""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from wavenet_pl.errors import UserError
from wavenet_pl.files.line_file import LineFile
from wavenet_pl.tracking.rows import encode_row, is_there, read_metrics
from wavenet_pl.tracking.wandb_log import first_row_on_server, mark_as_sent, mend_log, rows_in_log

_log = logging.getLogger(__name__)

NAME = "wandb_rows.jsonl"


class Row(NamedTuple):
    """One row that was handed to W&B."""

    number: int
    """Counts from 0 in each start."""
    step: int | None
    keys: tuple[str, ...]


@dataclass
class Start:
    """One start of a run, as far as tracking goes."""

    folder: Path
    """Its own in RUN/wandb."""
    offline: bool
    first_row: int | None
    """How many rows the server had before its first one; None while an offline start was not sent."""
    rows: list[Row] = field(default_factory=list)
    held: float = math.inf
    """How many rows the folder of an offline start holds; all where that cannot be known."""

    @property
    def num_rows(self) -> float:
        """How many rows it has at most on a server."""
        return min(self.held, self.rows[-1].number + 1 if self.rows else 0)


class Ledger:
    """RUN/wandb_rows.jsonl: a line for each start, and one for each row before it is handed over.

    Args:
        run_dir: the run's folder.
    """

    def __init__(self, run_dir: Path) -> None:
        self._file = LineFile(run_dir / NAME)
        self._folders = run_dir / "wandb"
        self._number = 0
        self._logged: dict[int, tuple[str, ...]] = {}

    @property
    def exists(self) -> bool:
        """Whether the run was ever begun."""
        return is_there(self._file.path)

    def read(self) -> list[Start]:
        """All starts so far, with what their folders say.

        Raises:
            UserError: a line is damaged.
        """
        starts: list[Start] = []
        for line in read_metrics(self._file.path) if self.exists else []:
            try:
                self._read_line(line, starts)
            except (KeyError, TypeError, IndexError):
                raise UserError(
                    f"{self._file.path} has the row {line!s:.80}, expected one that `wavenet-pl train` wrote; remove "
                    "the file, and W&B may get some rows twice"
                ) from None
        for start in starts:
            if start.offline and start.folder.is_dir():  # `wandb clean` deletes what was sent
                start.first_row, start.held = first_row_on_server(start.folder), _rows_held(start.folder)
        return starts

    def _read_line(self, line: dict[str, Any], starts: list[Start]) -> None:
        if "start" in line:
            if type(line["place"]) not in (int, type(None)):
                raise TypeError("it is no number of rows")
            folder = self._folders / Path(line["start"]).name
            starts.append(Start(folder, line["place"] is None, line["place"]))
        else:
            rows, keys = starts[-1].rows, tuple(map(sys.intern, line["keys"]))
            del rows[line["row"] :]  # one that W&B refused, so that another got its number
            rows.append(Row(line["row"], line["step"], keys))

    def begin(self, earlier: Sequence[Start], folder: Path, on_server: int | None) -> None:
        """A new start, which sends what earlier ones did not; `wandb sync` is not to do so any more.

        Args:
            earlier: all starts before, from `read`.
            folder: its own in RUN/wandb.
            on_server: how many rows the server has; None where this start is offline.
        """
        self._number, self._logged = 0, {}
        ends = rows_delivered(earlier, on_server)
        for start, end in zip(earlier, ends, strict=True):
            for row in start.rows:
                if row.number < end:
                    self._remember(row.step, row.keys)
        self._file.append(encode_row({"start": folder.name, "place": on_server}))
        for start, end in zip(earlier, ends, strict=True):
            if start.offline and start.held < math.inf:
                mend_log(start.folder)
                if end == 0:
                    mark_as_sent(start.folder)

    def logged(self, step: int | None) -> tuple[str, ...]:
        """The keys that W&B has of a step."""
        return () if step is None else self._logged.get(step, ())

    def note(self, step: int | None, keys: Iterable[str]) -> None:
        """A row is about to be handed over."""
        self._file.append(encode_row({"row": self._number, "step": step, "keys": list(keys)}))

    def took(self, step: int | None, keys: Iterable[str]) -> None:
        """W&B took the row."""
        self._number += 1
        self._remember(step, keys)

    def num_lost(self, folder: Path) -> int:
        """How many rows of this start its offline folder lacks."""
        return int(max(0, self._number - _rows_held(folder)))

    def _remember(self, step: int | None, keys: Iterable[str]) -> None:
        if step is not None:
            self._logged[step] = (*self.logged(step), *keys)


def rows_delivered(starts: Sequence[Start], on_server: int | None) -> list[float]:
    """How many rows of each start were delivered, counted from its first; in doubt, they were.

    Where this start is offline, those in the folders of offline starts count: `wandb sync` sends all folders of a run.
    An online start knows what the server has, and sends the rest itself.

    Args:
        starts: all earlier ones, in order.
        on_server: how many rows of the run the server has; None where this start is offline.
    """
    if on_server is None:
        return [start.held for start in starts]
    explained = _explains(starts, on_server)
    counts: list[float] = []
    for position, start in enumerate(starts):
        if start.offline:
            unsent = explained and start.first_row is None and start.held < math.inf
            counts.append(0 if unsent else start.held)
        else:  # its rows on the server reach to where others went on
            assert start.first_row is not None
            others = [other.first_row for other in starts[position + 1 :] if other.first_row is not None]
            counts.append(min([on_server, *others]) - start.first_row)
    return counts


def _explains(starts: Sequence[Start], on_server: int) -> bool:
    """Whether the server can have all its rows from here; else another machine may have sent any of the folders."""
    reached: float = 0
    sent = [(start.first_row, start.num_rows) for start in starts if start.first_row is not None]
    for first_row, count in sorted(sent):
        if first_row > reached:
            return False
        reached = max(reached, first_row + count)
    return reached >= on_server


def _rows_held(folder: Path) -> float:
    try:
        return rows_in_log(folder)
    except ValueError as error:
        _log.warning(
            f"W&B's log in {folder} cannot be read ({error}), expected one of the installed wandb; "
            "what was to go there counts as sent"
        )
        return math.inf
