"""From given values to a tree of frozen dataclasses, each mistake with its setting and where that was given."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

import omegaconf
from omegaconf import OmegaConf

from wavenet_pl.config.mistakes import SettingError, advice, expected, scalars, shown, unknown_setting
from wavenet_pl.config.source import COMMAND_LINE, Given
from wavenet_pl.errors import UserError
from wavenet_pl.files.foreign import printable

T = TypeVar("T")


def build(cls: type[T], sources: Sequence[Given]) -> tuple[T, dict[str, str]]:
    """Lays the sources over the defaults of cls, later ones over earlier ones.

    Returns:
        The tree, and where each setting that is no default was given: key path -> `FILE:LINE` or `command line`.

    Raises:
        UserError: one message with every mistake.
    """
    reader = _Reader(cls)
    for source in sources:
        reader.read(cls, source, ())
    reader.stop_on_mistakes()
    tree = reader.construct(cls, ())
    reader.stop_on_mistakes()
    return tree, reader.origins


def plain(tree: Any, *, all_defaults: bool = True) -> dict[str, Any]:
    """The settings as dicts, lists, numbers, text and None only.

    Args:
        tree: a dataclass of settings.
        all_defaults: whether settings that are marked as later than the first runs are there at their defaults, too.
    """
    return {
        setting.name: _plain(getattr(tree, setting.name), all_defaults)
        for setting in _settings(type(tree))
        if all_defaults or "later" not in setting.metadata or getattr(tree, setting.name) != setting.default
    }


def _plain(value: Any, all_defaults: bool) -> Any:
    if dataclasses.is_dataclass(value):
        return plain(value, all_defaults=all_defaults)
    if isinstance(value, Mapping):
        return {name: _plain(item, all_defaults) for name, item in value.items()}
    return [_plain(item, all_defaults) for item in value] if isinstance(value, (list, tuple)) else value


def _settings(cls: Any) -> list[dataclasses.Field[Any]]:
    return [setting for setting in dataclasses.fields(cls) if setting.init]


@cache
def _schema(cls: type) -> Any:
    """OmegaConf's view of a class; each value is read back right after it was set, so one is enough."""
    return OmegaConf.structured(cls)


class _Reader:
    """Collects values, their origins and mistakes while the sources are read."""

    def __init__(self, root: type) -> None:
        self.hints: dict[type, dict[str, Any]] = {}
        self.values: dict[tuple[str, ...], Any] = {}
        self.origins: dict[str, str] = {}
        self.mistakes: list[str] = []
        self.paths = list(self.all_paths(root, ()))

    def all_paths(self, cls: type, at: tuple[str, ...]) -> Iterable[str]:
        self.hints[cls] = typing.get_type_hints(cls)
        for setting in _settings(cls):
            path = (*at, setting.name)
            yield ".".join(path)
            if dataclasses.is_dataclass(self.hints[cls][setting.name]):
                yield from self.all_paths(self.hints[cls][setting.name], path)

    def stop_on_mistakes(self) -> None:
        if self.mistakes:
            raise UserError("\n".join(map(printable, dict.fromkeys(self.mistakes))))  # a line for each

    def read(self, cls: type, given: Given, at: tuple[str, ...]) -> None:
        if given.value is None and given.origin != COMMAND_LINE:
            return  # a section with every line commented out says nothing
        if not isinstance(given.value, dict):
            self.mistakes.append(
                f"{given.origin}: {'.'.join(at)} is {shown(given)}, expected a section; "
                f"set one of {', '.join('.'.join((*at, setting.name)) for setting in _settings(cls))}"
            )
            return
        settings = {setting.name: setting for setting in _settings(cls)}
        for name, item in given.value.items():
            path = (*at, name)
            if name not in settings:
                self.mistakes.append(unknown_setting(path, item.origin, list(settings), self.paths))
            elif dataclasses.is_dataclass(self.hints[cls][name]):
                self.read(self.hints[cls][name], item, path)
            else:
                self.leaf(cls, settings[name], item, path)

    def leaf(self, cls: type, setting: dataclasses.Field[Any], given: Given, path: tuple[str, ...]) -> None:
        hint, key = self.hints[cls][setting.name], ".".join(path)
        if any("${" in text for text in _texts(given)):
            self.mistakes.append(
                f"{given.origin}: {key} has an interpolation ${{...}}, expected the value itself; write it "
                "out: a config reads neither the environment nor other settings"
            )
            return
        if typing.get_origin(hint) is dict:
            self.mapping(given, path)
            return
        try:
            self.values[path] = self.convert(cls, setting, hint, given)
            self.origins[key] = given.origin
        except (ValueError, OverflowError, TypeError, omegaconf.errors.OmegaConfBaseException):
            wanted = setting.metadata.get("expected") or expected(hint)
            self.mistakes.append(
                f"{given.origin}: {key} is {shown(given)}, expected {wanted}{advice(hint, given)}"
            )

    def convert(self, cls: type, setting: dataclasses.Field[Any], hint: Any, given: Given) -> Any:
        value = given.plain(as_text=str in scalars(hint))
        if value == "???":  # OmegaConf's mark for a missing value
            raise ValueError(value)
        if value is not None and "read" in setting.metadata:
            value = setting.metadata["read"](value)
        if hint is bool and not isinstance(value, bool):
            raise ValueError(value)  # OmegaConf takes any number for true
        schema = _schema(cls)
        with omegaconf.read_write(schema):
            OmegaConf.update(schema, setting.name, value, merge=False)
        converted = schema[setting.name]
        if isinstance(value, dict):
            return value
        return tuple(converted) if isinstance(value, list) else converted

    def mapping(self, given: Given, path: tuple[str, ...]) -> None:
        """A free mapping: names are checked by whom it is for; nested mappings are laid over each other."""
        if given.value is None and given.origin != COMMAND_LINE:
            return
        if not isinstance(given.value, dict):
            self.mistakes.append(f"{given.origin}: {'.'.join(path)} is {shown(given)}, expected a mapping")
            return
        self.values[path] = _overlaid(self.values.get(path, {}), given.plain())
        for name, item in given.value.items():
            self.origins[".".join((*path, name))] = item.origin

    def construct(self, cls: type[T], at: tuple[str, ...]) -> T:
        arguments, before = {}, len(self.mistakes)
        for setting in _settings(cls):
            path = (*at, setting.name)
            if dataclasses.is_dataclass(self.hints[cls][setting.name]):
                arguments[setting.name] = self.construct(self.hints[cls][setting.name], path)
            elif path in self.values:
                arguments[setting.name] = self.values[path]
        if len(self.mistakes) == before:
            try:
                return cls(**arguments)
            except SettingError as error:
                self.mistakes.append(error.located(".".join(at), self.origins))
        return typing.cast(T, None)  # never seen: the caller stops on mistakes


def _overlaid(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(below)
    for name, value in above.items():
        both = isinstance(value, dict) and isinstance(result.get(name), dict)
        result[name] = _overlaid(result[name], value) if both else value
    return result


def _texts(given: Given) -> list[str]:
    if isinstance(given.value, dict):
        return [text for name, item in given.value.items() for text in [name, *_texts(item)]]
    if isinstance(given.value, list):
        return [text for item in given.value for text in _texts(item)]
    return [given.value] if isinstance(given.value, str) else []
