"""Checkpoints: written whole or not at all, checked before use, and turned back into models."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from lightning.fabric.plugins import CheckpointIO

from wavenet_pl.config import from_plain
from wavenet_pl.delta import find_delta, load_delta
from wavenet_pl.durable import replacing, write_durably
from wavenet_pl.errors import UserError
from wavenet_pl.foreign import read_file
from wavenet_pl.modules import CHECKPOINT_KEY, WaveNetModule
from wavenet_pl.run import RunFolder, checkpoint_step, list_checkpoints
from wavenet_pl.tracking.rows import logged_numbers
from wavenet_pl.weights import build_trained, is_export, load_export, read_archive

_MOST_DELTAS = 16
"""On top of one another: a file could name itself as its base."""


class AtomicCheckpointIO(CheckpointIO):
    """Writes beside the target, makes it durable, then renames: a kill at any moment leaves the old or the new file.

    Lightning's own writes to the temporary folder and moves, which across file systems is a copy that can be cut.
    """

    failure: str = ""
    """Why the newest save did not succeed, and what to do; empty where it did."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any | None = None
    ) -> None:
        """Write the checkpoint and its checksum. One of this step that is already there and valid stays.

        Where the disk refuses, nothing is raised on this one rank, for which the others would wait: see `failure`.
        """
        path, self.failure = Path(path), ""
        if problem(path) is None:
            return
        try:
            self._write(checkpoint, path)
        except OSError as error:
            self.failure = (
                f"{path} could not be written ({error.strerror or error}): it takes {_size(checkpoint):,} bytes, and "
                f"{shutil.disk_usage(path.parent).free:,} are free; make room. Earlier checkpoints are as they were"
            )

    def _write(self, checkpoint: dict[str, Any], path: Path) -> None:
        with replacing(path) as file:
            try:
                torch.save(checkpoint, file)
            except RuntimeError as error:  # what torch makes of a disk that is full
                raise error.__context__ if isinstance(error.__context__, OSError) else error from None
            file.seek(0)
            # Before the file has its name: no checkpoint is ever there without its checksum.
            write_durably(checksum_path(path), f"{_sha256(file)}  {path.name}\n")

    def load_checkpoint(
        self, path: str | os.PathLike[str], map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read tensors and primitives; nothing in the file can run code."""
        return read_checkpoint(path)

    def remove_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Delete a checkpoint and its checksum."""
        Path(path).unlink(missing_ok=True)
        checksum_path(Path(path)).unlink(missing_ok=True)


def checksum_path(path: Path) -> Path:
    """Where the checksum of a checkpoint lies, as `sha256sum -c` reads it."""
    return path.with_name(path.name + ".sha256")


def problem(path: Path) -> str | None:
    """Why a checkpoint cannot be trusted; None where it can."""
    if not path.is_file():
        return "is not there"
    try:
        expected = read_file(checksum_path(path), 1024).decode().split()[0]
    except (OSError, UnicodeDecodeError, IndexError):
        return "has no checksum beside it"
    with open(path, "rb") as file:
        same = _sha256(file) == expected
    return None if same else "does not have the bytes that its checksum says"


def newest_valid(run: RunFolder) -> tuple[Path | None, list[str]]:
    """The newest checkpoint that can be trusted, and why newer ones were passed over.

    Raises:
        UserError: there are checkpoints, and none can be trusted.
    """
    passed_over: list[str] = []
    for path in reversed(list_checkpoints(run)):
        reason = problem(path)
        if reason is None:
            return path, passed_over
        passed_over.append(f"{path} {reason}")
    if passed_over:
        raise UserError(
            f"{run.path} has checkpoints, but none that can be used: {'; '.join(passed_over)}. Expected one with its "
            "checksum; copy one back, or start over with --fresh"
        )
    return None, []


def best_checkpoint(run: RunFolder) -> Path:
    """The valid checkpoint of the lowest val/bits; the newest where none was validated.

    Raises:
        UserError: there is none.
    """
    bits = validation_bits(run)
    for path in sorted(list_checkpoints(run), key=lambda path: bits.get(checkpoint_step(path), float("inf"))):
        if checkpoint_step(path) in bits and problem(path) is None:
            return path
    newest, _ = newest_valid(run)
    if newest is None:
        raise UserError(f"{run.path} has no checkpoint yet, expected one in {run.checkpoints}; train longer")
    return newest


def validation_bits(run: RunFolder, key: str = "val/bits") -> dict[int, float]:
    """step -> val/bits, or another number of a validation, from metrics.jsonl, where it is a number.

    Raises:
        UserError: it is damaged.
    """
    return logged_numbers(run.metrics, key)


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


def load(path: str | os.PathLike[str]) -> WaveNetModule:
    """The model of a run (its best val/bits; averaged weights where trained), a checkpoint or an export, in eval mode.

    Also that of a delta which `wavenet-pl adapt` wrote, where its base is still there.

    Raises:
        UserError: there is none, or it is damaged.
    """
    return _load(Path(path), _MOST_DELTAS)


def _load(path: Path, deltas: int) -> WaveNetModule:
    if is_export(path):
        return load_export(path)
    if (delta := find_delta(path)) is not None:
        if not deltas:
            raise UserError(
                f"{path} is an adaptation of an adaptation, and so on, {_MOST_DELTAS} deep, expected a base in the end"
            )
        return load_delta(delta, lambda base: _load(Path(base), deltas - 1))
    if path.is_dir():
        path = best_checkpoint(RunFolder(path))
    elif checksum_path(path).exists() and (reason := problem(path)) is not None:
        raise UserError(f"{path} {reason}; it is damaged: use another checkpoint")
    checkpoint = read_checkpoint(path)
    ours = checkpoint[CHECKPOINT_KEY]
    return build_trained(
        from_plain(ours.get("config"), str(path)), ours, checkpoint.get("state_dict", {}), path
    )


def _size(tree: Any) -> int:
    """Bytes of all tensors in nested dicts and lists."""
    if isinstance(tree, torch.Tensor):
        return tree.numel() * tree.element_size()
    items = tree.values() if isinstance(tree, Mapping) else tree if isinstance(tree, (list, tuple)) else ()
    return sum(map(_size, items))


def _sha256(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while block := file.read(2**22):
        digest.update(block)
    return digest.hexdigest()
