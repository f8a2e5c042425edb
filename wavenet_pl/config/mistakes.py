"""Messages about wrong settings: the value, what was expected, what to do, the key path and where it was given."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any, Literal, Union

from wavenet_pl.config.source import Given
from wavenet_pl.errors import UserError, did_you_mean, nearest
from wavenet_pl.files.foreign import printable
from wavenet_pl.files.redaction import is_secret_name


class SettingError(UserError):
    """A value that a settings class refuses; the loader adds the section and the file.

    Args:
        setting: name of the setting, relative to the class that checks.
        problem: what is wrong, read after the name: "is 7, expected ...".
        others: further settings that the problem depends on, relative too.
    """

    def __init__(self, setting: str, problem: str, *others: str) -> None:
        super().__init__(f"{setting} {problem}")
        self.settings = (setting, *others)
        self.problem = problem

    def located(self, section: str, origins: Mapping[str, str]) -> str:
        """The message with the whole key path, and where every setting was given."""
        paths = [f"{section}.{name}" if section else name for name in self.settings]
        given = [path for path in paths if path in origins]
        if not given:
            return printable(f"{paths[0]} {self.problem}")
        first = given[0]
        rest = [f"{path}: {origins[path]}" for path in given[1:] if origins[path] != origins[first]]
        also = f" ({'; '.join(rest)})" if rest else ""
        return printable(f"{origins[first]}: {paths[0]} {self.problem}{also}")


def check(settings: Any, setting: str, holds: bool, expected: str, *others: str) -> None:
    """Raises a SettingError with the value and what was expected, unless the condition holds.

    Args:
        settings: the object that has the setting.
        setting: its name, with dots where it is further down.
        holds: the condition.
        expected: what the setting may be, and what to do.
        others: names of further settings that the condition depends on.
    """
    if not holds:
        raise SettingError(
            setting, f"is {spelled(attrgetter(setting)(settings))}, expected {expected}", *others
        )


def unknown_setting(path: Sequence[str], origin: str, names: Sequence[str], paths: Sequence[str]) -> str:
    """The message for a name that no settings class has.

    Args:
        path: the names down to it.
        origin: where it was given.
        names: what its section has.
        paths: the key path of every setting there is.
    """
    key, section, last = ".".join(path), ".".join(path[:-1]), path[-1].split(".")[-1]
    if is_secret_name(last):
        return (
            f"{origin}: {key} looks like a secret, expected none in a config, which is stored with the run; "
            "remove it, and run `wandb login` or set WANDB_API_KEY"
        )
    close = nearest(path[-1], names)
    namesakes = [known for known in paths if known.split(".")[-1] == last]
    if key in paths:  # written with dots where it should be nested
        guess = key
    elif close is not None:
        guess = ".".join((*path[:-1], close))
    else:  # the right name in the wrong section, or else the most similar path
        guess = namesakes[0] if namesakes else nearest(key, paths, cutoff=0.75) or ""
    group = f"settings of {section}" if section else "sections and settings"
    advice = f"did you mean {guess}?" if guess else "options of lightning.Trainer go under trainer"
    if "." in path[-1]:
        advice += " In a file, write one name per line, each further in than the one above"
    return f"{origin}: {key} is no setting, expected one of the {group}: {', '.join(names)}; {advice}"


def spelled(value: Any) -> str:
    """A value in a message: as YAML spells it, and not too long."""
    if value is None:
        return "null"
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def shown(given: Given) -> str:
    """The value as the user wrote it."""
    plain_value = given.value is None or isinstance(given.value, (str, list, dict))
    return spelled(given.plain()) if plain_value or given.text is None else given.text


def scalars(hint: Any) -> set[Any]:
    """The scalar types in a type hint."""
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is Literal:
        return {type(argument) for argument in arguments}
    return set().union(*map(scalars, arguments)) if arguments else {hint}


def expected(hint: Any) -> str:
    """A type hint in words."""
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return "one of " + ", ".join(map(str, arguments))
    if origin in (Union, types.UnionType):
        return " or ".join("null" if argument is type(None) else expected(argument) for argument in arguments)
    if origin is tuple:
        count = "" if arguments[-1] is Ellipsis else f"{len(arguments)} times "
        return f"a list of {count}{expected(arguments[0])}, in [ ]"
    return names[hint]


def advice(hint: Any, given: Given) -> str:
    """What to write in place of a value of the wrong type, where that can be guessed."""
    if typing.get_origin(hint) is Literal and isinstance(given.value, str):
        return did_you_mean(given.value, map(str, typing.get_args(hint)))
    if isinstance(given.value, float) and given.value.is_integer() and int in scalars(hint):
        return f"; write {int(given.value)}"
    if typing.get_origin(hint) is tuple and isinstance(given.value, str):
        return f"; write [{given.value}]"
    return ""
