"""Files that are whole and on disk, or not there: a kill, a full disk or a power cut leaves the old or the new one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def beside(path: Path) -> Path:
    """Where this process writes a file before it takes the path's place."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A new file, to be written and read back, that takes the path's place when the block ends.

    It is written beside its target, so that taking the place is one rename, and is durable before that. Where the block
    raises, the path is as it was and nothing is left behind.

    The folder is made if it is not there.

    Yields:
        The open file, for reading and writing.

    Raises:
        OSError: it cannot be written; the disk may be full.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = beside(path)
    try:
        with open(temporary, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        error.filename = error.filename or str(path)  # a full disk does not say for whom
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_durably(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write a whole file, as `replacing` does; text as UTF-8."""
    with replacing(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
