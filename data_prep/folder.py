"""The corpus `folder`: any tree of audio files, and the tables that may lie beside them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from itertools import chain
from pathlib import Path

from data_prep.assembly import make_sources, resolve, with_files
from data_prep.columns import NOTHING, NOTHING_SAID, Row, Wanted, check_asked, describe_columns
from data_prep.files import FileRule, Files, modified, size_of, walk
from data_prep.layout import AS_IT_IS, NONE, Layout, split_of
from data_prep.names import Ambiguous, Names
from data_prep.sources import File, Source
from data_prep.table import METADATA, Table, read_table
from wavenet_pl.errors import UserError, did_you_mean
from wavenet_pl.shards.spool import Spool

_SHOWN = 8


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Sources, and what was seen beside them."""

    sources: Sequence[Source]
    """Each is made, or read from a disk, when it is looked at, where there may be many."""
    left_alone: Mapping[str, int] = field(default_factory=dict)
    """Files that are no audio that can be read: extension -> how many."""
    notes: tuple[str, ...] = ()
    """How the corpus was understood, and what may be wrong with that, in sentences without their stops."""
    read_from: Mapping[str, int] = field(default_factory=dict)
    """Folders, tables and tar files that all this was read from, as paths from the corpus on -> when each was changed
    last, in ns. Other files are here only by their sizes."""


def read_folder(
    folder: Path,
    wanted: Wanted = NOTHING,
    layout: Layout = AS_IT_IS,
    frames: Mapping[str, FileRule] | None = None,
    leave: Path | None = None,
    option: str = "SRC",
) -> Corpus:
    """Every audio file below a folder, in no order of meaning.

    Unless the layout says otherwise, the speaker is the column of a table or, where that says nothing, the name of the
    folder that the file lies in; a file at the top has none.

    Args:
        folder: the corpus.
        wanted: columns of tables that are looked for.
        layout: what the user says of the corpus.
        frames: what is made of a file beside each recording: a table names it, or it is called like the recording.
        leave: a folder that is not looked into: where the shards go.
        option: what the user calls the folder.

    Raises:
        UserError: it cannot be read, holds no audio, or a table contradicts itself.
    """
    if not os.path.isdir(folder):
        raise UserError(f"{option} {folder} is no folder, expected one with audio files; check the path")
    files = Files(rules=frames or {}, layout=layout)
    read_from: dict[str, int] = {}
    for file in walk(folder, leave, read_from):
        files.add(file)
    _add_tables_elsewhere(files, folder)
    lists = (folder / layout.speaker_from, Path(layout.speaker_from)) if layout.speaker_from else ()
    for path in (*(file.path for file, _ in files.tables.values()), *lists):
        read_from[os.path.relpath(path, folder)] = modified(path)
    notes: list[str] = []
    if files.unread and not files.tables and layout.metadata is None:
        notes.append(
            f"{', '.join(files.unread[:_SHOWN])}: tables that are not read; --metadata names those to read"
        )
    wanted, speaker_of = resolve(layout, wanted, folder, files.audio)
    rows = _read_tables(files, wanted, folder, notes)
    named = _match(rows, files)
    if unlisted := sorted(files.audio.keys() - named.keys()) if rows else []:
        fate = "left alone" if layout.only_listed else "taken as well (--only-listed leaves them out)"
        notes.append(f"{len(unlisted)} files are in no table, such as {unlisted[0]}: {fate}")
    for name in unlisted if layout.only_listed else ():
        del files.audio[name]
    files.check(f"{option} {folder}")
    sources = make_sources(_Recordings(named, files.audio), layout, speaker_of, notes)
    return Corpus(
        sources=Spool(with_files(sources, files)), left_alone=files.left_alone, notes=tuple(notes),
        read_from=read_from,
    )  # fmt: skip


class _Recordings(Mapping[str, tuple[Row, File | None]]):
    """What tables say of recordings, and their files; put together when it is looked at.

    Args:
        named: name -> row.
        audio: name -> file.
    """

    def __init__(self, named: Mapping[str, Row], audio: Mapping[str, File]) -> None:
        self._named, self._audio = named, audio

    def __getitem__(self, name: str) -> tuple[Row, File | None]:
        return self._named.get(name, NOTHING_SAID), self._audio.get(name)

    def __iter__(self) -> Iterator[str]:
        return chain(self._audio, (name for name in self._named if name not in self._audio))

    def __len__(self) -> int:
        return len(self._audio.keys() | self._named.keys())


def _add_tables_elsewhere(files: Files, folder: Path) -> None:
    """Find tables that do not lie in the corpus; each that the user names is somewhere.

    Raises:
        UserError: one is nowhere.
    """
    for pattern in files.layout.metadata or ():
        if any(fnmatchcase(name, pattern) for name in files.tables):
            continue
        if not os.path.isfile(pattern):
            tables = sorted(path.name for path in folder.iterdir() if path.suffix in (".csv", ".tsv", ".txt"))
            known = ", ".join(tables[:_SHOWN]) or "none"
            raise UserError(
                f"--metadata names {pattern}, expected tables below {folder}, patterns of such, or {NONE}"
                + did_you_mean(pattern, tables, f"there are {known}")
            )
        name = os.path.basename(pattern)
        files.tables[name] = File(name=name, size=size_of(pattern), path=pattern), ""


def _read_tables(files: Files, wanted: Wanted, folder: Path, notes: list[str]) -> list[Row]:
    """The rows of all tables; how their columns were understood is noted."""
    tables: list[Table] = []
    rows: list[Row] = []
    by_table: dict[str, str] = {}
    for name, (file, ending) in sorted(files.tables.items()):
        table = read_table(file.path, name, wanted, ending)
        tables.append(table)
        meant = split_of(os.path.basename(name)) if "file" in table.columns.meant else None
        if meant and "split" not in {*table.columns.meant, *wanted.renames}:
            by_table[name] = meant
            rows += [replace(row, split=meant) for row in table.rows]
        else:
            rows += table.rows
    if by_table:
        notes.append("splits by table: " + ", ".join(f"{name} {split}" for name, split in by_table.items()))
    if tables or wanted.asked:
        what = f"{folder / min(files.tables, default=METADATA)}"
        if not tables:
            raise UserError(
                f"{wanted.asked[0][0]} is set, expected {what}, and there is none; write it or drop the option"
            )
        check_asked([table.columns for table in tables], wanted, what)
    notes += describe_columns([table.columns for table in tables])
    return rows


def _match(rows: Sequence[Row], files: Files) -> dict[str, Row]:
    """The rows under the names that the files have on disk.

    Raises:
        UserError: two of them name one file, one may name several, or none of them names any.
    """
    names = Names(files.audio, files.layout.suffix) if rows else Names(())
    named: dict[str, Row] = {}
    for row in rows:
        try:
            name = names.find(row.file, row.folder)
        except Ambiguous as error:
            raise UserError(
                f"{row.source} names {row.file}, which may be {' or '.join(error.names[:2])}, expected one file; write "
                "its path below SRC, or say which files are recordings with --suffix"
            ) from None
        name = name or (f"{row.folder}/{row.file}" if row.folder else row.file)
        if name in named:
            raise UserError(
                f"{row.source} names {name} again, expected each file once; {named[name].source.rstrip(',')} has it"
            )
        named[name] = row
    if rows and files.audio and not files.audio.keys() & named.keys():
        raise UserError(
            f"{rows[0].source} names {rows[0].file}, and no row names a file of SRC, expected names such as "
            f"{min(files.audio)}, with or without folders and extension; correct them, or --metadata and --columns"
        )
    return named
