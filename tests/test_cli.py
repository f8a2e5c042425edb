"""The command line: help at once, one message for a mistake, and an exit code that says how it ended."""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from wavenet_pl import cli
from wavenet_pl.errors import BadDataError, UserError

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.cold("what each command imports")
HEAVY = ("torch", "lightning", "numpy", "omegaconf", "yaml", "wandb", "matplotlib")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "wavenet_pl", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A small command in the table, whose `main` a test may replace."""
    module = ModuleType("small_command")

    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("files", nargs="*")
        parser.add_argument("--fresh", action="store_true", help="start over")

    def main(args: argparse.Namespace) -> int:
        print(args.files, args.fresh)
        return 0

    module.add_arguments, module.main = add_arguments, main  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "small_command", module)
    monkeypatch.setitem(cli.COMMANDS, "small", ("small_command", "do something small"))
    return module


def ends_with(command: ModuleType, error: BaseException) -> int:
    def main(args: argparse.Namespace) -> int:
        raise error

    command.main = main  # type: ignore[attr-defined]
    return cli.main(["small"])


# --- its end ---


def test_nothing_searches_the_modules_of_a_process_before_it_ends() -> None:
    program = (
        "import atexit, gc, sys; atexit.register(lambda: print(gc.get_freeze_count() > 0))\n"
        "from wavenet_pl.cli import main; sys.argv[1:] = ['--version']; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "True"


# --- help ---


def test_help_says_in_one_line_what_each_command_is_for() -> None:
    done = run("--help")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    for name, (_, purpose) in cli.COMMANDS.items():
        assert any(line.split() == [name, *purpose.split()] for line in lines), name
        assert len(purpose) <= 80
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["trian"]])
def test_nothing_heavy_is_imported_before_a_command_is_known(arguments: list[str]) -> None:
    program = (
        "import sys; from wavenet_pl import cli\n"
        "try: cli.main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        f"assert not set({HEAVY!r}) & set(sys.modules), sorted(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=ROOT, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_each_command_explains_its_options(capsys: pytest.CaptureFixture[str], command: ModuleType) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["small", "--help"])
    assert caught.value.code == 0
    said = capsys.readouterr().out
    assert "Do something small." in said
    assert "start over" in said


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_option_of_every_command_has_help(name: str) -> None:
    module = importlib.import_module(cli.COMMANDS[name][0])
    parser = cli.Parser(prog=name)
    module.add_arguments(parser)
    mute = [action.dest for action in parser._actions if not action.help]
    assert not mute


def test_without_a_command_it_shows_the_help_and_exits_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    assert "prepare" in capsys.readouterr().out


def test_version_is_one_line() -> None:
    done = run("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("wavenet-pl ")
    assert done.stdout.count("\n") == 1


# --- mistakes in the arguments ---


def test_a_wrong_command_is_answered_with_the_nearest_one() -> None:
    done = run("trian")
    assert done.returncode == 2
    assert done.stderr.startswith("wavenet-pl: error: 'trian' is no command, expected one of prepare, ")
    assert done.stderr.endswith("did you mean train?\n")


@pytest.mark.parametrize("arguments", [["--fersh"], ["a", "--fersh", "b"], ["--fresh=1", "--nonsense"]])
def test_a_wrong_option_is_one_message(
    capsys: pytest.CaptureFixture[str], command: ModuleType, arguments: list[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["small", *arguments])
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("wavenet-pl small: error: ")
    assert said.endswith("see `wavenet-pl small --help`\n")
    assert said.count("\n") == 1
    assert ("did you mean --fresh?" in said) == ("--fersh" in arguments)


def test_options_may_stand_between_files(capsys: pytest.CaptureFixture[str], command: ModuleType) -> None:
    assert cli.main(["small", "a", "--fresh", "b=1"]) == 0
    assert capsys.readouterr().out == "['a', 'b=1'] True\n"


def test_options_are_not_abbreviated(command: ModuleType) -> None:
    with pytest.raises(SystemExit):
        cli.main(["small", "--fre"])


# --- exit codes ---


@pytest.mark.parametrize(("error", "code"), [(UserError, 2), (BadDataError, 3)])
def test_a_named_error_is_its_message_alone(
    capsys: pytest.CaptureFixture[str], command: ModuleType, error: type[Exception], code: int
) -> None:
    assert ends_with(command, error("found 1, expected 2; write 2")) == code
    assert capsys.readouterr().err == "wavenet-pl small: error: found 1, expected 2; write 2\n"


def test_a_message_shows_no_password_and_obeys_no_name(
    capsys: pytest.CaptureFixture[str], command: ModuleType
) -> None:
    ends_with(command, UserError("https://me:word@host/\x1b[2K is wrong\nhttps://host is right"))
    said = capsys.readouterr().err.removeprefix("wavenet-pl small: error: ")
    assert said == "https://[redacted]@host/\\x1b[2K is wrong\nhttps://host is right\n"


@pytest.mark.parametrize("error", [ValueError("plain"), RuntimeError("x"), OSError("x"), AssertionError()])
def test_anything_else_is_a_bug_with_a_traceback(
    capsys: pytest.CaptureFixture[str], command: ModuleType, error: Exception
) -> None:
    assert ends_with(command, error) == 1
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert type(error).__name__ in said
    assert "this is a bug of ours" in said.splitlines()[-1]


def test_ctrl_c_is_one_line_and_130(capsys: pytest.CaptureFixture[str], command: ModuleType) -> None:
    assert ends_with(command, KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == "wavenet-pl small: interrupted\n"


@pytest.mark.parametrize("code", [0, 2, 85, 143])
def test_the_code_of_a_command_is_handed_on(command: ModuleType, code: int) -> None:
    command.main = lambda args: code  # type: ignore[attr-defined]
    assert cli.main(["small"]) == code


def test_a_reader_who_left_is_no_error() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)  # as in `wavenet-pl --version | true`
    done = subprocess.run(
        [sys.executable, "-m", "wavenet_pl", "--version"],
        cwd=ROOT,
        stdout=write_end,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write_end)
    assert (done.returncode, done.stderr) == (141, "")
