"""Progress: the time left, in lines where nobody watches and as a bar where somebody does."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from wavenet_pl.progress import Progress, duration

ROOT = Path(__file__).resolve().parents[1]


class Clock:
    """Tells the moments of a list; its last one from then on."""

    def __init__(self, *moments: float) -> None:
        self._moments: Iterator[float] = iter(moments)
        self._now = 0.0

    def __call__(self) -> float:
        return self._now

    def tick(self) -> None:
        """The next moment."""
        self._now = next(self._moments)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0:00"), (59.6, "1:00"), (450, "7:30"), (4050, "1:07:30"), (172_799, "47:59:59"), (360_000, "4.2 days")],
)  # fmt: skip
def test_durations_are_written_one_way(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_a_log_gets_a_line_now_and_then_with_what_is_left() -> None:
    log, clock = io.StringIO(), Clock(5, 10, 11, 4_020)
    with Progress("prepare", 1_000, done=200, unit="recordings", stream=log, clock=clock) as progress:
        for done in (300, 400, 410, 600):
            clock.tick()
            progress.update(done)
    # 200 recordings took 10 s, so 600 take 30; what an earlier start did is not counted as speed
    assert log.getvalue().splitlines() == [
        "prepare: 400 of 1,000 recordings (40 %)   0:30 left",
        "prepare: 600 of 1,000 recordings (60 %)   1:07:00 left",
    ]


def test_without_a_unit_there_is_a_share_and_without_a_total_no_end() -> None:
    log, clock = io.StringIO(), Clock(20, 40)
    with Progress("scoring", stream=log, clock=clock) as progress:
        clock.tick()
        progress.update(0.25, "of the split")
    with Progress("training", None, unit="steps", stream=log, clock=clock) as progress:
        clock.tick()
        progress.update(1_234, "bits 3.1")
    assert log.getvalue().splitlines() == [
        "scoring: 25 %   of the split   1:00 left",
        "training: 1,234 steps   bits 3.1",
    ]


def test_at_once_is_at_once_and_a_stage_is_for_terminals_only() -> None:
    log = io.StringIO()
    with Progress("work", 10, unit="pieces", decimals=1, stream=log, clock=Clock()) as progress:
        progress.update(1, stage="a part", at_once=True)
        progress.update(2)
        assert log.getvalue() == ""
        progress.update(2.5, at_once=True)
    assert log.getvalue() == "work: 2.5 of 10.0 pieces (25 %)   0:00 left\n"


def test_the_pace_is_that_since_it_was_measured_from() -> None:
    log, clock = io.StringIO(), Clock(100, 110)
    with Progress("work", 10, unit="pieces", stream=log, clock=clock) as progress:
        clock.tick()
        progress.update(1)
        progress.measure_from(1)  # the first piece took long and says nothing of the others
        clock.tick()
        progress.update(2)
    assert log.getvalue().splitlines()[-1] == "work: 2 of 10 pieces (20 %)   1:20 left"


@pytest.mark.cold("it imports next to nothing")
@pytest.mark.parametrize("ending", ["pass", "raise SystemExit(3)"])
def test_a_terminal_gets_one_bar_and_its_cursor_back(ending: str) -> None:
    program = (
        "from wavenet_pl.progress import Progress\n"
        "with Progress('[bold]', 40, unit='recordings') as bar:\n"
        "    bar.update(20, '[red]', at_once=True)\n"
        "    bar.update(40, at_once=True)\n"
        f"    {ending}\n"
    )
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, stderr=theirs, env=environment, check=False)
    shown = os.read(ours, 10_000).decode()
    os.close(ours)
    os.close(theirs)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert "40 of 40 recordings" in plain
    assert "0:00 left" in plain
    assert "[red]" in plain, "names are no markup"
    assert "[bold]" in plain
    assert shown.rstrip().endswith("\x1b[?25h")


def test_a_terminal_that_cannot_move_its_cursor_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    class Dumb(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "dumb")
    stream = Dumb()
    with Progress("work", 2, unit="pieces", stream=stream) as progress:
        progress.update(1, at_once=True)
    assert stream.getvalue().startswith("work: 1 of 2 pieces (50 %)")
    assert "\x1b" not in stream.getvalue()
