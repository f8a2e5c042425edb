"""Global inputs: names from a table, for the whole of a recording.

Shapes: K rows of the table.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from wavenet_pl.errors import did_you_mean
from wavenet_pl.files.foreign import printable
from wavenet_pl.inputs.input import Array, Columns, Fields, Input
from wavenet_pl.shards.index import Index
from wavenet_pl.shards.split import Split

_SHOWN = 10  # names; a table of thousands fits no terminal
_MOST_NAMES = 200  # on a model card


@dataclass(frozen=True)
class Table(Input):
    """One name of a table for each recording. Its field is the name's row, -1 where there is none."""

    names: tuple[str, ...]
    """Row -> its name."""

    many: ClassVar[bool] = False
    """Whether a recording may have any number of the names."""

    @classmethod
    def missing(cls, name: str, index: Index) -> str:
        """How many recordings have no name, and how to name them; empty where all have one."""
        splits = [index.columns(split) for split in index.splits]
        without = [columns.without(name) for columns in splits]
        keys = [columns.key(rows[0]) for columns, rows in zip(splits, without, strict=True) if len(rows)]
        if not keys:
            return ""
        number = sum(columns.num_recordings for columns in splits)
        return (
            f"{sum(map(len, without))} of {number} recordings without {cls.called(name)}, such as {keys[0]}, "
            f"expected one for each, as model.condition.inputs has {name}; {cls.advice(name)}"
        )

    @classmethod
    def called(cls, name: str) -> str:
        """The input with its article, for a message."""
        return f"{'an' if name[:1] in 'aeiou' else 'a'} {name}"

    @classmethod
    def advice(cls, name: str) -> str:
        """What to do where recordings have no name."""
        raise NotImplementedError

    def read(self, split: Split, position: int, columns: Columns) -> Fields:
        """The row of the recording's name."""
        return {self.name: self._field(split[position].rows.get(self.name, ()))}

    def blank(self, columns: Columns) -> Fields:
        """The field of a crop without a name."""
        return {self.name: self._field(())}

    def wrong(
        self, split: Split, position: int, columns: Columns, own: Array, draws: Sequence[int]
    ) -> Array | None:
        """Another row of the table; None where there is only one."""
        row, number = int(own), len(self.names)
        if row < 0 or number < 2:
            return None
        return self._field(((row + 1 + draws[0] % (number - 1)) % number,))

    def resolve(self, value: Any, sample_rate: int) -> tuple[int, ...]:
        """The row of a name.

        Raises:
            ValueError: it is missing, or unknown; with the nearest.
        """
        return (self._row(self.name, value),)

    def fields(self, value: tuple[int, ...], columns: Columns) -> Fields:
        """The field of a clip, from the row that `resolve` looked up."""
        return {self.name: self._field(value)}

    def describe(self, batch: Mapping[str, Any], row: int) -> str:
        """The input and the name, such as ``speaker anna``."""
        return f"{self.name} {self.names[int(batch[self.name][row])]}"

    @property
    def example(self) -> str:
        """The first name of the table."""
        return self.names[0]

    def summary(self) -> str:
        """All names of the table, or the first two hundred."""
        more = f" and {len(self.names) - _MOST_NAMES} more" if len(self.names) > _MOST_NAMES else ""
        return ", ".join(map(printable, self.names[:_MOST_NAMES])) + more

    def _field(self, rows: Sequence[int]) -> Array:
        return np.int64(rows[0] if rows else -1)  # type: ignore[return-value]

    def _row(self, what: str, name: Any) -> int:
        if name in self.names:
            return self.names.index(name)
        more = f" and {len(self.names) - _SHOWN} more" if len(self.names) > _SHOWN else ""
        some = ", ".join(self.names[:_SHOWN]) + more
        if name is None:
            raise ValueError(f"{what} is missing, expected one of {some}")
        if not isinstance(name, str):
            raise ValueError(f"{what} is {name!r:.80}, expected a name, one of {some}")
        raise ValueError(f"{what} is {name!r:.80}, expected one of {some}{did_you_mean(name, self.names)}")


def names_of(text: str) -> tuple[str, ...]:
    """The type of options that are names with commas between."""
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise argparse.ArgumentTypeError(f"{text!r} has an empty name, expected names with commas between")
    return names
