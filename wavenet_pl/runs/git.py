"""Which code made a run: the commit of a git checkout, and what was changed since."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Checkout:
    """A git checkout as it is now."""

    commit: str = ""
    """Empty where there is no checkout, or no git."""
    diff: str = ""
    """What its tracked files have and the commit does not."""

    @property
    def facts(self) -> dict[str, Any]:
        """Commit, and whether anything was changed since."""
        return {"commit": self.commit, "dirty": bool(self.diff)}


def own_code(package: Path = PACKAGE) -> Checkout:
    """The checkout that this package is part of; none where it is installed, whoever's repository that is in.

    Args:
        package: the package's folder. Only what changed in it and in data_prep beside it is looked at.
    """
    if not _git(package, "ls-files", "__init__.py"):
        return Checkout()
    return read_checkout(package.parent, [package.name, "data_prep"])


def read_checkout(folder: Path, parts: Sequence[str] = ()) -> Checkout:
    """The checkout that a folder is in.

    Args:
        folder: anywhere in it.
        parts: only these files and folders below it; empty for the whole checkout.
    """
    # Else the programs would run that the repository's own settings name for showing diffs.
    diff = _git(folder, "diff", "--no-ext-diff", "--no-textconv", "HEAD", "--", *parts)
    return Checkout(_git(folder, "rev-parse", "HEAD"), diff)


def _git(folder: Path, *arguments: str) -> str:
    """What git says about a folder; nothing where there is no git or no repository."""
    # And not of the repository that GIT_DIR names, as in a hook.
    environment = {
        name: os.environ[name] for name in ("PATH", "HOME", "XDG_CONFIG_HOME") if name in os.environ
    }
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, env=environment, capture_output=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else ""
