"""Columns: what a corpus may say of its recordings, and under which names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from data_prep.layout import SPLIT_WORDS, split_of
from wavenet_pl.errors import UserError, did_you_mean

MEANINGS: dict[str, tuple[str, ...]] = {
    "file": (
        "path",
        "filename",
        "file_name",
        "filepath",
        "audio",
        "audio_file",
        "audio_filename",
        "audio_path",
    ),
    "speaker": ("speaker_id", "client_id"),
    "text": ("sentence", "transcript", "transcription"),
    "tags": (),
    "midi": ("midi_file", "midi_filename", "midi_path"),
    "split": (),
}
"""What a column may say of a recording -> other names that are known to mean it."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """What a corpus says of one recording, empty cells left out."""

    source: str = ""
    """Table and line, for messages."""
    table: str = ""
    """Name of the table, for reports."""
    file: str = ""
    """As the table spells it."""
    folder: str = ""
    """Below the corpus, of the table."""
    speaker: str | None = None
    text: str | None = None
    tags: tuple[str, ...] = ()
    midi: str | None = None
    split: str | None = None
    tables: dict[str, str] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    problem: str = ""
    """Why the recording cannot be read, where that is known."""
    group: str = ""
    """See `Source.group`."""


NOTHING_SAID = Row()
"""Of a recording that no table names."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is looked for in tables."""

    tag_columns: Sequence[str] = ()
    """Columns whose values are tags, beside `tags`."""
    tables: Sequence[str] = ()
    """Columns whose values are names of a table of their own."""
    fact_columns: Sequence[str] = ()
    """Columns that are kept as they are."""
    renames: Mapping[str, tuple[str, str | None]] = field(default_factory=dict)
    """Meaning -> (option that says so, column); no column where something else than a table says it."""
    header: tuple[str | None, tuple[str, ...]] = (None, ())
    """See `Layout.header`."""

    @property
    def asked(self) -> list[tuple[str, str]]:
        """(option, column) for each column that has to be there."""
        columns = [("--tag-columns", name) for name in self.tag_columns]
        columns += [("--tables", name) for name in self.tables]
        return columns + [(option, name) for option, name in self.renames.values() if name is not None]


NOTHING = Wanted()
"""No columns beside those that mean something by themselves."""


class Columns:
    """What the columns of a table mean.

    Args:
        names: of all columns.
        wanted: what is looked for.
    """

    def __init__(self, names: Iterable[str], wanted: Wanted) -> None:
        self._wanted = wanted
        self.names = list(names)
        taken = {*wanted.tag_columns, *wanted.tables, *wanted.fact_columns}
        by_word = {name.casefold(): name for name in reversed(self.names) if name not in taken}
        self.meant: dict[str, str] = {}
        """Meaning -> column."""
        for meaning, others in MEANINGS.items():
            column = next((by_word[word] for word in (meaning, *others) if word in by_word), None)
            if meaning in wanted.renames:
                column = next((name for name in self.names if name == wanted.renames[meaning][1]), None)
            if column is not None:
                self.meant[meaning] = column
        self.free = [name for name in self.names if name not in self.meant.values()]
        """Those that mean nothing by themselves."""
        self.unused = [name for name in self.free if name not in taken]

    def row(self, cells: Mapping[str, str | None], source: str, table: str, file: str = "") -> Row:
        """The row that cells make.

        Args:
            cells: by column.
            source: table and line, for messages.
            table: its path below the corpus.
            file: that it is about, where no column says so.

        Raises:
            UserError: a path leads out of the corpus, or the split is none.
        """

        def value(column: str | None) -> str | None:
            return ((cells.get(column) if column else None) or "").strip() or None

        meant, wanted = self.meant, self._wanted
        midi, split = value(meant.get("midi")), value(meant.get("split"))
        tags = [value(column) or "" for column in (meant.get("tags"), *wanted.tag_columns)]
        return Row(
            source=source,
            table=os.path.basename(table),
            folder=os.path.dirname(table),
            file=_inside(value(meant["file"]) or "", "file", source) if "file" in meant else file,
            speaker=value(meant.get("speaker")),
            text=value(meant.get("text")),
            tags=tuple(
                sorted({tag.strip() for some in tags for tag in re.split(r"[;,]", some) if tag.strip()})
            ),
            midi=_inside(midi, "midi", source) if midi else None,
            split=known_split(split, source) if split else None,
            tables={column: name for column in wanted.tables if (name := value(column))},
            facts={column: fact for column in wanted.fact_columns if (fact := value(column))},
        )


def check_asked(tables: Sequence[Columns], wanted: Wanted, what: str) -> None:
    """Refuse columns that were asked for and are not there.

    Args:
        tables: the columns of all tables.
        wanted: what was asked for.
        what: what the tables are, for the message.

    Raises:
        UserError: names the option, and the columns that there are.
    """
    free = sorted({name for each in tables for name in each.free})
    names = {name for each in tables for name in each.names}
    for option, column in wanted.asked:
        renamed = any(column == other for _, other in wanted.renames.values())
        if column not in (names if renamed else free):
            raise UserError(
                f"{option} names {column}, expected columns of {what}: {', '.join(free) or 'none'}"
                f"{did_you_mean(column, free)}"
            )


def describe_columns(tables: Iterable[Columns]) -> list[str]:
    """Which columns were taken for something by a name of their own, and which for nothing, once over all tables."""
    tables = list(tables)
    taken = {(meaning, name) for each in tables for meaning, name in each.meant.items() if meaning != name}
    unused = dict.fromkeys(name for each in tables for name in each.unused)
    notes = [f"columns taken: {', '.join(f'{meaning} from {name}' for meaning, name in sorted(taken))}"]
    notes = notes if taken else []
    return notes + ([f"columns not used: {', '.join(unused)}"] if unused else [])


def known_split(text: str, source: str) -> str:
    """The split that a word means.

    Raises:
        UserError: it means none, so that nobody knows whether it may be trained on.
    """
    split = split_of(text)
    if split is None:
        words = "; ".join(f"{name}: {', '.join(known)}" for name, known in SPLIT_WORDS.items())
        raise UserError(
            f"{source} has split {text!r}, expected a word for one of them ({words}); correct it, or let chance decide "
            "with --split-from none"
        )
    return split


def _inside(text: str, column: str, source: str) -> str:
    text = text.replace("\\", "/")
    path = PurePosixPath(text)
    if not text or path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", text) or "\0" in text:
        raise UserError(f"{source} has {column} {text!r}, expected a path below SRC, without `..`; mend it")
    return path.as_posix()
