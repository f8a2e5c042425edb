"""Writes docs/settings.md: every setting of a run, from the dataclasses that own them.

python -m scripts.write_settings
"""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
import types
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from wavenet_pl.config.tree import Config

PAGE = Path(__file__).resolve().parent.parent / "docs" / "settings.md"
HEAD = """# Settings

Every setting of `wavenet-pl train` and `adapt`, made from the dataclasses in [config/](../wavenet_pl/config) by
`python -m scripts.write_settings`. They are given in YAML files and, behind those, as arguments:
`wavenet-pl train speaker data.path=data/mine optim.lr=4e-3`. The [configs that come with the project](../configs)
say only what differs from these defaults. A run keeps all of its own in `config.yaml`, a config like any other.
"""
COLUMNS = "| setting | default | values | what it means |\n|---|---|---|---|\n"
_WORDS = {bool: "true, false", int: "whole number", float: "number", str: "text", type(None): "null"}


def page() -> str:
    """The whole page."""
    return HEAD + "".join(_sections(Config, ""))


def _sections(owner: type, prefix: str) -> Iterator[str]:
    """A section for a dataclass, and one for each dataclass in it."""
    hints, meanings = get_type_hints(owner), _meanings(owner)
    settings = [each for each in fields(owner) if each.init]
    inner = [each for each in settings if is_dataclass(hints[each.name])]
    rows = [
        f"| `{prefix}{each.name}` | `{_default(each)}` | {each.metadata.get('expected') or _words(hints[each.name])} | "
        f"{meanings[each.name]} |\n"
        for each in settings
        if each not in inner
    ]
    if rows:
        about = inspect.cleandoc(owner.__doc__ or "").splitlines()[0]
        yield f"\n## {prefix.rstrip('.') or 'The run'}\n\n{about}\n\n{COLUMNS}{''.join(rows)}"
    for each in inner:
        yield from _sections(hints[each.name], f"{prefix}{each.name}.")


def _meanings(owner: type) -> dict[str, str]:
    """Field -> the text under it in the source."""
    [tree] = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
    assert isinstance(tree, ast.ClassDef)
    meanings = {}
    for field, text in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
            assert isinstance(field.target, ast.Name) and isinstance(text.value, ast.Constant)
            meanings[field.target.id] = inspect.cleandoc(str(text.value.value)).replace("\n", " ")
    return meanings


def _default(field: Field[Any]) -> str:
    """As YAML has it."""
    value = field.default if field.default_factory is MISSING else field.default_factory()
    return value if isinstance(value, str) and value else json.dumps(value)


def _words(hint: Any) -> str:
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Literal:
        return ", ".join(map(str, inner))
    if origin in (Union, types.UnionType):
        return ", ".join(map(_words, inner))
    if origin is tuple:
        each = _words(inner[0])
        return f"[{each}, ...]" if Ellipsis in inner else f"[{', '.join(map(_words, inner))}]"
    if origin is dict:
        return "{name: value}"
    return _WORDS[hint]


if __name__ == "__main__":
    PAGE.write_text(page())
