"""The page names for each promise what shows it, and each of these is there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/reliability.md"
TABLES = {
    "Stopping and going on": "test_stopping.py",
    "Checkpoints": "test_checkpoints.py",
    "Numbers and data": "test_numbers.py",
    "Tracking": "test_tracking.py",
    "Files from elsewhere": "test_foreign_files.py",
}
"""Heading -> the file of its promises."""


def rows(heading: str) -> list[str]:
    """What stands in the table's last column."""
    section = PAGE.read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [line.strip("| ").split(" | ")[-1] for line in lines]


COMMANDS = sorted(
    {command for heading in TABLES for row in rows(heading) for command in re.findall("`([^`]+)`", row)}
)


def test_each_table_has_a_file_of_its_own() -> None:
    files = {path.name for path in Path(__file__).parent.glob("test_*.py")} - {Path(__file__).name}
    assert files == set(TABLES.values())
    for heading, file in TABLES.items():
        assert rows(heading) and any(file in row for row in rows(heading)), heading


@pytest.mark.parametrize("heading", TABLES)
def test_each_promise_has_something_that_shows_it(heading: str) -> None:
    assert all("`" in row or row.startswith("the same") for row in rows(heading))


@pytest.mark.slow
@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("python ")])
def test_scripts_that_the_page_names_are_there(command: str) -> None:
    _, script, *arguments = shlex.split(command)
    help_text = subprocess.run(
        [sys.executable, "-m", script.removesuffix(".py").replace("/", "."), "--help"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert all(argument in help_text for argument in arguments if argument.startswith("-"))


@pytest.mark.slow
def test_tests_that_the_page_names_are_there() -> None:
    commands = [command for command in COMMANDS if not command.startswith("python ")]
    assert all(command.startswith("pytest ") for command in commands), "a script of benchmarks, or tests"
    program = (
        "import shlex, sys, pytest\n"
        "for command in sys.argv[1:]:\n"
        "    _, *arguments = shlex.split(command)\n"
        "    print('code', int(pytest.main(['--collect-only', '-q', '-n', '0', *arguments])))\n"
    )
    listed = subprocess.run(
        [sys.executable, "-c", program, *commands], cwd=ROOT, capture_output=True, text=True, check=True
    )
    *found, rest = re.split(r"^code (?=\d)", listed.stdout, flags=re.MULTILINE)
    codes = [int(text.split()[0]) for text in [*found[1:], rest]]
    assert dict(zip(commands, codes, strict=True)) == dict.fromkeys(commands, 0), listed.stdout[-2000:]
