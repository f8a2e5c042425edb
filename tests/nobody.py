"""Somebody without rights, and what is somebody else's, for tests that may be run by root."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NOBODY = 65_534


@contextmanager
def as_nobody() -> Iterator[None]:
    """Read and write as one who may do only what everybody may; where that is not root, as who it is.

    The folders above the working directory may be closed to everybody, as those of pytest are: paths begin there.
    """
    if is_root := os.geteuid() == 0:
        os.setresuid(_NOBODY, _NOBODY, 0)
    try:
        yield
    finally:
        if is_root:
            os.setresuid(0, 0, 0)


@contextmanager
def not_ours(*paths: Path, mode: int = 0) -> Iterator[None]:
    """What nobody may do by its mode, this process may not do, root's either.

    Args:
        paths: files or folders, named from the working directory.
        mode: of them.
    """
    before = {path: path.stat().st_mode for path in paths}
    os.chmod(os.curdir, 0o755)
    for path in paths:
        path.chmod(mode)
    try:
        with as_nobody():
            yield
    finally:
        for path in paths:
            path.chmod(before[path])
