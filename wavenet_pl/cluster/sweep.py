"""Sweeps: settings that are to be tried out, as a grid on the command line or as a file of overrides."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path

from wavenet_pl.config.source import Given, read_yaml
from wavenet_pl.errors import UserError
from wavenet_pl.files.foreign import read_file

MOST_TASKS = 10_000
_SETTING = re.compile(r"[a-z_][\w.]*")
_RANGE = re.compile(r"(-?\d{1,18})\.\.(-?\d{1,18})")
_EXAMPLES = "such as 'seed=0..4', 'optim.lr=1e-3,3e-4' or a YAML file of overrides"


def read_sweep(axes: Sequence[str]) -> list[tuple[str, ...]]:
    """The tasks of an array: for each its `key=value` arguments.

    Args:
        axes: `key=values`, values with commas between or as a range that includes both ends; or a YAML file: a mapping
            of settings to lists of values is a grid, a list of mappings is one task for each. All of them multiply.

    Raises:
        UserError: one is none of these; the message names --array.
    """
    parts = [part for text in axes for part in ([text] if _is_file(text) else text.split())]
    tasks = _product([_file(part) if _is_file(part) else _axis(part) for part in parts])
    for task in tasks:
        names = [argument.partition("=")[0] for argument in task]
        if twice := {name for name in names if names.count(name) > 1}:
            raise UserError(f"--array sets {min(twice)} twice, expected each setting once; drop one")
    if len(set(tasks)) < len(tasks):
        raise UserError("--array has the same task twice, expected each once; drop one")
    return tasks


def sweep_name(name: str, tasks: Sequence[Sequence[str]]) -> str:
    """What the runs of a sweep are grouped by: the same for the same sweep of the same experiment."""
    digest = hashlib.sha256(json.dumps([name, *map(list, tasks)]).encode()).hexdigest()
    return f"{name}-sweep-{digest[:6]}"


def _product(axes: Sequence[Sequence[tuple[str, ...]]]) -> list[tuple[str, ...]]:
    """Each choice of one from every axis. They are counted before they are made: no memory holds those of a typo."""
    if (count := math.prod(map(len, axes))) > MOST_TASKS:
        raise UserError(f"--array makes {count} tasks, expected at most {MOST_TASKS}; try out less")
    return [tuple(itertools.chain(*choice)) for choice in itertools.product(*axes)]


def _is_file(text: str) -> bool:
    return text.endswith((".yaml", ".yml"))


def _axis(text: str) -> list[tuple[str, ...]]:
    name, equals, values = text.partition("=")
    if not equals or not _SETTING.fullmatch(name):
        raise UserError(f"--array is {text!r:.80}, expected settings with their values, {_EXAMPLES}")
    choices = [value for part in _split(values) for value in _range(part, name)]
    if not all(choices):
        raise UserError(f"--array {text!r:.80} has an empty value, expected values with commas between")
    return [(f"{name}={value}",) for value in choices]


def _split(text: str) -> list[str]:
    """At commas, but not inside brackets: [0.9,0.99] is one value."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "[{") - (letter in "]}")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def _range(text: str, name: str) -> list[str]:
    match = _RANGE.fullmatch(text)
    if match is None:
        return [text]
    first, last = int(match[1]), int(match[2])
    if not first <= last < first + MOST_TASKS:
        raise UserError(f"--array {name}={text} is no range, expected the lower end first, such as 0..4")
    return [str(number) for number in range(first, last + 1)]


def _file(path: str) -> list[tuple[str, ...]]:
    try:
        text = read_file(path, 2**24).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise UserError(f"--array {path} cannot be read ({reason}), expected {_EXAMPLES}") from None
    tree = read_yaml(text, f"--array {path}").value
    if (
        isinstance(tree, dict)
        and tree
        and all(isinstance(each.value, list) and each.value for each in tree.values())
    ):
        return _product(
            [[(_argument(name, value, path),) for value in each.value] for name, each in tree.items()]
        )
    if isinstance(tree, list) and tree and all(isinstance(task.value, dict) and task.value for task in tree):
        return [tuple(_argument(name, value, path) for name, value in task.value.items()) for task in tree]
    raise UserError(
        f"--array {Path(path).name} holds neither a mapping of settings to lists of values nor a list of mappings of "
        "settings; write `seed: [0, 1]` for a grid, or `- {seed: 0}` for each task"
    )


def _argument(name: str, value: Given, path: str) -> str:
    if not _SETTING.fullmatch(name):
        raise UserError(f"--array {path} has the setting {name!r:.60}, expected a key path such as optim.lr")
    return f"{name}={json.dumps(value.plain(), ensure_ascii=False) if value.text is None else value.text}"
