"""Where the time of `make test` goes: seconds and CPU-seconds of every test, what it started included.

What a fixture costs counts for the test that was the first to need it. Beside it the same figures of an earlier state:

    python benchmarks/test_times.py --json now.json --before before.json -- -m "not gpu"

The figures of a suite that was cut stay in the file, and the tests in it are not run again. CPU-seconds are of pytest's
processes and all that they waited for: not of what the warm starter forked. `test_times.csv` is what `--csv` wrote when
processes of tests began to start warm, and tests to be spread over the cores: 59 minutes one after the other, then 12.
"""

from __future__ import annotations

import csv
import json
import os
import resource
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.records import Records, build_parser, run
from wavenet_pl.errors import UserError

FILE = "WAVENET_PL_TEST_TIMES"
"""The variable that says where pytest's processes add a line for each test."""
TIERS = ("slurm", "soak", "slow")


def cpu_seconds() -> float:
    """Of this process, and of all it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Adds a line for one test: set-up, the test, and what comes after it."""
    began, used = time.monotonic(), cpu_seconds()
    done = yield
    row = {
        "test": item.nodeid,
        "tier": next((tier for tier in TIERS if item.get_closest_marker(tier)), "fast"),
        "seconds": round(time.monotonic() - began, 3),
        "cpu_seconds": round(cpu_seconds() - used, 3),
        "began": round(time.time() - time.monotonic() + began, 1),
        "process": os.getpid(),
    }
    with open(os.environ[FILE], "a", encoding="utf-8") as file:  # one write: workers add to the same file
        file.write(json.dumps(row) + "\n")
    return done


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leaves out what is in the file already."""
    path = Path(os.environ[FILE])
    done = {row["test"] for row in rows_of(path)}
    items[:] = [item for item in items if item.nodeid not in done]


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The rows in a file of lines; none where there is no file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def totals(rows: Sequence[dict[str, Any]]) -> dict[str, tuple[int, float, float]]:
    """Tier, and all -> number of tests, seconds, CPU-seconds."""
    sums = {}
    for tier in ("fast", *TIERS, "all"):
        own = [row for row in rows if tier in (row["tier"], "all")]
        sums[tier] = len(own), sum(row["seconds"] for row in own), sum(row["cpu_seconds"] for row in own)
    return sums


def show(rows: Sequence[dict[str, Any]], before: Sequence[dict[str, Any]], longest: int) -> None:
    """Tiers, then the tests that take longest, each with its share of what it took before."""
    print(f"{'':60s} {'tests':>6s} {'seconds':>9s} {'CPU-s':>9s} {'before':>9s} {'ratio':>6s}")
    earlier = totals(before)
    for tier, (count, seconds, cpu) in totals(rows).items():
        line = f"{tier:60s} {count:6d} {seconds:9.1f} {cpu:9.1f}"
        if earlier[tier][1]:
            line += f" {earlier[tier][1]:9.1f} {seconds / earlier[tier][1]:6.2f}"
        print(line)
    was = {row["test"]: row["seconds"] for row in before}
    for row in sorted(rows, key=lambda row: -row["seconds"])[:longest]:
        line = f"{row['test'].removeprefix('tests/')[-60:]:60s} {'':6s} {row['seconds']:9.1f} {row['cpu_seconds']:9.1f}"
        if was.get(row["test"]):
            line += f" {was[row['test']]:9.1f} {row['seconds'] / was[row['test']]:6.2f}"
        print(line)


def write_csv(rows: Sequence[dict[str, Any]], before: Sequence[dict[str, Any]], path: Path) -> None:
    """All of every tier, and each test that took a second, before or now; a cell is empty where a test is missing."""
    figures = ("seconds", "cpu_seconds")
    was, now = ({row["test"]: row for row in side} for side in (before, rows))
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(
            ["test", "tier", *(f"{when}_{name}" for when in ("before", "now") for name in figures)]
        )
        earlier = totals(before)
        for tier, (count, *now_took) in totals(rows).items():
            took = [round(value, 1) for value in (*earlier[tier][1:], *now_took)]
            table.writerow([f"{earlier[tier][0]} tests, now {count}", tier, *took])
        for test in sorted(was.keys() | now.keys()):
            sides = [side.get(test, {}) for side in (was, now)]
            if any(side.get("seconds", 0) >= 1 for side in sides):
                tier = next(side["tier"] for side in reversed(sides) if side)
                table.writerow([test, tier, *(side.get(name) for side in sides for name in figures)])


def main(args: Namespace) -> int:
    """Runs pytest, or goes on with it, and shows what it took; pytest's own exit code."""
    if args.json is None:
        raise UserError("no file is named, expected one that keeps the figures; name it with --json")
    records = Records(args.json)
    lines = args.json.with_suffix(".lines")
    code = 0
    if not records.rows:
        command = [sys.executable, "-m", "pytest", "-p", "benchmarks.test_times", *args.pytest]
        began = time.monotonic()
        code = subprocess.run(command, env={**os.environ, FILE: str(lines.resolve())}, check=False).returncode
        print(f"pytest took {time.monotonic() - began:.0f} s")
        records.rows = rows_of(lines)
        args.json.write_text(json.dumps(records.rows, indent=0) + "\n", encoding="utf-8")
        lines.unlink(missing_ok=True)
    before = Records(args.before).rows if args.before else []
    show(records.rows, before, args.longest)
    if args.csv:
        write_csv(records.rows, before, args.csv)
    return code


if __name__ == "__main__":
    parser = build_parser("Seconds and CPU-seconds of every test.")
    parser.add_argument("--before", type=Path, metavar="FILE", help="what to compare with")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="where the comparison is written as a table")
    parser.add_argument(
        "--longest", type=int, default=40, metavar="N", help="how many tests are named (%(default)s)"
    )
    parser.add_argument("pytest", nargs="*", help="arguments of pytest, after --")
    run(main, parser.parse_args())
