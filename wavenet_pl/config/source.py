"""What the user wrote: YAML files and key=value arguments, read into values that know where they stand."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import yaml

from wavenet_pl.errors import UserError
from wavenet_pl.files.foreign import open_file, printable

MAX_BYTES = 65536  # a config is a short text; more is a data file given by mistake
MAX_DEPTH = 20
TOO_DEEP = f"lists or mappings nested too deeply, expected {MAX_DEPTH} levels at most; write them flat"
COMMAND_LINE = "command line"

_OPENING = (
    yaml.FlowSequenceStartToken,
    yaml.FlowMappingStartToken,
    yaml.BlockSequenceStartToken,
    yaml.BlockMappingStartToken,
)
_CLOSING = (yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken, yaml.BlockEndToken)


@dataclass(frozen=True, kw_only=True)
class Given:
    """One value as the user gave it.

    Attributes:
        value: a scalar, a list of Given or a dict from name to Given.
        text: a scalar as it is written, so that a setting of text can keep 007 or on as they are.
        origin: where it stands, `FILE:LINE` or `command line`.
    """

    value: Any
    text: str | None
    origin: str

    def plain(self, *, as_text: bool = False) -> Any:
        """The value without its marks; with as_text, scalars as they are written."""
        if isinstance(self.value, dict):
            return {name: given.plain(as_text=as_text) for name, given in self.value.items()}
        if isinstance(self.value, list):
            return [given.plain(as_text=as_text) for given in self.value]
        return self.text if as_text and self.text is not None else self.value


class _Loader(yaml.SafeLoader):
    """YAML 1.1 less its surprises: 1e-3 is a number; 010, 12:30:00 and 2024-01-01 are text."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}


class _Dumper(yaml.SafeDumper):
    """Quotes what _Loader would not read back as text."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}


_BOOL = re.compile(r"(?:yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF)$")
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9_]{0,17})$")
_FLOAT = re.compile(
    r"""(?:[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?
        |[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+
        |[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$""",
    re.VERBOSE,
)
_NULL = re.compile(r"(?:~|null|Null|NULL|)$")
for _class in (_Loader, _Dumper):
    _class.add_implicit_resolver("tag:yaml.org,2002:bool", _BOOL, list("yYnNtTfFoO"))
    _class.add_implicit_resolver("tag:yaml.org,2002:int", _INT, list("-+0123456789"))
    _class.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))
    _class.add_implicit_resolver("tag:yaml.org,2002:null", _NULL, ["~", "n", "N", ""])


def read_yaml(text: str, source: str, *, lines: bool = True) -> Given:
    """Reads one YAML document.

    Args:
        text: the document.
        source: what to call it in origins and messages.
        lines: whether origins name the line too.

    Raises:
        UserError: bad syntax, a tag, an anchor, a name given twice, or nesting without end.
    """

    def origin(mark: yaml.Mark) -> str:
        return f"{source}:{mark.line + 1}" if lines else source

    depth = 0
    try:
        for token in yaml.scan(text):
            depth += isinstance(token, _OPENING) - isinstance(token, _CLOSING)
            if depth > MAX_DEPTH:
                raise UserError(f"{origin(token.start_mark)}: {TOO_DEEP}")
            if isinstance(token, yaml.TagToken):
                raise UserError(
                    f"{origin(token.start_mark)}: found a YAML tag (!...), expected plain values; "
                    "remove the tag: a config never makes objects"
                )
            if isinstance(token, (yaml.AnchorToken, yaml.AliasToken)):
                raise UserError(
                    f"{origin(token.start_mark)}: found a YAML anchor or alias (& or *), expected plain "
                    "values; write the value out, or put it in quotes if it is text"
                )
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return Given(value=None, text=None, origin=source)
        return _given(loader, node, origin(node.start_mark), origin)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        location = origin(mark) if mark else source
        problem = error.problem or error.context or "unreadable"
        if "\\t" in problem:
            problem += "; indent with spaces, not tabs"
        advice = "expected `name: value` lines" if lines else "put the value in quotes if it is text"
        raise UserError(f"{location}: not valid YAML: {problem}; {advice}") from None
    except yaml.reader.ReaderError as error:
        raise UserError(
            f"{source}: found the character {error.character!r} at position {error.position}, "
            "expected text; remove it"
        ) from None


def _given(loader: _Loader, node: yaml.Node, location: str, origin: Any) -> Given:
    if isinstance(node, yaml.MappingNode):
        items: dict[str, Given] = {}
        for key, value in node.value:
            key_location = origin(key.start_mark)
            if not isinstance(key, yaml.ScalarNode):
                raise UserError(f"{key_location}: found a list or mapping as a name, expected `name: value`")
            if key.value in items:
                raise UserError(
                    f"{key_location}: {printable(key.value)} is given twice, first at {items[key.value].origin}; "
                    "keep one of the two"
                )
            items[key.value] = _given(loader, value, key_location, origin)
        return Given(value=items, text=None, origin=location)
    if isinstance(node, yaml.SequenceNode):
        return Given(
            value=[_given(loader, item, origin(item.start_mark), origin) for item in node.value],
            text=None,
            origin=location,
        )
    value = loader.construct_object(node)
    return Given(value=value, text=None if value is None else node.value, origin=location)


def read_file(path: Path) -> Given:
    """Reads a YAML file of settings; an empty file gives none.

    Raises:
        UserError: no such file, not a text file, or not a mapping.
    """
    try:
        with open_file(path) as file:
            data = file.read(MAX_BYTES + 1)
    except IsADirectoryError:
        raise UserError(
            f"{path}: found a folder, expected a YAML file; name a file in it, such as {path / 'config.yaml'}"
        ) from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); expected a YAML file") from None
    if len(data) > MAX_BYTES:
        raise UserError(
            f"{path}: larger than {MAX_BYTES // 1024} KiB, expected a short YAML file of settings; "
            "data goes in as data.path=FOLDER"
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UserError(f"{path}:{line}: not UTF-8 text, expected a YAML file; save it as UTF-8") from None
    given = read_yaml(text, str(path))
    if given.value is None:
        return Given(value={}, text=None, origin=str(path))
    if not isinstance(given.value, dict):
        content = "a list" if isinstance(given.value, list) else f"the value {given.value!r}"
        raise UserError(f"{given.origin}: found {content}, expected settings as `name: value` lines")
    return given


def read_assignment(argument: str) -> Given:
    """Reads one `section.name=value` argument; the value is YAML, or None as Python writes null.

    Raises:
        UserError: no `=`, or nothing before it, or a value that is not YAML.
    """
    key, equals, text = argument.partition("=")
    names = key.strip().split(".")
    if not equals or not all(names):
        raise UserError(
            f"{COMMAND_LINE}: found {argument!r}, expected a setting as name=value, such as data.batch_size=8"
        )
    given = read_yaml("null" if text == "None" else text, f"{COMMAND_LINE}: {key}", lines=False)
    given = _relabel(given, COMMAND_LINE)
    for name in reversed(names):
        given = Given(value={name: given}, text=None, origin=COMMAND_LINE)
    return given


def _relabel(given: Given, origin: str) -> Given:
    value = given.value
    if isinstance(value, dict):
        value = {name: _relabel(item, origin) for name, item in value.items()}
    elif isinstance(value, list):
        value = [_relabel(item, origin) for item in value]
    return Given(value=value, text=given.text, origin=origin)


def read_plain(value: Any, origin: str) -> Given:
    """Marks plain Python values (dicts, lists, numbers, text, None), as a checkpoint stores them.

    Raises:
        UserError: any other type, a name that is not text, or values without end.
    """
    # A pickle can hold one list ten times in another, and that ten times again: bytes do not bound what is in them.
    left = iter(range(MAX_BYTES))

    def read(value: Any, depth: int) -> Given:
        if depth > MAX_DEPTH:
            raise UserError(f"{origin}: {TOO_DEEP}")
        if next(left, None) is None:
            raise UserError(f"{origin}: more than {MAX_BYTES} values, expected a short tree of settings")
        if isinstance(value, Mapping):
            for name in value:
                if not isinstance(name, str):
                    raise UserError(f"{origin}: found the name {name!r:.80}, expected text")
            value = {name: read(item, depth + 1) for name, item in value.items()}
        elif isinstance(value, (list, tuple)):
            value = [read(item, depth + 1) for item in value]
        elif not (value is None or type(value) in (bool, int, float, str)):
            raise UserError(
                f"{origin}: found a {type(value).__name__}, expected numbers, text, lists and mappings"
            )
        return Given(value=value, text=None, origin=origin)

    return read(value, 0)


def write_yaml(tree: dict[str, Any]) -> str:
    """YAML that read_yaml turns into the same values."""
    return yaml.dump(tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
