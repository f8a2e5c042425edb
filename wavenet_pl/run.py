"""The folder of a run: its name, what lies in it, and how the same command finds it again."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wavenet_pl.config import Config, to_plain, to_yaml
from wavenet_pl.errors import UserError

_SIGNED_TRAINER = ("precision", "gradient_clip_val", "gradient_clip_algorithm")
_SIGNED_DATA = ("batch_size", "crop_samples")


@dataclass(frozen=True)
class RunFolder:
    """`runs/<name>-<signature>/`."""

    path: Path

    @property
    def name(self) -> str:
        """The folder's own name, which is the run's id too."""
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

    def create(self, config: Config) -> dict[str, Any]:
        """Make the folder and write down what the run is: config, git commit and diff. Returns the git facts."""
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        (self.path / "logs").mkdir(exist_ok=True)
        self.config.write_text(to_yaml(config), encoding="utf-8")
        git = {"commit": _git("rev-parse", "HEAD"), "dirty": bool(_git("status", "--porcelain", "-uno"))}
        (self.path / "git.json").write_text(json.dumps(git) + "\n", encoding="utf-8")
        (self.path / "git.diff").write_text(_git("diff", "HEAD"), encoding="utf-8")
        return git

    def set_aside(self) -> Path | None:
        """Rename an existing folder, so that a fresh run can take its name; nothing is deleted."""
        if not self.path.exists():
            return None
        number = 1
        while (aside := self.path.with_name(f"{self.name}-old-{number}")).exists():
            number += 1
        os.replace(self.path, aside)
        return aside


def signature(config: Config, fingerprint: str) -> str:
    """Six hex digits that are the same for the same experiment.

    Seed, model, optim, precision, clipping and data count, the data by the index's fingerprint and not by path.
    Devices, nodes, workers, limits, tracking and samples do not: a run may go on with others.
    """
    tree = to_plain(config)
    signed = {
        "seed": tree["seed"],
        "model": tree["model"],
        "optim": tree["optim"],
        "data": {"fingerprint": fingerprint, **{name: tree["data"][name] for name in _SIGNED_DATA}},
        "trainer": {name: str(tree["trainer"][name]) for name in _SIGNED_TRAINER if name in tree["trainer"]},
    }
    return hashlib.sha256(json.dumps(signed, sort_keys=True).encode()).hexdigest()[:6]


def run_folder(config: Config, fingerprint: str, root: str | os.PathLike[str]) -> RunFolder:
    """Where this experiment lies, whether it was started before or not."""
    return RunFolder(Path(root) / f"{config.name}-{signature(config, fingerprint)}")


def open_run(path: str | os.PathLike[str]) -> RunFolder:
    """The run in this folder.

    Raises:
        UserError: it is no run folder.
    """
    run = RunFolder(Path(path))
    if not run.checkpoints.is_dir():
        raise UserError(
            f"{path} is no run folder, expected one with checkpoints/ in it, such as runs/demo-1a2b3c"
        )
    return run


def _git(*arguments: str) -> str:
    """What git says about the folder we run in; nothing where there is no git or no repository."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
