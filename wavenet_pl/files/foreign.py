"""Files and names that anyone may have written: opened without waiting, read up to a bound, shown without tricks."""

from __future__ import annotations

import errno
import os
import stat
from typing import BinaryIO


def open_file(path: str | os.PathLike[str]) -> BinaryIO:
    """A regular file, for reading. A pipe, which would wait for ever, and a device, which never ends, are refused.

    Raises:
        OSError: it is not there, cannot be read, or is no regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    raise OSError(errno.EINVAL, "it is a pipe or a device, and no file", os.fspath(path))


def read_file(path: str | os.PathLike[str], limit: int) -> bytes:
    """The whole of a regular file that should have at most `limit` bytes.

    Raises:
        OSError: as `open_file`, or it is larger.
    """
    with open_file(path) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"it is larger than {limit} bytes", os.fspath(path))
    return content


def printable(text: str) -> str:
    """Text in which control characters are spelled out: no name moves the cursor or looks like a second line."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
