"""Lines that a kill does not lose and a full disk does not tear."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wavenet_pl.files import line_file
from wavenet_pl.files.line_file import LineFile, lines_from_end, whole_lines

ROOT = Path(__file__).parents[2]


def test_what_was_torn_goes_before_the_next_line(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "lines"
    file = LineFile(path)
    file.append(b"one\n")
    file.close()
    with open(path, "ab") as torn:
        torn.write(b"tw")
    assert list(whole_lines(path)) == [b"one"]
    file.append(b"three\n")
    assert path.read_bytes() == b"one\nthree\n"


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.text("ab\n", max_size=40).map(str.encode), limit=st.integers(0, 45))
def test_lines_from_the_end_are_the_whole_lines_backwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, limit: int
) -> None:
    monkeypatch.setattr(line_file, "_BLOCKS", (3, 7))
    path = tmp_path / "lines"
    path.write_bytes(content)
    near = content[max(0, len(content) - limit) :]
    if len(near) < len(content):
        near = near.partition(b"\n")[2]  # a line that begins farther away
    expected = [line for line in near.split(b"\n")[:-1] if b"a" in line]
    assert list(lines_from_end(path, b"a", limit)) == expected[::-1]


@pytest.mark.cold("it imports next to nothing")
def test_a_line_for_which_there_is_no_room_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    """The limit is on the size of a file: as with a full disk, a part of the line can be written."""
    program = (
        "import resource, sys\n"
        "from wavenet_pl.files.line_file import LineFile\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (25, 100))\n"
        "file = LineFile(sys.argv[1])\n"
        "for line in (b'ten bytes\\n', b'ten bytes\\n', b'too long a line\\n', b'four\\n'):\n"
        "    try:\n"
        "        file.append(line)\n"
        "    except OSError as error:\n"
        "        print(line, error.errno)\n"
    )
    path = tmp_path / "lines"
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(r"b'too long a line\n'") and done.stdout.count("\n") == 1
    assert path.read_bytes() == b"ten bytes\nten bytes\nfour\n"
