"""Any column of metadata.csv, brought by the user: one name for each recording, such as its accent or emotion."""

from __future__ import annotations

from dataclasses import dataclass

from wavenet_pl.inputs.table import Table


@dataclass(frozen=True)
class Column(Table):
    """A table of names that the user brings, from a column of metadata.csv."""

    name: str

    @classmethod
    def advice(cls, name: str) -> str:
        """To fill the column, and to name it to `prepare`."""
        return f"fill the column {name} in metadata.csv, and prepare again with --tables {name}"
