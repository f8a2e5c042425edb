"""The folder of a run: its name, what lies in it, and how the same command finds it again."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import logging
import os
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from wavenet_pl.config.source import write_yaml
from wavenet_pl.config.tree import Config, to_plain
from wavenet_pl.errors import UserError
from wavenet_pl.files.durable import write_durably
from wavenet_pl.files.foreign import read_file
from wavenet_pl.files.redaction import redact, redact_text
from wavenet_pl.runs.git import own_code, read_checkout
from wavenet_pl.runs.versions import installed_versions

_log = logging.getLogger(__name__)

_SIGNED_TRAINER = ("precision", "gradient_clip_val", "gradient_clip_algorithm")
_SIGNED_DATA = ("batch_size", "crop_samples", "window")
_CHECKPOINT = re.compile(r"step-(\d{9,})\.ckpt")
_PATIENCE = 10
"""Seconds that a run waits for its predecessor to end: a scheduler may start it again at once."""


@dataclass(frozen=True)
class RunFolder:
    """`runs/<name>-<signature>/`."""

    path: Path

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.path.name

    @property
    def config(self) -> Path:
        """The resolved config, itself a legal argument of `train`."""
        return self.path / "config.yaml"

    @property
    def checkpoints(self) -> Path:
        """`step-%09d.ckpt`, each with its `.sha256`."""
        return self.path / "checkpoints"

    @property
    def metrics(self) -> Path:
        """Every number that was logged."""
        return self.path / "metrics.jsonl"

    @property
    def baselines(self) -> Path:
        """What simple models reach on the same data."""
        return self.path / "baselines.json"

    @property
    def clips(self) -> Path:
        """Clips generated while training, a folder for each set."""
        return self.path / "clips"

    @property
    def examples(self) -> Path:
        """Frames of a recording, as NAME.npy, to try the model with."""
        return self.path / "examples"

    @property
    def logs(self) -> Path:
        """What ranks and jobs wrote while they ran."""
        return self.path / "logs"

    @property
    def run_id(self) -> str:
        """Who the run is, in trackers too: given when the folder is made, the same after a restart or a move.

        Empty where there is no folder yet.

        Raises:
            UserError: the file that keeps it was changed.
        """
        path = self.path / "run_id"
        try:
            text = read_file(path, 256).decode("utf-8", "replace").strip()
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise UserError(
                f"{path} cannot be read ({error.strerror}), expected the run's id; remove it"
            ) from None
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", text):
            raise UserError(
                f"{path} holds {text!r:.60}, expected letters, digits, . _ and -; remove the file for a new id"
            )
        return text

    def create(self, config: Config) -> dict[str, Any]:
        """Make the folder and write down what a run is: id, config, versions, and commit and diff of this code.

        Commit and diff of the repository that the command runs in are kept where ``train.repository`` asks for them.
        Returns what git and the packages say. Keys and passwords are taken out of all that is written.

        Raises:
            UserError: something else lies where a folder of it should.
        """
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            self.logs.mkdir(exist_ok=True)
        except FileExistsError as error:  # such as a link to a disk that is not mounted
            raise UserError(
                f"{error.filename} is no folder, expected one of the run's own; move it away"
            ) from None
        if not self.run_id:
            write_durably(self.path / "run_id", f"{self.name}-{os.urandom(3).hex()}\n")
        write_durably(self.config, write_yaml(redact(to_plain(config))))
        checkouts = {"git": own_code()}
        if config.train.repository:
            checkouts["repository"] = read_checkout(Path.cwd())
            if not checkouts["repository"].commit:
                _log.warning(
                    f"train.repository is true, and {Path.cwd()} is in no git repository with a commit; run the "
                    "command in one, or leave train.repository out"
                )
        facts: dict[str, Any] = {"versions": installed_versions()}
        write_durably(self.path / "versions.json", json.dumps(facts["versions"], indent=2) + "\n")
        for name, checkout in checkouts.items():
            facts[name] = checkout.facts
            write_durably(self.path / f"{name}.json", json.dumps(checkout.facts) + "\n")
            write_durably(self.path / f"{name}.diff", redact_text(checkout.diff))
        return facts

    def lock(self) -> BinaryIO:
        """Make the folder and keep it to this process. The lock ends with the process, or when the file is closed.

        Raises:
            UserError: another process trains here, or the folder cannot be locked.
        """
        path = self.path / "lock"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            # Without waiting: it may be a pipe.
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
            file = os.fdopen(os.open(path, flags, 0o644), "ab")
        except OSError as error:
            if error.errno == errno.ENXIO:
                raise UserError(f"{path} is a pipe, expected a file to lock; move it away") from None
            raise UserError(
                f"{error.filename} cannot be used ({error.strerror}), expected a run folder and a file of its own to "
                "lock; mend that, move it away, or set another --runs or name"
            ) from None
        for _ in range(_PATIENCE):
            try:
                # A lock of the process: workers that outlive it for a moment do not keep it.
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return file
            except (BlockingIOError, PermissionError):
                time.sleep(1)
            except OSError:
                return file  # a file system without locks
        file.close()
        raise UserError(
            f"another process trains in {self.path}, expected none; wait until it has ended, or set another name"
        )

    def sweep(self) -> None:
        """Remove what a killed process had half written; only under the lock."""
        for folder in (self.path, self.checkpoints, self.clips):
            for path in folder.glob(".*.tmp"):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    with contextlib.suppress(OSError):
                        path.unlink()

    def set_aside(self) -> Path | None:
        """Rename an existing folder, so that a fresh run can take its name; nothing is deleted.

        Raises:
            UserError: it cannot be renamed.
        """
        if not self.path.exists():
            return None
        number = 1
        while (aside := self.path.with_name(f"{self.name}-old-{number}")).exists():
            number += 1
        try:
            os.replace(self.path, aside)
        except OSError as error:
            raise UserError(
                f"{self.path} cannot be set aside as {aside.name} ({error.strerror}), expected to rename it; make "
                f"{aside.parent} writable, or leave --fresh out"
            ) from None
        return aside


def signed_settings(config: Config) -> dict[str, Any]:
    """The settings that make an experiment, by section: seed, model, optim, crops, order, precision and clipping.

    Devices, nodes, workers, limits, tracking and samples are none: a run may go on with others.
    """
    tree = to_plain(config, all_defaults=False)
    return {
        "seed": tree["seed"],
        "model": tree["model"],
        "optim": tree["optim"],
        "data": {name: tree["data"][name] for name in _SIGNED_DATA if name in tree["data"]},
        "trainer": {name: str(tree["trainer"][name]) for name in _SIGNED_TRAINER if name in tree["trainer"]},
    }


def signature(config: Config, fingerprint: str) -> str:
    """Six hex digits that are the same for the same experiment: the settings that make it, and the data, by the index's
    fingerprint and not by path.
    """
    signed = signed_settings(config)
    signed["data"]["fingerprint"] = fingerprint
    return hashlib.sha256(json.dumps(signed, sort_keys=True).encode()).hexdigest()[:6]


def run_folder(config: Config, fingerprint: str, root: str | os.PathLike[str]) -> RunFolder:
    """Where this experiment lies, whether it was started before or not."""
    return RunFolder(Path(root) / f"{config.name}-{signature(config, fingerprint)}")


def open_run(path: str | os.PathLike[str]) -> RunFolder:
    """The run in this folder.

    Raises:
        UserError: it is no run folder, or may not be looked into.
    """
    run = RunFolder(Path(path))
    if not os.path.isdir(run.checkpoints):
        list_checkpoints(run)  # which says why that cannot be known
        raise UserError(
            f"{path} is no run folder, expected one with checkpoints/ in it, such as runs/demo-1a2b3c"
        )
    return run


def checkpoint_path(run: RunFolder, step: int) -> Path:
    """Where the checkpoint of a step lies."""
    return run.checkpoints / f"step-{step:09d}.ckpt"


def checkpoint_step(path: Path) -> int:
    """The step that a checkpoint's name says."""
    match = _CHECKPOINT.fullmatch(path.name)
    assert match is not None, path
    return int(match[1])


def list_checkpoints(run: RunFolder) -> list[Path]:
    """Every checkpoint of a run by step, valid or not; none where there is no folder of them.

    Raises:
        UserError: the folder cannot be listed, which must not pass for a run without checkpoints.
    """
    try:
        names = os.listdir(run.checkpoints)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise UserError(
            f"{run.checkpoints} cannot be listed ({error.strerror}), expected a folder of checkpoints; mend that, and "
            "run the same command again"
        ) from None
    return sorted(
        (run.checkpoints / name for name in names if _CHECKPOINT.fullmatch(name)), key=checkpoint_step
    )
