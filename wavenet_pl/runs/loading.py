"""From a run, a checkpoint, an export or a delta to the model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from wavenet_pl.config.tree import from_plain
from wavenet_pl.errors import UserError
from wavenet_pl.model import Model
from wavenet_pl.runs.archive import read_archive
from wavenet_pl.runs.checkpoints import CHECKPOINT_KEY, best_checkpoint, checksum_path, problem
from wavenet_pl.runs.delta import find_delta, load_delta
from wavenet_pl.runs.folder import RunFolder
from wavenet_pl.runs.released import find_model
from wavenet_pl.runs.weights import build_trained, is_export, load_export

_MOST_DELTAS = 16
"""On top of one another: a file could name itself as its base."""


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Tensors and primitives of a checkpoint.

    Raises:
        UserError: it is damaged, or holds anything else.
    """
    checkpoint = read_archive(path)
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get(CHECKPOINT_KEY), dict):
        raise UserError(
            f"{path} is no checkpoint of this project, expected one that `wavenet-pl train` wrote"
        )
    return checkpoint


def load(path: str | os.PathLike[str]) -> Model:
    """The model of a run (its best val/bits; averaged weights where trained), a checkpoint or an export, in eval mode.

    Also that of a delta which `wavenet-pl adapt` wrote, where its base is still there, and ``pretrained:NAME``, which
    comes with the project.

    Raises:
        UserError: there is none, or it is damaged.
    """
    return _load(find_model(path), _MOST_DELTAS)


def _load(path: Path, deltas: int) -> Model:
    if is_export(path):
        return load_export(path)
    if (delta := find_delta(path)) is not None:
        if not deltas:
            raise UserError(
                f"{path} is an adaptation of an adaptation, and so on, {_MOST_DELTAS} deep, expected a base in the end"
            )
        return load_delta(delta, lambda base: _load(Path(base), deltas - 1))
    if os.path.isdir(path):
        path = best_checkpoint(RunFolder(path))
    elif os.path.exists(checksum_path(path)) and (reason := problem(path)) is not None:
        raise UserError(f"{path} {reason}; it is damaged: use another checkpoint")
    checkpoint = read_checkpoint(path)
    ours = checkpoint[CHECKPOINT_KEY]
    return build_trained(
        from_plain(ours.get("config"), str(path)), ours, checkpoint.get("state_dict", {}), path
    )
