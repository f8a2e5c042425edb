"""The files of a corpus, sorted by what they are: audio, what frames are made from, tables, and the rest."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from data_prep.layout import Layout
from data_prep.names import spelled
from data_prep.sources import File, printable
from data_prep.table import METADATA
from wavenet_pl.audio.formats import AUDIO_EXTENSIONS
from wavenet_pl.errors import UserError


@dataclass(frozen=True, kw_only=True)
class FileRule:
    """How the file beside a recording that frames are made from is looked for."""

    suffixes: tuple[str, ...]
    """What follows the recording's name, without its own extension."""
    column: str = ""
    """Column of metadata.csv that may name it."""


@dataclass(kw_only=True)
class Files:
    """The files of a corpus by what they are."""

    rules: Mapping[str, FileRule]
    layout: Layout
    audio: dict[str, File] = field(default_factory=dict)
    """By name."""
    beside: dict[str, dict[str, File]] = field(default_factory=dict)
    """Frames -> files that they may be made from, by one spelling of their names."""
    tables: dict[str, tuple[File, str]] = field(default_factory=dict)
    """Table -> its file, and how names end where the pattern that found it says so."""
    left_alone: dict[str, int] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)
    """What lies at the top, looks like a table, and is none that is read."""

    def add(self, file: File) -> None:
        """See what a file is."""
        kind = kind_of(file.name)
        wanted = [
            name
            for name, rule in self.rules.items()
            if kind != "hidden" and file.name.lower().endswith(rule.suffixes)
        ]
        for name in wanted:
            self.beside.setdefault(name, {})[spelled(file.name)] = file
        if wanted:
            return
        metadata = (METADATA,) if self.layout.metadata is None else self.layout.metadata
        pattern = next((each for each in metadata if fnmatchcase(file.name, each)), None)
        if kind != "hidden" and pattern is not None:
            self.tables[file.name] = file, pattern.rpartition("*")[2] if "*" in pattern else ""
        elif kind[1:] not in AUDIO_EXTENSIONS:
            self.leave(kind)
            self.unread += [file.name] if kind in (".csv", ".tsv") and "/" not in file.name else []
        elif not file.name.endswith(self.layout.suffix):
            self.leave(f"{kind} without {self.layout.suffix}")
        else:
            self.audio[file.name] = file

    def leave(self, kind: str) -> None:
        """Count a file that nothing is made of."""
        self.left_alone[kind] = self.left_alone.get(kind, 0) + 1

    def check(self, corpus: str) -> None:
        """Refuse a corpus without audio.

        Raises:
            UserError: says what there is instead.
        """
        if not self.audio:
            others = ", ".join(f"{n} {kind}" for kind, n in sorted(self.left_alone.items()))
            raise UserError(f"{corpus} holds no audio file{others and f', only {others}'}; check the path")


def kind_of(name: str) -> str:
    """The extension; nothing is read that is hidden, such as the ._ twins that a Mac writes."""
    if any(part.startswith(".") for part in name.split("/")):
        return "hidden"
    return os.path.splitext(name)[1].lower() or "without extension"


def walk(folder: Path, leave: Path | None, read_from: dict[str, int]) -> Iterator[File]:
    """Every file below a folder; links are followed, each folder is entered once, and noted with its time."""
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
            # A link may lead round in a circle, or where nobody may look: it is no folder then.
            if entry.is_dir(follow_symlinks=False) or (entry.is_symlink() and os.path.isdir(entry.path)):
                waiting.append(entry.path)
            else:
                name = printable(entry.path[top:].replace(os.sep, "/"))
                yield File(name=name, size=size_of(entry.path), path=entry.path)


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
