"""From files and rows of tables to sources: who speaks, which split, and which files lie beside."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from data_prep.columns import Row, Wanted, known_split
from data_prep.files import FileRule, Files
from data_prep.layout import NONE, Layout, PathReader, path_reader
from data_prep.names import Ambiguous, Names, spelled
from data_prep.origins import nested_speakers, speaker_reader, split_reader
from data_prep.sources import File, Source
from wavenet_pl.errors import UserError

Reader = Callable[[str], str | None]
"""What is said of a recording, by its name."""


@dataclass(frozen=True)
class Origins:
    """The paths that say who speaks and which split it is: name of a source -> path, where that is not the name."""

    speaker: dict[str, str] = field(default_factory=dict)
    split: dict[str, str] = field(default_factory=dict)


def resolve(
    layout: Layout, wanted: Wanted, folder: Path, paths: Collection[str]
) -> tuple[Wanted, PathReader | None]:
    """What is looked for in tables, and how paths say who speaks; None where the layout does not say that they do.

    Raises:
        UserError: the layout does not fit the corpus.
    """
    renames: dict[str, tuple[str, str | None]] = {
        name: ("--columns", column) for name, column in layout.renames.items()
    }
    speaker_of = speaker_reader(layout.speaker_from, folder, paths) if layout.speaker_from else None
    split_of_path = path_reader("--split-from", layout.split_from)
    for name, text, reader in (
        ("speaker", layout.speaker_from, speaker_of),
        ("split", layout.split_from, split_of_path),
    ):
        if text:
            renames[name] = f"--{name}-from", None if reader else text
    return replace(wanted, renames=renames, header=layout.header), speaker_of


def make_sources(
    recordings: Mapping[str, tuple[Row, File | None]],
    layout: Layout,
    speaker_of: PathReader | None,
    notes: list[str],
    origins: Origins | None = None,
) -> Iterator[Source]:
    """The sources of a corpus, one after the other, with the speakers and splits that tables or paths say.

    Args:
        recordings: name -> (what a table says, file); no file where a table names one that is not there.
        layout: what the user says.
        speaker_of: from `resolve`.
        notes: what is worth knowing about the choice is added here.
        origins: the paths that are looked at in place of names.

    Raises:
        UserError: what was asked for says nothing, or a split that is none.
    """
    origins = origins or Origins()
    speaker = _speakers(recordings, layout, speaker_of, origins.speaker, notes)
    split = _splits(recordings, layout, origins.split, notes)
    return (
        Source(
            name=name,
            speaker=speaker(name),
            text=row.text,
            tags=row.tags,
            midi=row.midi,
            tables=row.tables,
            split=row.split or split(name),
            facts=row.facts,
            size=file.size if file else None,
            path=file.path if file else "",
            offset=file.offset if file else None,
            problem=row.problem
            if file
            else row.problem or f"{row.table} names it, and there is no such file",
            group=row.group,
        )
        for name, (row, file) in recordings.items()
    )


def _speakers(
    recordings: Mapping[str, tuple[Row, File | None]],
    layout: Layout,
    speaker_of: PathReader | None,
    paths: Mapping[str, str],
    notes: list[str],
) -> Reader:
    def named(name: str) -> str | None:
        return speaker_of(paths.get(name, name)) if speaker_of else recordings[name][0].speaker

    if not layout.speaker_from:
        unnamed = (paths.get(name, name) for name in recordings if named(name) is None)
        notes += [note] if (note := nested_speakers(unnamed)) else []
        return lambda name: _parent(paths.get(name, name)) if (own := named(name)) is None else own
    without = sorted(name for name in recordings if named(name) is None)
    if without and layout.speaker_from != NONE:
        if len(without) == len(recordings):
            raise UserError(
                f"--speaker-from {layout.speaker_from} names no speaker of any recording, such as {without[0]}, "
                "expected a level, a pattern with ( ), a column of a table or a list that does; correct it"
            )
        notes.append(f"--speaker-from {layout.speaker_from} names no speaker of {_some(without)}")
    return named


def _parent(name: str) -> str | None:
    return name.split("/")[-2] if "/" in name else None


def _splits(
    recordings: Mapping[str, tuple[Row, File | None]],
    layout: Layout,
    others: Mapping[str, str],
    notes: list[str],
) -> Reader:
    """What paths say, of recordings of which a table says no split."""

    def unsaid() -> Iterator[str]:
        return (name for name, (row, _) in recordings.items() if row.split is None)

    split_of_path = path_reader("--split-from", layout.split_from)
    if not layout.split_from:
        split_of_path, note = split_reader(others.get(name, name) for name in unsaid())
        notes += [note] if note else []
    if split_of_path is None or layout.split_from == NONE:
        return lambda name: None
    reader = split_of_path
    known: dict[str, str] = {}
    without: list[str] = []
    for name in unsaid():
        word = reader(others.get(name, name))
        if not word:
            without.append(name)
        elif word not in known:
            known[word] = known_split(word, f"--split-from: {name}")
    if layout.split_from and without:
        notes.append(
            f"--split-from {layout.split_from} says nothing of {_some(sorted(without))}: chance decides"
        )
    return lambda name: known.get(reader(others.get(name, name)) or "")


def _some(names: Sequence[str]) -> str:
    return f"{len(names)} recordings, such as {names[0]}"


def with_files(sources: Iterable[Source], files: Files) -> Iterator[Source]:
    """The sources with the files that their frames are made from."""
    for frames, rule in files.rules.items():
        beside = files.beside.get(frames, {})
        add = partial(
            _with_file,
            frames=frames,
            rule=rule,
            beside=beside,
            alike=_by_stem(beside, rule),
            names=Names(beside),
        )
        sources = map(add, sources)
    return iter(sources)


def _by_stem(beside: Mapping[str, File], rule: FileRule) -> dict[str, str]:
    """Name of a recording, without its extension -> the file that is called like it."""
    names: dict[str, str] = {}
    for name in sorted(beside):
        suffix = next(suffix for suffix in rule.suffixes if name.lower().endswith(suffix))
        names.setdefault(name[: -len(suffix)], name)
    return names


def _with_file(
    source: Source,
    frames: str,
    rule: FileRule,
    beside: Mapping[str, File],
    alike: Mapping[str, str],
    names: Names,
) -> Source:
    named = getattr(source, rule.column) if rule.column else None
    try:
        stem = os.path.splitext(spelled(source.name))[0]
        name = names.find(named) if named else alike.get(stem)
    except Ambiguous:
        name = None
    if name is None:
        return source
    known: dict[str, Any] = {rule.column: name} if rule.column else {}
    return replace(source, files={**source.files, frames: replace(beside[name], name=name)}, **known)
