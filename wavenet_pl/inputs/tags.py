"""Which tags apply: any number of names for each recording, none of them included (WaveNet, section 3.3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from wavenet_pl.inputs.input import Array, Columns
from wavenet_pl.inputs.table import Table
from wavenet_pl.shards.index import Index
from wavenet_pl.shards.split import Split


@dataclass(frozen=True)
class Tags(Table):
    """Genres, moods, instruments. Its field is (K,), 1 where a tag applies."""

    name = "tags"
    metavar = "A,B"
    help = "tags of the music, for a model conditioned on them"
    many = True

    @classmethod
    def missing(cls, name: str, index: Index) -> str:
        """A set without any tags. A recording without one is conditioned on none of them."""
        if index.labels.tables.get(name):
            return ""
        return (
            f"no {name}, expected some, as model.condition.inputs has {name}; prepare it again with a column {name} in "
            "metadata.csv, or with --tag-columns"
        )

    def wrong(
        self, split: Split, position: int, columns: Columns, own: Array, draws: Sequence[int]
    ) -> Array | None:
        """Another set of tags that some recording has."""
        sets = split.row_sets(self.name)
        if len(sets) < 2:
            return None
        number = sets.index(split[position].rows.get(self.name, ())) + 1 + draws[0] % (len(sets) - 1)
        return self._field(sets[number % len(sets)])

    def resolve(self, value: Any, sample_rate: int) -> tuple[int, ...]:
        """The rows of names: several, or one text with commas between; none of them is a value too.

        Raises:
            ValueError: one is unknown; with the nearest.
        """
        names = value.split(",") if isinstance(value, str) else () if value is None else value
        if not isinstance(names, Iterable):
            raise ValueError(
                f"{self.name} is {value!r:.80}, expected names, some of {', '.join(self.names[:10])}"
            )
        return tuple(
            self._row("tag", name.strip() if isinstance(name, str) else name) for name in names if name
        )

    def describe(self, batch: Mapping[str, Any], row: int) -> str:
        """All names that apply, such as ``tags calm, piano``."""
        named = [
            name for name, applies in zip(self.names, batch[self.name][row].tolist(), strict=True) if applies
        ]
        return f"{self.name} {', '.join(named) or 'none'}"

    def _field(self, rows: Sequence[int]) -> Array:
        applies_K = np.zeros(len(self.names), dtype=np.float32)
        applies_K[list(rows)] = 1
        return applies_K
