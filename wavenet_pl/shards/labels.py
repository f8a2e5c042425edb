"""Labels: what the numbers of a condition stand for, so that a model and a shard set can be held side by side."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from wavenet_pl.errors import UserError
from wavenet_pl.shards import legacy

_MOST_NAMES = 1_000_000
_MOST_KINDS = 1000
_MOST_NUMBERS = 4096
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_ -]{0,99}")

Spec = Mapping[str, Any]
"""How frames were made: setting -> number, or a list of numbers. What they mean `inputs` knows."""


@dataclass(frozen=True)
class Labels:
    """Names by row, and how frames were made. What is empty is left out."""

    tables: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Table, such as speaker -> the name of each row."""
    frames: Mapping[str, Spec] = field(default_factory=dict)
    """Name of frames, such as mel -> their spec."""

    def of(self, inputs: Iterable[str]) -> Labels:
        """Those that a model with these inputs needs; the rest is not its concern."""
        inputs = set(inputs)
        return Labels(
            {name: names for name, names in self.tables.items() if name in inputs},
            {name: spec for name, spec in self.frames.items() if name in inputs},
        )

    def to_plain(self) -> dict[str, Any]:
        """As JSON, and as a checkpoint keeps it."""
        return {
            "tables": {name: list(self.tables[name]) for name in sorted(self.tables)},
            "frames": {name: dict(self.frames[name]) for name in sorted(self.frames)},
        }

    @classmethod
    def read(cls, plain: Any) -> Labels:
        """What `to_plain` gave, now or in an earlier version.

        Raises:
            ValueError: it is something else.
        """
        if isinstance(plain, Mapping):
            plain = legacy.renamed(plain)
        if not isinstance(plain, Mapping) or set(plain) != {"tables", "frames"}:
            raise ValueError(f"its labels are {plain!r:.80}, expected tables and frames")
        return cls(_tables(plain["tables"]), _frames(plain["frames"]))

    def check_same(self, other: Labels, mine: str, others: str) -> None:
        """Refuse to use numbers of one side where the other side means something else by them.

        Args:
            other: the labels of the other side.
            mine: what this side is, such as a path.
            others: what the other side is.

        Raises:
            UserError: names both sides and what differs.
        """
        for name in sorted({*self.tables, *other.tables}):
            ours, theirs = self.tables.get(name, ()), other.tables.get(name, ())
            if ours != theirs:
                raise UserError(
                    f"{mine} has the {name} names {_some(ours, theirs)}, {others} has {_some(theirs, ours)}, expected "
                    "the same names in the same order; use the data that the model was trained on"
                )
        for name in sorted({*self.frames, *other.frames}):
            specs = self.frames.get(name), other.frames.get(name)
            if specs[0] != specs[1]:
                mine_, theirs_ = (
                    "none" if spec is None else f"{dict(spec)} ({spec_fingerprint(name, spec)})"
                    for spec in specs
                )
                raise UserError(
                    f"{mine} has {name} frames {mine_}, {others} has {theirs_}, expected equal ones; prepare the data "
                    "with the same settings"
                )


def spec_fingerprint(name: str, spec: Spec) -> str:
    """16 hex digits of a hash over name and settings, to be shown beside another one."""
    text = json.dumps([name, dict(spec)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _tables(plain: Any) -> dict[str, tuple[str, ...]]:
    tables = {}
    for name, names in _named(plain, "tables").items():
        if (
            not isinstance(names, (list, tuple))
            or len(names) > _MOST_NAMES
            or not all(isinstance(each, str) for each in names)
            or len(set(names)) != len(names)
        ):
            raise ValueError(f"its {name} names are {names!r:.80}, expected different names")
        if names:
            tables[name] = tuple(names)
    return tables


def _frames(plain: Any) -> dict[str, Spec]:
    frames: dict[str, Spec] = {}
    for name, spec in _named(plain, "frames").items():
        if not isinstance(spec, Mapping) or len(spec) > _MOST_KINDS:
            raise ValueError(f"its {name} frames are {spec!r:.80}, expected settings")
        for setting, value in spec.items():
            numbers = value if isinstance(value, (list, tuple)) else [value]
            if (
                not isinstance(setting, str)
                or len(numbers) > _MOST_NUMBERS
                or not all(map(_is_number, numbers))
            ):
                raise ValueError(f"{name} has {setting!r:.40} {value!r:.80}, expected numbers")
        frames[name] = dict(spec)
    return frames


def _named(plain: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(plain, Mapping) or len(plain) > _MOST_KINDS:
        raise ValueError(f"its {what} are {plain!r:.80}, expected some by name")
    for name in plain:
        if not isinstance(name, str) or not is_name(name):
            raise ValueError(
                f"its {what} have one called {name!r:.80}, expected a name of letters, digits and _"
            )
    return plain


def is_name(name: str) -> bool:
    """Whether a table or frames may be called so."""
    return _NAME.fullmatch(name) is not None


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _some(names: tuple[str, ...], others: tuple[str, ...]) -> str:
    """How many names, and the first that the others have not in its place."""
    if not names:
        return "(none)"
    differs = next((row for row, name in enumerate(names) if name not in others[row : row + 1]), 0)
    return f"({len(names)}, row {differs} is {names[differs]!r:.60})"
