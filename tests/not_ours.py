"""Files and folders of somebody else, as far as one process can tell, whoever it is of."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NOBODY = 65534


@contextmanager
def not_ours(*paths: Path, mode: int = 0) -> Iterator[None]:
    """What nobody may do by its mode, this process may not do, root's either.

    Args:
        paths: below the current folder, from where they have to be named: the folders above that one may be closed.
        mode: of them.
    """
    before, user = {path: path.stat().st_mode for path in paths}, os.getresuid()
    os.chmod(os.curdir, 0o755)
    for path in paths:
        path.chmod(mode)
    if os.geteuid() == 0:
        os.setresuid(_NOBODY, _NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(*user)
        for path in paths:
            path.chmod(before[path])
