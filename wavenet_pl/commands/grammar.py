"""The commands: where each lives, what it is for, and how its arguments are read."""

from __future__ import annotations

import argparse
import importlib
import math
import os
from collections import deque
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from wavenet_pl.errors import ExitCode, UserError, did_you_mean
from wavenet_pl.files.durable import beside

PROGRAM = "wavenet-pl"
TRAINED = (
    "a run, a checkpoint, an export, an adaptation, or pretrained:NAME (`wavenet-pl models` lists those)"
)
"""What a trained model may be named by, for the help of commands that take one."""
COMMANDS = {
    "prepare": (
        "wavenet_pl.commands.prepare",
        "turn a corpus of recordings into shards with an index and a report",
    ),
    "index": ("wavenet_pl.commands.index", "check shards that someone else wrote, and write their index"),
    "train": ("wavenet_pl.commands.train", "train a model from a config, or go on with the run it began"),
    "generate": ("wavenet_pl.commands.generate", "make clips to listen to from a trained model"),
    "adapt": ("wavenet_pl.commands.adapt", "teach a trained model a new speaker from a folder of recordings"),
    "evaluate": (
        "wavenet_pl.commands.evaluate",
        "say how good a trained model is, in numbers and on a page to listen to",
    ),
    "analyze": (
        "wavenet_pl.commands.analyze",
        "look into a trained model: what each layer hears, beside controls, on a page",
    ),
    "listen": (
        "wavenet_pl.commands.listen",
        "write a page on which models, temperatures and engines are heard side by side",
    ),
    "export": (
        "wavenet_pl.commands.export",
        "write a trained model as safetensors with a model card, to give to others",
    ),
    "models": ("wavenet_pl.commands.models", "list the trained models that come with the project"),
    "slurm": ("wavenet_pl.commands.slurm", "send what works on data or models to a cluster, and follow it"),
    "doctor": ("wavenet_pl.commands.doctor", "check this machine and installation, and say what to do"),
}
"""Command -> module with `add_arguments(parser)` and `main(args) -> int`, and what it is for."""


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one message with the nearest option."""

    def error(self, message: str) -> NoReturn:
        unknown = message.removeprefix("unrecognized arguments: ").split()[0] if message else ""
        options = [option for action in self._actions for option in action.option_strings]
        if message.startswith("unrecognized arguments: ") and unknown.startswith("-"):
            message += did_you_mean(unknown.split("=")[0], options)
        self.exit(ExitCode.USER, f"{self.prog}: error: {message}; see `{self.prog} --help`\n")


def page_folder(run: str, out: str | None, name: str) -> Path:
    """The folder that the page of a run goes to, made before the work that it is for.

    Args:
        run: as it was named.
        out: that was asked for; None for one in the run.
        name: of the one in the run.

    Raises:
        UserError: the run is not there, or is no folder; or the page's cannot be made, or may not be written to.
    """
    from wavenet_pl.runs.released import find_model

    find_model(run)
    if out is None and not os.path.isdir(run):
        raise UserError(f"{run} is no folder that the page could go to; name one with --out")
    folder = Path(run) / name if out is None else Path(out)
    try:
        make_writable(folder)
    except OSError as error:
        raise UserError(
            f"--out {folder} cannot be made or written to ({error.strerror}); name another folder"
        ) from None
    return folder


def make_writable(folder: str | os.PathLike[str]) -> None:
    """Make a folder if it is not there, and see that files can be made in it.

    Raises:
        OSError: they cannot.
    """
    os.makedirs(folder, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OSError(0, "the folder may not be written to")


def file_to_write(option: str, name: str) -> Path:
    """A file that a command writes at its end; its folder is made before the work that it is for.

    Args:
        option: that names it.
        name: as it was given.

    Raises:
        UserError: it could not be written.
    """
    path = Path(name)
    try:
        make_writable(path.parent)
        if path.is_dir():
            raise OSError(0, "it is a folder")
        with suppress(FileNotFoundError):
            os.lstat(beside(path))  # a name that is as long as can be leaves no room for that one
    except OSError as error:
        raise UserError(
            f"{option} {path} cannot be written ({error.strerror}), expected the name of a file; name another one"
        ) from None
    return path


def command_module(name: str) -> ModuleType:
    """The module of a command.

    Raises:
        UserError: there is no such command.
    """
    if name not in COMMANDS:
        raise UserError(
            f"{name!r} is no command, expected one of {', '.join(COMMANDS)}{did_you_mean(name, COMMANDS)}"
        )
    return importlib.import_module(COMMANDS[name][0])


def parse(parser: argparse.ArgumentParser, arguments: list[str]) -> argparse.Namespace:
    """Lets options stand between CONFIG and key=value arguments, where the command has no sub-commands."""
    try:
        return parser.parse_intermixed_args(_without_hyphens(parser, arguments))
    except TypeError:  # argparse's word for "this parser cannot"
        return parser.parse_args(arguments)


def _without_hyphens(parser: argparse.ArgumentParser, arguments: list[str]) -> list[str]:
    """Settings that are written as options become key=value, as `train` takes them.

    Sweep agents write --optim.lr=0.002, --optim.lr 0.002 and, for true, --train.compile.
    """
    if not any(action.dest == "settings" for action in parser._actions):
        return arguments
    from wavenet_pl.config.tree import Config

    sections = Config.__dataclass_fields__.keys()
    options = {option for action in parser._actions for option in action.option_strings}
    left, plain = deque(arguments), []
    while left:
        argument = left.popleft()
        name, equals, value = argument.removeprefix("--").partition("=")
        if not argument.startswith("--") or f"--{name}" in options or name.split(".")[0] not in sections:
            plain.append(argument)
            continue
        if not equals:
            value = "true" if not left or left[0].startswith("--") else left.popleft()
        plain.append(f"{name}={value}")
    return plain


def positive(text: str) -> float:
    """The type of options that are lengths."""
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no length, expected a number above 0")
    return value
