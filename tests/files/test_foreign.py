"""Files and names from elsewhere: pipes do not make us wait, nothing is read beyond its bound, nothing obeys a name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wavenet_pl.files.foreign import open_file, printable, read_file


def test_a_regular_file_is_read_by_itself_and_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    for name in ("file", "link"):
        with open_file(tmp_path / name) as file:
            assert file.read() == b"content" and file.readable() and not file.writable()
        assert read_file(tmp_path / name, 7) == b"content"


@pytest.mark.timeout(20)
def test_a_pipe_and_a_device_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    for name in ("pipe", "device"):
        with pytest.raises(OSError, match="it is a pipe or a device, and no file"):
            open_file(tmp_path / name)


def test_a_folder_and_nothing_are_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        open_file(tmp_path)
    with pytest.raises(FileNotFoundError):
        open_file(tmp_path / "missing")


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(10):
        with pytest.raises(OSError, match="a pipe"):
            open_file(tmp_path / "pipe")
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_larger_file_than_expected_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    with pytest.raises(OSError, match="it is larger than 6 bytes"):
        read_file(tmp_path / "file", 6)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Grüße, 日本語 100 %", "Grüße, 日本語 100 %"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("two\nlines\r", "two\\nlines\\r"),
        ("\u202etxt.exe", "\\u202etxt.exe"),
        ("\udcff", "\\udcff"),
    ],
)
def test_what_a_terminal_would_obey_is_spelled_out(text: str, shown: str) -> None:
    assert printable(text) == shown
