"""metadata.csv: what a corpus says of its files."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TextIO

from wavenet_pl.errors import UserError, did_you_mean
from wavenet_pl.files.foreign import open_file
from wavenet_pl.shards.index import SPLITS

METADATA = "metadata.csv"
COLUMNS = ("file", "speaker", "text", "tags", "midi", "split")
_LONGEST_LINE = 2**20


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of metadata.csv, cells that are empty left out."""

    line: int
    speaker: str | None = None
    text: str | None = None
    tags: tuple[str, ...] = ()
    midi: str | None = None
    split: str | None = None
    tables: dict[str, str] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)


def read_table(
    path: Path, tag_columns: Sequence[str], fact_columns: Sequence[str], tables: Sequence[str] = ()
) -> dict[str, Row]:
    """The rows by the file that each is about.

    Args:
        path: the table.
        tag_columns: columns whose values are tags, beside `tags`.
        fact_columns: columns that are kept as they are.
        tables: columns whose values are names of a table of their own.

    Raises:
        UserError: it is no table, or contradicts itself; with the line.
    """
    rows: dict[str, Row] = {}
    try:
        with io.TextIOWrapper(open_file(path), encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(_lines(file), strict=True)
            columns = list(reader.fieldnames or ())
            _check_columns(path, columns, {"--tag-columns": tag_columns, "--tables": tables})
            for cells in reader:
                location = f"{path}, line {reader.line_num},"
                name = _file_name(cells, location)
                if name in rows:
                    raise UserError(
                        f"{location} names {name} again, expected each file once; line {rows[name].line} has it"
                    )
                rows[name] = _row(cells, reader.line_num, location, tag_columns, fact_columns, tables)
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is no UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8"
        ) from None
    except csv.Error as error:
        raise UserError(f"{path} is no table of comma-separated values ({error}); mend it") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); mend its rights") from None
    return rows


def _lines(file: TextIO) -> Iterator[str]:
    """The lines of a table; one without end would be read into memory as a whole."""
    while line := file.readline(_LONGEST_LINE):
        if len(line) == _LONGEST_LINE:
            raise csv.Error(f"a line of more than {_LONGEST_LINE} characters")
        yield line


def _check_columns(path: Path, columns: list[str], asked: Mapping[str, Sequence[str]]) -> None:
    if "file" not in columns:
        first_columns = ", ".join(columns[:8]) or "nothing"
        raise UserError(
            f"the first line of {path} has the columns {first_columns}, expected `file` and, if you like, "
            f"{', '.join(COLUMNS[1:])}, with commas between"
        )
    twice = {column for column in columns if columns.count(column) > 1}
    if twice:
        raise UserError(
            f"the first line of {path} names the column {min(twice)} twice, expected each once; mend it"
        )
    free = [name for name in columns if name not in COLUMNS]
    for option, names in asked.items():
        for column in names:
            if column not in free:
                raise UserError(
                    f"{option} names {column}, expected columns of {path}: {', '.join(free) or 'none'}"
                    f"{did_you_mean(column, free)}"
                )


def _file_name(cells: dict[str, str], location: str) -> str:
    if None in cells:  # where DictReader puts what stands beyond the last column
        raise UserError(
            f"{location} has more cells than the first line has columns; put quotes around cells with commas"
        )
    text = (cells["file"] or "").strip().replace("\\", "/")
    return _inside(text, "file", location)


def _inside(text: str, column: str, location: str) -> str:
    path = PurePosixPath(text)
    if not text or path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", text) or "\0" in text:
        raise UserError(f"{location} has {column} {text!r}, expected a path below SRC, without `..`; mend it")
    return path.as_posix()


def _row(
    cells: dict[str, str],
    line: int,
    location: str,
    tag_columns: Sequence[str],
    fact_columns: Sequence[str],
    tables: Sequence[str],
) -> Row:
    def cell(column: str) -> str | None:
        return (cells.get(column) or "").strip() or None

    tags = {
        tag.strip()
        for column in ("tags", *tag_columns)
        for tag in re.split(r"[;,]", cell(column) or "")
        if tag.strip()
    }
    midi = cell("midi")
    split = cell("split")
    return Row(
        line=line,
        speaker=cell("speaker"),
        text=cell("text"),
        tags=tuple(sorted(tags)),
        midi=_inside(midi.replace("\\", "/"), "midi", location) if midi else None,
        split=split if split in SPLITS else None,
        tables={column: value for column in tables if (value := cell(column))},
        facts={column: value for column in fact_columns if (value := cell(column))},
    )
