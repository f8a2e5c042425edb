"""Who speaks in a recording and which split it is for, as its path says."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from data_prep.layout import NONE, PathReader, path_reader, split_of
from wavenet_pl.errors import UserError
from wavenet_pl.files.foreign import read_file

_LARGEST_LIST = 2**26
_SHOWN = 5


def speaker_reader(text: str, folder: Path, paths: Collection[str]) -> PathReader | None:
    """How paths say who speaks; None where it is a column of a table.

    Args:
        text: as `path_reader` takes it, or a list of speakers: a file whose lines begin with their names.
        folder: the corpus, which a list may lie in.
        paths: of all recordings, below the corpus.

    Raises:
        UserError: it is wrong, or lists nobody whose name is in a path.
    """
    if reader := path_reader("--speaker-from", text):
        return reader
    path = next((path for path in (folder / text, Path(text)) if path.is_file()), None)
    if path is None:
        return None
    try:
        lines = read_file(path, _LARGEST_LIST).decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"--speaker-from {path} cannot be read ({error}), expected a list of speakers"
        ) from None
    words = (re.split(r"[|,;\s]", line.strip(), maxsplit=1)[0] for line in lines)
    listed = {word for word in words if word}
    parts = Counter(number for path in paths for number, part in enumerate(_parts(path)) if part in listed)
    if not parts:
        raise UserError(
            f"--speaker-from {text} lists {', '.join(sorted(listed)[:_SHOWN]) or 'nobody'}, expected names of folders "
            "in SRC, or what names of files begin with; correct it"
        )
    # One part of all paths: a number of a chapter may be that of another reader as well.
    chosen = max(parts, key=lambda number: parts[number])
    return lambda path: next((part for part in _parts(path)[chosen : chosen + 1] if part in listed), None)


def _parts(path: str) -> list[str]:
    """What may be the speaker: what the name of the file begins with, and the folders from the top."""
    *folders, file = path.split("/")
    return [re.split(r"[-_. ]", file, maxsplit=1)[0], *folders]


def nested_speakers(paths: Iterable[str]) -> str:
    """What is wrong where folders of speakers lie in folders that have several of them; empty where that is not so.

    Such are the chapters of a reader, or the sessions of a speaker. A corpus with one folder around its speakers, or
    one for each split, has none.
    """
    inside: dict[str, set[str]] = {}
    for folder in {path.rpartition("/")[0] for path in paths}:
        above, _, own = folder.rpartition("/")
        if above and split_of(above.rpartition("/")[2]) is None:
            inside.setdefault(above, set()).add(own)
    several = {folder: own for folder, own in inside.items() if len(own) > 1}
    if len(inside) < 2 or 2 * len(several) < len(inside):
        return ""
    folder = min(several)
    first, second = sorted(several[folder])[:2]
    return (
        f"speakers may be taken for too many: {folder} has {first}, {second} and so on, and each counts as a speaker; "
        f"if {folder.split('/')[-1]} is one, say --speaker-from -2, else -1"
    )


def split_reader(paths: Iterable[str]) -> tuple[PathReader | None, str]:
    """How folders say the split, where all of one level mean one, and a note about that.

    Where that is not so, but some are called as if they were for a test, the note says that they are trained on.

    Args:
        paths: of all recordings that no table gives a split.
    """
    folders = {path.rpartition("/")[0] for path in paths}
    for level in range(1, max((folder.count("/") for folder in folders), default=0) + 2):
        names = {(folder.split("/")[level - 1 : level] or [""])[0] for folder in folders}
        meant = {name: split for name in names if (split := split_of(name))}
        if len(meant) == len(names) and "train" in meant.values() and len(set(meant.values())) > 1:
            return _meaning(
                meant, level
            ), f"splits by folder: {_pairs(meant)} (--split-from {NONE} ignores that)"
    tests = sorted(
        part
        for part in {part for folder in folders for part in folder.split("/")}
        if split_of(part) == "test"
    )
    if not tests:
        return None, ""
    return None, (
        f"{', '.join(tests[:_SHOWN])} may be for a test, and chance decides about what lies there; if it is, say "
        f"--split-from LEVEL, else --split-from {NONE}"
    )


def _meaning(meant: Mapping[str, str], level: int) -> PathReader:
    return lambda path: meant[path.split("/")[level - 1]]


def _pairs(meant: Mapping[str, str]) -> str:
    pairs = [f"{name} {split}" for name, split in sorted(meant.items())]
    return ", ".join(pairs[:_SHOWN]) + (f" and {len(pairs) - _SHOWN} more" if len(pairs) > _SHOWN else "")
