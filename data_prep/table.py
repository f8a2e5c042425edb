"""metadata.csv: what a corpus says of its files."""

from __future__ import annotations

import csv
import difflib
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TextIO

from wavenet_pl.errors import UserError
from wavenet_pl.files.foreign import open_file
from wavenet_pl.shards.index import SPLITS

METADATA = "metadata.csv"
COLUMNS = ("file", "speaker", "text", "tags", "midi", "split")
_LONGEST_LINE = 2**20


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of metadata.csv."""

    line: int
    speaker: str | None = None
    text: str | None = None
    tags: tuple[str, ...] = ()
    midi: str | None = None
    split: str | None = None
    facts: dict[str, str] = field(default_factory=dict)


def read_table(path: Path, tag_columns: Sequence[str], fact_columns: Sequence[str]) -> dict[str, Row]:
    """The rows by the file that each is about.

    Args:
        path: the table.
        tag_columns: columns whose values are tags, beside `tags`.
        fact_columns: columns that are kept as they are.

    Raises:
        UserError: it is no table, or contradicts itself; with the line.
    """
    rows: dict[str, Row] = {}
    try:
        with io.TextIOWrapper(open_file(path), encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(_lines(file), strict=True)
            columns = list(reader.fieldnames or ())
            _check_columns(path, columns, tag_columns)
            for cells in reader:
                where = f"{path}, line {reader.line_num},"
                name = _file_name(cells, where)
                if name in rows:
                    raise UserError(
                        f"{where} names {name} again, expected each file once; line {rows[name].line} has it"
                    )
                rows[name] = _row(cells, reader.line_num, where, tag_columns, fact_columns)
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


def _check_columns(path: Path, columns: list[str], tag_columns: Sequence[str]) -> None:
    if "file" not in columns:
        found = ", ".join(columns[:8]) or "nothing"
        raise UserError(
            f"the first line of {path} has the columns {found}, expected `file` and, if you like, "
            f"{', '.join(COLUMNS[1:])}, with commas between"
        )
    twice = {column for column in columns if columns.count(column) > 1}
    if twice:
        raise UserError(
            f"the first line of {path} names the column {min(twice)} twice, expected each once; mend it"
        )
    for column in tag_columns:
        if column not in columns or column in COLUMNS:
            free = [name for name in columns if name not in COLUMNS]
            near = difflib.get_close_matches(column, free, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise UserError(
                f"--tag-columns names {column}, expected columns of {path}: {', '.join(free) or 'none'}{hint}"
            )


def _file_name(cells: dict[str, str], where: str) -> str:
    if None in cells:  # where DictReader puts what stands beyond the last column
        raise UserError(
            f"{where} has more cells than the first line has columns; put quotes around cells with commas"
        )
    text = (cells["file"] or "").strip().replace("\\", "/")
    return _inside(text, "file", where)


def _inside(text: str, column: str, where: str) -> str:
    path = PurePosixPath(text)
    if not text or path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", text) or "\0" in text:
        raise UserError(f"{where} has {column} {text!r}, expected a path below SRC, without `..`; mend it")
    return path.as_posix()


def _row(
    cells: dict[str, str], line: int, where: str, tag_columns: Sequence[str], fact_columns: Sequence[str]
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
        midi=_inside(midi.replace("\\", "/"), "midi", where) if midi else None,
        split=split if split in SPLITS else None,
        facts={column: value for column in fact_columns if (value := cell(column))},
    )
