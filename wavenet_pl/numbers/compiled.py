"""Compiled loops, kept between runs in a folder of the user's own that belongs to their very source code.

Compiling takes a while. numba's own cache looks at the age of one file, so that it would not see a change in another
one, and has no place where neither the package nor the home folder can be written; the folder here avoids both.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

Kernel = Callable[..., Any]
OPTIONS: dict[str, Any] = {"error_model": "numpy", "nogil": True}
"""Of everything that is compiled."""


def load_kernel(function: Kernel, sources: Sequence[ModuleType], warm_up: Callable[[Kernel], None]) -> Kernel:
    """A function, compiled.

    Args:
        function: the loop.
        sources: modules with all that it is made of.
        warm_up: calls it with nothing to do, so that it is compiled for such arguments, or read from the folder. Where
            that fails, the folder is thrown away.
    """
    folder = cache_folder(sources)
    try:
        warm_up(_kernel(function, folder))
    except Exception:  # a damaged file fails in any way; a fault of ours fails again below
        if folder is None:
            raise
        shutil.rmtree(folder, ignore_errors=True)
        folder = None
        warm_up(_kernel(function, folder))
    return _kernel(function, folder)


def cache_folder(sources: Sequence[ModuleType]) -> Path | None:
    """Where compiled code is kept; None where it cannot be, or where others could put theirs."""
    import numba

    texts = [Path(module.__file__).read_bytes() for module in sources if module.__file__]
    versions = f"{numba.__version__} {sys.version}".encode()
    digest = hashlib.sha256(b"".join([*texts, versions])).hexdigest()[:16]
    return users_folder(f"kernels-{digest}")


def users_folder(name: str) -> Path | None:
    """A folder of the user's own for what takes long to make; None where it cannot be, or where others could write."""
    try:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(base) / "wavenet-pl" / name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except (OSError, RuntimeError):
        return None
    ours = status.st_uid == os.getuid() and not status.st_mode & 0o022
    return folder if ours and os.access(folder, os.W_OK) else None


@functools.cache
def _kernel(function: Kernel, folder: Path | None) -> Any:
    import numba

    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = "" if folder is None else str(folder)
    try:
        return numba.njit(cache=folder is not None, **OPTIONS)(function)
    finally:
        numba.config.CACHE_DIR = before
