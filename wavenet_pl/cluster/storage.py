"""Where a job's files lie: on what all nodes see, and with room for what is to come."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from wavenet_pl.cluster.plan import Step, Training
from wavenet_pl.runs.folder import list_checkpoints
from wavenet_pl.runs.machine import GIB, disk_room
from wavenet_pl.runs.versions import Finding
from wavenet_pl.shards.shard_set import paths_of

_OWN = ("tmpfs", "devtmpfs", "ramfs", "overlay")
"""Kinds of file systems that one machine has for itself."""
_OWN_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm", "/run", "/scratch/local", "/local")


def check_folders(step: Step) -> Iterator[Finding]:
    """Whether all nodes see the run folders, the data and the interpreter, and the checkpoints have room."""
    runs = step.job.records.parent
    nearest = next(folder for folder in (runs, *runs.parents) if os.path.isdir(folder))
    room = disk_room(str(nearest), shutil.disk_usage(nearest).free, writable=os.access(nearest, os.W_OK))
    option = "--runs" if step.trainings else "folder"
    yield Finding(room.level, option, room.state, room.advice)
    needed = sum(_needed(training) for training in step.trainings)
    if needed > (free := shutil.disk_usage(nearest).free):
        state = f"{free / GIB:.1f} GiB free, and the checkpoints take {needed / GIB:.1f}"
        yield Finding("fail", option, state, "make room, or lower train.keep_last and train.keep_best")
    folders: list[tuple[str, str]] = [
        (option, str(nearest)),
        ("folder", str(step.job.folder)),
        ("python", sys.prefix),
    ]
    if step.trainings and step.trainings[0].shard_set is not None:
        paths = paths_of(step.trainings[0].config.data.path)
        folders += [("data.path", path) for path in paths if "://" not in path]
    for subject, path in folders:
        if reason := own_to_machine(path):
            remedy = {"python": "install it on", "folder": "submit from"}.get(subject, f"put {subject} on")
            state = f"{path} is {reason}: other nodes may not see it"
            yield Finding(
                "warn", subject, state, f"{remedy} a file system that all nodes share; the job makes sure"
            )


def own_to_machine(path: str) -> str | None:
    """Why a folder is likely to be on this machine alone; None where it is not."""
    real = Path(path).resolve()
    if folder := next((each for each in _OWN_FOLDERS if real.is_relative_to(each)), None):
        return f"in {folder}"
    kind = _kind(real)
    return f"on {kind}" if kind in _OWN else None


def _kind(path: Path) -> str:
    """The kind of file system below a path, as /proc/mounts says."""
    best, kind = 0, ""
    try:
        lines = Path("/proc/mounts").read_text().splitlines()
    except OSError:
        return ""
    for line in lines:
        mount_point, mounted_kind = line.split()[1:3]
        if path.is_relative_to(mount_point) and len(mount_point) >= best:
            best, kind = len(mount_point), mounted_kind
    return kind


def _needed(training: Training) -> int:
    """Bytes of the checkpoints that are to come, by one that there is; 0 where there is none."""
    paths = list_checkpoints(training.run) if training.run is not None else []
    kept = training.config.train.keep_last + training.config.train.keep_best + 1
    return max(0, kept - len(paths)) * max((path.stat().st_size for path in paths), default=0)
