"""The corpus `folder`: any tree of audio files, and the table metadata.csv that may lie beside them."""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from data_prep.sources import File, Source, printable
from data_prep.table import METADATA, Row, read_table
from wavenet_pl.errors import UserError
from wavenet_pl.shards.format import AUDIO_EXTENSIONS


@dataclass(frozen=True, kw_only=True)
class FileRule:
    """How the file beside a recording that frames are made from is looked for."""

    suffixes: tuple[str, ...]
    """What follows the recording's name, without its own extension."""
    column: str = ""
    """Column of metadata.csv that may name it."""


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Sources, and what was seen beside them."""

    sources: tuple[Source, ...]
    left_alone: Mapping[str, int] = field(default_factory=dict)
    """Files that are no audio that can be read: extension -> how many."""
    unlisted: int = 0
    """Audio files that metadata.csv does not name."""
    read_from: Mapping[str, int] = field(default_factory=dict)
    """Folders and tables that all this was read from, as paths below the corpus -> when each was changed last, in ns.
    Other files are here only by their sizes."""


def read_folder(
    folder: Path,
    tag_columns: Sequence[str] = (),
    fact_columns: Sequence[str] = (),
    leave: Path | None = None,
    frames: Mapping[str, FileRule] | None = None,
    tables: Sequence[str] = (),
    option: str = "SRC",
) -> Corpus:
    """Every audio file below a folder, in no order of meaning.

    The speaker is the column of metadata.csv or, where that says nothing, the name of the folder that the file lies in;
    a file at the top has none.

    Args:
        folder: the corpus.
        tag_columns: columns of metadata.csv whose values are tags, beside `tags`.
        fact_columns: columns that go into the JSON of a recording as they are.
        leave: a folder that is not looked into: where the shards go.
        frames: what is made of a file beside each recording: metadata.csv names it, or it is called like the recording.
        tables: columns whose values are names of a table of their own.
        option: what the user calls the folder.

    Raises:
        UserError: it cannot be read, holds no audio, or metadata.csv contradicts itself.
    """
    if not folder.is_dir():
        raise UserError(
            f"{option} {folder} is no folder, expected one with {_extensions()} files; check the path"
        )
    sizes: dict[str, int | None] = {}
    paths: dict[str, str] = {}
    frames = frames or {}
    beside: dict[str, dict[str, str]] = {name: {} for name in frames}
    left_alone: dict[str, int] = {}
    read_from: dict[str, int] = {}
    for path, relative in _walk(folder, leave, read_from):
        kind = _kind(relative)
        wanted = [name for name, rule in frames.items() if relative.lower().endswith(rule.suffixes)]
        wanted = [] if kind == "hidden" else wanted
        for name in wanted:
            beside[name][_spelled(printable(relative))] = path
        if wanted:
            continue
        if kind[1:] not in AUDIO_EXTENSIONS:
            if relative != METADATA:
                left_alone[kind] = left_alone.get(kind, 0) + 1
            continue
        name = printable(relative)
        sizes[name], paths[name] = size_of(path), path
    table = folder / METADATA
    read_from[METADATA] = modified(table)
    rows = read_table(table, tag_columns, fact_columns, tables) if table.exists() else {}
    asked = "--tag-columns" if tag_columns else "--tables" if tables else ""
    if asked and not table.exists():
        raise UserError(f"{asked} is set, expected {table}, and there is none; write it or drop the option")
    named = _match(rows, sizes)
    if not sizes:
        seen = (
            f", only {', '.join(f'{n} {kind}' for kind, n in sorted(left_alone.items()))}"
            if left_alone
            else ""
        )
        raise UserError(f"{option} {folder} holds no {_extensions()} file{seen}; check the path")
    sources = [
        _source(name, named.get(name), sizes.get(name), paths.get(name, "")) for name in {**sizes, **named}
    ]
    for name, rule in frames.items():
        alike = _by_stem(beside[name], rule)
        sources = [_with_file(source, name, rule, beside[name], alike) for source in sources]
    return Corpus(
        sources=tuple(sources),
        left_alone=left_alone,
        unlisted=len(sizes.keys() - named.keys()) if rows else 0,
        read_from=read_from,
    )


def _extensions() -> str:
    return ", ".join(AUDIO_EXTENSIONS)


def _kind(relative: str) -> str:
    """The extension; nothing is read that is hidden, such as the ._ twins that a Mac writes."""
    if any(part.startswith(".") for part in relative.split("/")):
        return "hidden"
    return os.path.splitext(relative)[1].lower() or "without extension"


def modified(path: str | os.PathLike[str]) -> int:
    """When a file or folder was changed last, in ns; 0 where there is none."""
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


def size_of(path: str) -> int | None:
    """Bytes; None for what is no file, such as a link into nowhere or a pipe, which would wait for ever."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _walk(folder: Path, leave: Path | None, read_from: dict[str, int]) -> Iterator[tuple[str, str]]:
    """(path, path below the folder); links are followed, each folder is entered once, and noted with its time."""
    top = len(os.path.join(folder, ""))
    entered = {os.path.realpath(leave)} if leave else set()
    waiting = [os.fspath(folder)]
    while waiting:
        current = waiting.pop()
        real = os.path.realpath(current)
        if real in entered:
            continue
        entered.add(real)
        read_from[current[top:]] = modified(current)
        try:
            with os.scandir(current) as scanned:
                entries = sorted(scanned, key=lambda entry: entry.name)
        except OSError as error:
            raise UserError(
                f"folder {printable(current)} cannot be read ({error.strerror}); mend its rights"
            ) from None
        for entry in entries:
            if entry.is_dir():
                waiting.append(entry.path)
            else:
                yield entry.path, entry.path[top:].replace(os.sep, "/")


def _source(name: str, row: Row | None, size: int | None, path: str) -> Source:
    parent = name.split("/")[-2] if "/" in name else None
    row = row or Row(line=0)
    return Source(
        name=name,
        speaker=row.speaker or parent,
        text=row.text,
        tags=row.tags,
        midi=row.midi,
        tables=row.tables,
        split=row.split,
        facts=row.facts,
        size=size,
        path=path,
    )


def _by_stem(beside: Mapping[str, str], rule: FileRule) -> dict[str, str]:
    """Name of a recording, without its extension -> the file that is called like it."""
    names: dict[str, str] = {}
    for name in sorted(beside):
        suffix = next(suffix for suffix in rule.suffixes if name.lower().endswith(suffix))
        names.setdefault(name[: -len(suffix)], name)
    return names


def _with_file(
    source: Source, frames: str, rule: FileRule, beside: Mapping[str, str], alike: Mapping[str, str]
) -> Source:
    named = getattr(source, rule.column) if rule.column else None
    name = _spelled(named) if named else alike.get(os.path.splitext(_spelled(source.name))[0])
    if name is None or name not in beside:
        return source
    file = File(name=name, size=size_of(beside[name]), path=beside[name])
    known: dict[str, Any] = {rule.column: name} if rule.column else {}
    return replace(source, files={**source.files, frames: file}, **known)


def _spelled(name: str) -> str:
    """A name as one of its spellings: an é may be one sign or two."""
    return unicodedata.normalize("NFC", name)


def _match(rows: Mapping[str, Row], files: Mapping[str, object]) -> dict[str, Row]:
    """The rows under the names that the files have on disk."""
    spelled = {_spelled(name): name for name in files}
    named: dict[str, Row] = {}
    for name, row in rows.items():
        on_disk = name if name in files else spelled.get(_spelled(name), name)
        if on_disk in named:
            raise UserError(
                f"{METADATA}, lines {named[on_disk].line} and {row.line}, both name {on_disk}; remove one"
            )
        named[on_disk] = row
    return named
