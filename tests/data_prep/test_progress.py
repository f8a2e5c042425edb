"""Progress: the time left, in lines where nobody watches and as a bar where somebody does."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from data_prep.progress import Progress

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("command", ["prepare", "adapt"])
def test_lines_say_how_much_is_done_and_left(capsys: pytest.CaptureFixture[str], command: str) -> None:
    moments = iter([100.0, 105.0, 110.0, 111.0, 4_120.0])
    with Progress(total=1_000, done=200, clock=lambda: next(moments), command=command) as bar:
        for done in (300, 400, 410, 600):
            bar.show(done)
    # 200 recordings took 10 s, so 600 take 30; what an earlier run did is not counted as speed
    assert capsys.readouterr().err.splitlines() == [
        f"{command}: 400 of 1000 recordings, 40 %, 0:30 left",
        f"{command}: 600 of 1000 recordings, 60 %, 1:07:00 left",
    ]


def test_a_terminal_gets_a_bar() -> None:
    program = (
        "from data_prep.progress import Progress\n"
        "with Progress(total=40) as bar:\n"
        "    bar.show(20)\n"
        "    bar.show(40)\n"
    )
    ours, theirs = pty.openpty()
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, stderr=theirs, check=True)
    shown = os.read(ours, 10_000).decode()
    os.close(ours)
    os.close(theirs)
    assert "40/40" in shown
    assert "time left" in shown
