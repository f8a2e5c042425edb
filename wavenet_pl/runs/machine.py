"""The machine of a run: its cores, the room on its disk, and whose it is."""

from __future__ import annotations

import getpass
import os
import socket

from wavenet_pl.runs.versions import Finding

GIB = 2**30


def usable_cores() -> int:
    """Cores that this process may run on, which a job's limits may make fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def identity(folder: str | os.PathLike[str]) -> dict[str, str]:
    """Whose machine it is, for trackers of those who ask for it: host, user, and where a run lies."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a number without a name, as in a container
        user = str(os.getuid())
    return {"host": socket.gethostname(), "user": user, "folder": os.path.abspath(folder)}


def disk_room(path: str, free: int, *, writable: bool) -> Finding:
    """Judges the free bytes at a path."""
    state = f"{free / GIB:.1f} GiB free at {path}"
    if not writable:
        return Finding("fail", "disk", f"{path} cannot be written to", "go to a folder of your own")
    if free < GIB:
        return Finding("fail", "disk", state, "make room: checkpoints and clips need 1 GiB at the least")
    if free < 10 * GIB:
        return Finding("warn", "disk", state, "lower train.keep_last, or run where there is more room")
    return Finding("ok", "disk", state)
