"""Work that goes on where nobody reads what it writes."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import suppress

import pytest

from wavenet_pl.files.standard_streams import readers_may_leave

BEGIN = (
    "import os, sys",
    "from wavenet_pl.files.standard_streams import drop_unwritten, readers_may_leave",
    "def speak(stream):",
    "    for _ in range(3):",
    "        print('x' * 5_000, file=stream)",
    "        stream.flush()",
)


@pytest.mark.cold("what the interpreter does at its end")
@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_an_exit_code_stays_where_nobody_reads_a_stream(name: str) -> None:
    """Without that the interpreter would exit with 120, as it cannot write what the stream still holds."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    lines = (f"with readers_may_leave(): speak(sys.{name})", "drop_unwritten()", "raise SystemExit(85)")
    streams: dict[str, int] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, name: write_end}
    done = subprocess.run([sys.executable, "-c", "\n".join([*BEGIN, *lines])], check=False, **streams)
    os.close(write_end)
    assert done.returncode == 85


def test_what_is_read_is_written_and_the_streams_are_the_old_ones_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = sys.stdout, sys.stderr
    with suppress(KeyboardInterrupt), readers_may_leave():
        print("result")
        print("news", file=sys.stderr)
        assert sys.stdout.isatty() is before[0].isatty()
        raise KeyboardInterrupt
    assert (sys.stdout, sys.stderr) == before
    assert capsys.readouterr() == ("result\n", "news\n")


def test_a_stream_that_was_closed_stays_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of `wavenet-pl train ... >&-`."""
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with readers_may_leave():
        print("nobody hears this")
        print("but this", file=sys.stderr)
    assert sys.stderr.getvalue() == "but this\n"  # type: ignore[attr-defined]
