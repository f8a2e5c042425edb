"""A file that grows line by line and survives a kill at any moment."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from wavenet_pl.errors import UserError
from wavenet_pl.files.foreign import open_file

_LONGEST_LINE = 2**24


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
