"""The corpus `folder`: any tree of audio files, and the table metadata.csv that may lie beside them."""

from __future__ import annotations

import csv
import difflib
import os
import re
import stat
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from data_prep.sources import Source, printable
from wavenet_pl.data.format import AUDIO_EXTENSIONS
from wavenet_pl.data.index import SPLITS
from wavenet_pl.errors import UserError

METADATA = "metadata.csv"
COLUMNS = ("file", "speaker", "text", "tags", "midi", "split")


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Sources, and what was seen beside them."""

    sources: tuple[Source, ...]
    left_alone: Mapping[str, int] = field(default_factory=dict)
    """Files that are no audio that can be read: extension -> how many."""
    unlisted: int = 0
    """Audio files that metadata.csv does not name."""


def read_folder(
    folder: Path, tag_columns: Sequence[str] = (), fact_columns: Sequence[str] = (), leave: Path | None = None
) -> Corpus:
    """Every audio file below a folder, in no order of meaning.

    The speaker is the column of metadata.csv or, where that says nothing, the name of the folder that the file lies in;
    a file at the top has none.

    Args:
        folder: the corpus.
        tag_columns: columns of metadata.csv whose values are tags, beside `tags`.
        fact_columns: columns that go into the JSON of a recording as they are.
        leave: a folder that is not looked into: where the shards go.

    Raises:
        UserError: it cannot be read, holds no audio, or metadata.csv contradicts itself.
    """
    if not folder.is_dir():
        raise UserError(f"SRC {folder} is no folder, expected one with {_extensions()} files; check the path")
    sizes: dict[str, int | None] = {}
    paths: dict[str, str] = {}
    left_alone: dict[str, int] = {}
    for path, relative in _walk(folder, leave):
        kind = _kind(relative)
        if kind[1:] not in AUDIO_EXTENSIONS:
            if relative != METADATA:
                left_alone[kind] = left_alone.get(kind, 0) + 1
            continue
        name = printable(relative)
        sizes[name], paths[name] = _size(path), path
    table = folder / METADATA
    rows = _read_table(table, tag_columns, fact_columns) if table.exists() else {}
    if tag_columns and not table.exists():
        raise UserError(
            f"--tag-columns is set, expected {table}, and there is none; write it or drop the option"
        )
    named = _match(rows, sizes)
    if not sizes:
        seen = (
            f", only {', '.join(f'{n} {kind}' for kind, n in sorted(left_alone.items()))}"
            if left_alone
            else ""
        )
        raise UserError(f"SRC {folder} holds no {_extensions()} file{seen}; check the path")
    sources = [
        _source(name, named.get(name), sizes.get(name), paths.get(name, "")) for name in {**sizes, **named}
    ]
    return Corpus(
        sources=tuple(sources),
        left_alone=left_alone,
        unlisted=len(sizes.keys() - named.keys()) if rows else 0,
    )


def _extensions() -> str:
    return ", ".join(AUDIO_EXTENSIONS)


def _kind(relative: str) -> str:
    """The extension; nothing is read that is hidden, such as the ._ twins that a Mac writes."""
    if any(part.startswith(".") for part in relative.split("/")):
        return "hidden"
    return os.path.splitext(relative)[1].lower() or "without extension"


def _size(path: str) -> int | None:
    """Bytes; None for what is no file, such as a link into nowhere or a pipe, which would wait for ever."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _walk(folder: Path, leave: Path | None) -> Iterator[tuple[str, str]]:
    """(path, path below the folder); links are followed, each folder is entered once."""
    entered = {os.path.realpath(leave)} if leave else set()
    waiting = [os.fspath(folder)]
    while waiting:
        here = waiting.pop()
        real = os.path.realpath(here)
        if real in entered:
            continue
        entered.add(real)
        try:
            with os.scandir(here) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            raise UserError(
                f"folder {printable(here)} cannot be read ({error.strerror}); mend its rights"
            ) from None
        for entry in entries:
            if entry.is_dir():
                waiting.append(entry.path)
            else:
                yield entry.path, os.path.relpath(entry.path, folder).replace(os.sep, "/")


def _source(name: str, row: Row | None, size: int | None, path: str) -> Source:
    parent = name.split("/")[-2] if "/" in name else None
    row = row or Row(line=0)
    return Source(
        name=name,
        speaker=row.speaker or parent,
        text=row.text,
        tags=row.tags,
        midi=row.midi,
        split=row.split,
        facts=row.facts,
        size=size,
        path=path,
    )


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


def _read_table(path: Path, tag_columns: Sequence[str], fact_columns: Sequence[str]) -> dict[str, Row]:
    """File -> row."""
    rows: dict[str, Row] = {}
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
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


def _match(rows: Mapping[str, Row], files: Mapping[str, object]) -> dict[str, Row]:
    """The rows under the names that the files have on disk: an é may be one sign or two."""
    spelled = {unicodedata.normalize("NFC", name): name for name in files}
    named: dict[str, Row] = {}
    for name, row in rows.items():
        found = name if name in files else spelled.get(unicodedata.normalize("NFC", name), name)
        if found in named:
            raise UserError(
                f"{METADATA}, lines {named[found].line} and {row.line}, both name {found}; remove one"
            )
        named[found] = row
    return named
