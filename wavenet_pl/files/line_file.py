"""A file that grows line by line and survives a kill at any moment."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from wavenet_pl.errors import UserError
from wavenet_pl.files.foreign import open_file

_LONGEST_LINE = 2**24
_BLOCKS = 2**16, 2**22
"""Bytes of the first look at the end of a file, and of the longest: each is twice as long as the one before."""


class LineFile:
    """Appends lines, each with one write before the call returns: kill -9 loses none.

    (A machine that loses power may lose the last seconds.) The file is opened at the first line; what an earlier
    process left half written at its end goes then, or the next line would continue it and both were lost.

    Args:
        path: the file; created with its folder when the first line comes.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._file: int | None = None

    def append(self, line: bytes) -> None:
        """Write a line, which ends with a newline.

        Raises:
            OSError: it cannot be written; the disk may be full. The file is as it was.
            UserError: it is a link: a run folder from elsewhere would write into files of ours.
        """
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.is_symlink():
                raise UserError(f"{self.path} is a link, expected a file of the run's own; move it away")
            self._file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
            os.ftruncate(self._file, sum(len(line) + 1 for line in whole_lines(self.path)))
        end = os.fstat(self._file).st_size
        try:
            written = os.write(self._file, line)
            while written < len(line):  # a full disk or a signal may take a part only
                written += os.write(self._file, line[written:])
        except OSError:
            os.ftruncate(self._file, end)
            raise

    def close(self) -> None:
        """Close the file; a later line opens it again."""
        if self._file is not None:
            os.close(self._file)
        self._file = None


def whole_lines(path: str | os.PathLike[str]) -> Iterator[bytes]:
    """The lines of a file one by one, without their newlines; what follows the last newline was not written to its end.

    Raises:
        OSError: it cannot be read, or has a line of more than 16 MiB.
    """
    with open_file(path) as file:
        while (line := file.readline(_LONGEST_LINE)).endswith(b"\n"):
            yield line[:-1]
    if len(line) == _LONGEST_LINE:
        raise OSError(errno.EFBIG, f"it has a line of more than {_LONGEST_LINE} bytes", os.fspath(path))


def lines_from_end(path: str | os.PathLike[str], mark: bytes, limit: int) -> Iterator[bytes]:
    """The whole lines that have these bytes in them, the last one first. What has them not is hardly looked at.

    Args:
        path: the file.
        mark: without a newline.
        limit: bytes before the end of the file, beyond which no line is looked for.
    """
    with open_file(path) as file:
        end = file.seek(0, os.SEEK_END)
        farthest, begun, torn = max(0, end - limit), b"", True
        size, longest = _BLOCKS
        while end > farthest:
            start = max(farthest, end - size)
            file.seek(start)
            begun, newline, text = (file.read(end - start) + begun).partition(b"\n")
            if torn and newline:
                text, torn = text[: text.rfind(b"\n") + 1], False
            if mark in text:
                yield from (line for line in reversed(text.split(b"\n")) if mark in line)
            end, size = start, min(2 * size, longest)
        if farthest == 0 and not torn and mark in begun:
            yield begun
