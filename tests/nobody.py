"""Somebody without rights, for tests that may be run by root."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

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
