"""How a corpus is laid out: where its names, texts and splits are, as the user says or as words mean."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from wavenet_pl.errors import UserError

NONE = "none"
SPLIT_WORDS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev", "devel", "development", "eval", "evaluation"),
    "test": ("test", "testing"),
}
"""Split -> the words that mean it, in any case."""
DELIMITERS = (",", "\t", "|", ";", " ")
"""What may stand between the cells of a table. A blank is one only where the user says so."""

PathReader = Callable[[str], str | None]
"""What a path below the corpus says of its recording; None where it says nothing."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What the user says of a corpus, one field for each option; empty fields leave it to names and words."""

    metadata: tuple[str, ...] | None = None
    """Tables, or patterns of them; none of them where empty, metadata.csv where None."""
    columns: str = ""
    """``NAME=COLUMN,...`` where tables have other names, else the first line that they lack."""
    suffix: str = ""
    """How the names of recordings end; other files are left alone."""
    speaker_from: str = ""
    """Level, pattern, column, file or `NONE`."""
    split_from: str = ""
    """Level, pattern, column or `NONE`."""
    only_listed: bool = False
    """Whether files that no table names are left alone."""

    def describe(self) -> dict[str, Any]:
        """As JSON, without what is not set."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in values.items() if value not in (None, "", False)}

    @classmethod
    def read(cls, metadata: str | None, **options: Any) -> Layout:
        """What the options of the command line say; those that were not given are None.

        Raises:
            UserError: --metadata has an empty name.
        """
        tables = (
            None
            if metadata is None
            else ()
            if metadata == NONE
            else tuple(map(str.strip, metadata.split(",")))
        )
        if tables and not all(tables):
            raise UserError(f"--metadata is {metadata!r}, expected names with commas between; correct it")
        return cls(metadata=tables, **{name: value for name, value in options.items() if value is not None})

    @property
    def renames(self) -> dict[str, str]:
        """What a column means -> what tables call it."""
        pairs = self.columns.split(",") if "=" in self.columns else []
        return {name.strip(): column.strip() for name, _, column in (pair.partition("=") for pair in pairs)}

    @property
    def header(self) -> tuple[str | None, tuple[str, ...]]:
        """(what stands between cells, names of the columns) of tables that do not say it; no names where they do."""
        line = "" if "=" in self.columns else self.columns.replace("\\t", "\t")
        delimiters = [each for each in DELIMITERS if each in line]
        delimiter = delimiters[0] if delimiters else None
        return delimiter, tuple(name.strip() for name in line.split(delimiter)) if line else ()

    def check(self, meanings: Mapping[str, Any]) -> None:
        """Refuse what contradicts itself.

        Args:
            meanings: what a column may be called.

        Raises:
            UserError: names the option.
        """
        known = ", ".join(meanings)
        for name, column in self.renames.items():
            if name not in meanings or not column:
                raise UserError(
                    f"--columns has {name}={column}, expected NAME=COLUMN with a NAME of {known}; correct it"
                )
        delimiter, names = self.header
        others = [
            each for each in DELIMITERS[:-1] if each != delimiter and any(each in name for name in names)
        ]
        if others or not all(names) or len(set(names)) != len(names):
            raise UserError(
                f"--columns is {self.columns!r}, expected the first line that the tables lack, different names with "
                "one of comma, tab (\\t), |, ; and blank between, as in the tables; correct it"
            )
        if names and not set(names) & set(meanings):
            raise UserError(
                f"--columns is {self.columns!r}, expected some of {known} among the names; correct it"
            )
        if names and "file" not in names and len(names) > 1:
            raise UserError(
                f"--columns is {self.columns!r}, expected one column called file, or a single column where each table "
                "is called like its recording; correct it"
            )
        for option, text in (("--speaker-from", self.speaker_from), ("--split-from", self.split_from)):
            path_reader(option, text)


AS_IT_IS = Layout()
"""Nothing is said: names and words decide."""


def split_of(text: str) -> str | None:
    """The split that a name means by its words, such as `dev-clean`; None where it means none, or two."""
    words = set(re.findall(r"[a-z]+", text.lower()))
    meant = [split for split, known in SPLIT_WORDS.items() if words & set(known)]
    return meant[0] if len(meant) == 1 else None


def path_reader(option: str, text: str) -> PathReader | None:
    """How paths say what an option asks for; None where it is no matter of paths.

    Args:
        option: named in messages.
        text: a level (1 is the first folder below the corpus, -1 the one that a file lies in), a regular expression
            with a group, or `NONE`.

    Raises:
        UserError: it is 0, or no regular expression.
    """
    if text == NONE:
        return lambda path: None
    if re.fullmatch(r"[+-]?\d+", text):
        level = int(text)
        if level == 0:
            raise UserError(
                f"{option} is 0, expected 1 for the first folder below SRC, or -1 for the last; correct it"
            )
        return lambda path: _folder(path, level)
    if "(" not in text:
        return None
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise UserError(
            f"{option} is {text!r}, which is no regular expression ({error}), expected one such as '([a-z]+)_[0-9]+'; "
            "correct it"
        ) from None
    if not pattern.groups:
        raise UserError(
            f"{option} is {text!r}, expected a part of it in ( ): what is wanted; put ( ) around it"
        )
    return lambda path: _caught(pattern, path)


def _folder(path: str, level: int) -> str | None:
    folders = path.split("/")[:-1]
    index = level - 1 if level > 0 else level
    return folders[index] if -len(folders) <= index < len(folders) else None


def _caught(pattern: re.Pattern[str], path: str) -> str | None:
    match = pattern.search(path)
    return (match.group(1) or None) if match else None
