"""Models that come with the project: exports in `models/`, each with what is said of it. `pretrained:NAME` is one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wavenet_pl.errors import UserError, did_you_mean
from wavenet_pl.runs.neighbours import not_there

PREFIX = "pretrained:"
FACTS_NAME = "released.json"


@dataclass(frozen=True)
class Released:
    """One of them."""

    name: str
    path: Path
    """Its export."""
    what: str
    """In a sentence."""
    data: str
    """What it was trained on."""
    licence: str
    """Of the weights."""
    scores: dict[str, str]
    """What was measured, and what came out."""


def models_folder() -> Path:
    """Where they lie: in the package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "models"
    return inside if inside.is_dir() else package.parent / "models"


def list_released() -> Iterator[Released]:
    """All of them by name.

    Raises:
        UserError: what is said of one is damaged.
    """
    for path in sorted(models_folder().glob(f"*/{FACTS_NAME}")):
        try:
            facts: Any = json.loads(path.read_text(encoding="utf-8"))
            yield Released(path.parent.name, path.parent, **facts)
        except (OSError, ValueError, TypeError) as error:
            raise UserError(
                f"{path} cannot be used ({error}), expected what is said of a released model; install the project again"
            ) from None


def find_model(path: str | os.PathLike[str]) -> Path:
    """As `model_path`, of a model that is there.

    Raises:
        UserError: there is nothing of that name; names what is like it.
    """
    model = model_path(path)
    if not os.path.lexists(model):
        raise not_there(os.fspath(path), [PREFIX + each.name for each in list_released()])
    return model


def model_path(path: str | os.PathLike[str]) -> Path:
    """The path itself, or that of the released model that it names.

    Raises:
        UserError: there is no such released model.
    """
    name = os.fspath(path)
    if not name.startswith(PREFIX):
        return Path(path)
    name = name.removeprefix(PREFIX)
    known = {each.name: each.path for each in list_released()}
    if name not in known:
        raise UserError(
            f"{PREFIX}{name} is no released model, expected one of "
            f"{', '.join(PREFIX + each for each in known) or 'none'}{did_you_mean(name, known)}; "
            "`wavenet-pl models` lists them"
        )
    return known[name]
