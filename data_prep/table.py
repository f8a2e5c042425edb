"""Tables: what a corpus says of its files, in metadata.csv or as it is laid out."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TextIO

from data_prep.columns import MEANINGS, Columns, Row, Wanted
from data_prep.layout import DELIMITERS
from wavenet_pl.errors import UserError
from wavenet_pl.files.foreign import open_file

METADATA = "metadata.csv"
_LONGEST_LINE = 2**20


@dataclass(frozen=True)
class Table:
    """One table that was read."""

    columns: Columns
    rows: tuple[Row, ...]


def read_table(path: str, name: str, wanted: Wanted, ending: str = "") -> Table:
    """The rows of a table.

    What stands between cells follows from the first line, which names the columns: the sign that gives a column with
    the files. Quotes around cells mean something beside commas and semicolons.

    Args:
        path: of the table.
        name: below the corpus.
        wanted: what is looked for.
        ending: of its name, where the table is called like the recording that it is about; empty for the extension.

    Raises:
        UserError: it is no table, or contradicts itself; with the line.
    """
    delimiter, names = wanted.header
    try:
        with io.TextIOWrapper(open_file(path), encoding="utf-8-sig", newline="") as file:
            lines = _lines(file)
            if not names:
                delimiter, names = _read_header(next(lines, ""), path, wanted)
            columns = Columns(names, wanted)
            if "file" not in columns.meant:
                recording = os.path.basename(name)
                recording = recording.removesuffix(ending) if ending else os.path.splitext(recording)[0]
                cells = {names[0]: " ".join(line.strip() for line in lines)}
                return Table(columns, (columns.row(cells, path, name, recording),))
            rows = []
            before = 0 if wanted.header[1] else 1
            for number, values in _cells(lines, delimiter, len(names)):
                source = f"{path}, line {number + before},"
                if len(values) > len(names):
                    raise UserError(
                        f"{source} has more cells than the first line has columns; put quotes around cells with commas"
                        if delimiter in (",", ";")
                        else f"{source} has {len(values)} cells, expected {', '.join(names)}; name all with --columns"
                    )
                rows.append(columns.row(dict(zip(names, values, strict=False)), source, name))
            return Table(columns, tuple(rows))
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is no UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8"
        ) from None
    except csv.Error as error:
        raise UserError(f"{path} is no table of comma-separated values ({error}); mend it") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); mend its rights") from None


def _lines(file: TextIO) -> Iterator[str]:
    """The lines of a table; one without end would be read into memory as a whole."""
    while line := file.readline(_LONGEST_LINE):
        if len(line) == _LONGEST_LINE:
            raise csv.Error(f"a line of more than {_LONGEST_LINE} characters")
        yield line


def _cells(lines: Iterable[str], delimiter: str | None, columns: int) -> Iterator[tuple[int, list[str]]]:
    """(number of its last line, cells) of each row that has any."""
    if delimiter in (None, " "):
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield number, line.split(None, columns - 1)
        return
    reader = csv.reader(
        lines,
        delimiter=delimiter or ",",
        quoting=csv.QUOTE_MINIMAL if delimiter in (",", ";") else csv.QUOTE_NONE,
        strict=True,
    )
    for cells in reader:
        if cells:
            yield reader.line_num, cells


def _read_header(line: str, path: str, wanted: Wanted) -> tuple[str, tuple[str, ...]]:
    """What stands between cells, and the names of the columns."""
    readings = {delimiter: _names(line, delimiter) for delimiter in DELIMITERS[:-1]}
    fitting = [d for d, names in readings.items() if "file" in Columns(names, wanted).meant]
    rarest_first = sorted(readings, key=("\t", "|", ";", ",").index)  # texts have commas, too
    delimiter = (fitting or [each for each in rarest_first if len(readings[each]) > 1] or [","])[0]
    names = readings[delimiter]
    if not fitting:
        first_columns = ", ".join(names[:8]) or "nothing"
        hint = (
            "it looks like LJSpeech's, which has no such line: say "
            f"`prepare --columns '{'|'.join(['file', 'original', 'text'][: len(names)])}'`"
            if delimiter == "|" and len(names) in (2, 3)
            else "where it calls them otherwise, say `prepare --columns file=COLUMN`, and where it has no such line, "
            "`prepare --columns file,speaker,text`, as they stand there"
        )
        raise UserError(
            f"the first line of {path} has the columns {first_columns}, expected `file` and, if you like, "
            f"{', '.join(list(MEANINGS)[1:])}; {hint}"
        )
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise UserError(
            f"the first line of {path} names the column {min(twice)} twice, expected each once; mend it"
        )
    return delimiter, names


def _names(line: str, delimiter: str) -> tuple[str, ...]:
    return tuple(name.strip() for _, cells in _cells([line], delimiter, 1) for name in cells)
