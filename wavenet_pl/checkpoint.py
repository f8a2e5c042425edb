"""Checkpoints: written whole or not at all, checked before use, and turned back into models."""

from __future__ import annotations

import hashlib
import os
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import CheckpointIO

from wavenet_pl.config import from_plain
from wavenet_pl.data.format import sync_folder
from wavenet_pl.errors import UserError
from wavenet_pl.modules import CHECKPOINT_KEY, WaveNetModule, build_module
from wavenet_pl.run import RunFolder
from wavenet_pl.tracking.metrics_file import read_metrics

_NAME = re.compile(r"step-(\d{9,})\.ckpt")


class AtomicCheckpointIO(CheckpointIO):
    """Writes beside the target, makes it durable, then renames: a kill at any moment leaves the old or the new file.

    Lightning's own writes to the temporary folder and moves, which across file systems is a copy that can be cut.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any | None = None
    ) -> None:
        """Write the checkpoint and its checksum. One of this step that is already there and valid stays."""
        path = Path(path)
        if problem(path) is None:
            return
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            with open(temporary, "wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            _write_checksum(
                path, _sha256(temporary)
            )  # before the file has its name: no file without a checksum
            os.replace(temporary, path)
            sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)

    def load_checkpoint(
        self, path: str | os.PathLike[str], map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read tensors and primitives; nothing in the file can run code."""
        return read_checkpoint(path)

    def remove_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Delete a checkpoint and its checksum."""
        Path(path).unlink(missing_ok=True)
        checksum_path(Path(path)).unlink(missing_ok=True)


def checkpoint_path(run: RunFolder, step: int) -> Path:
    """Where the checkpoint of a step lies."""
    return run.checkpoints / f"step-{step:09d}.ckpt"


def checkpoint_step(path: Path) -> int:
    """The step that a checkpoint's name says."""
    match = _NAME.fullmatch(path.name)
    assert match is not None, path
    return int(match[1])


def checksum_path(path: Path) -> Path:
    """Where the checksum of a checkpoint lies, as `sha256sum -c` reads it."""
    return path.with_name(path.name + ".sha256")


def list_checkpoints(run: RunFolder) -> list[Path]:
    """Every checkpoint of a run by step, valid or not."""
    return sorted(
        (path for path in run.checkpoints.glob("*.ckpt") if _NAME.fullmatch(path.name)), key=checkpoint_step
    )


def problem(path: Path) -> str | None:
    """Why a checkpoint cannot be trusted; None where it can."""
    if not path.is_file():
        return "is not there"
    try:
        expected = checksum_path(path).read_text(encoding="utf-8").split()[0]
    except (OSError, UnicodeDecodeError, IndexError):
        return "has no checksum beside it"
    return None if _sha256(path) == expected else "does not have the bytes that its checksum says"


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


def validation_bits(run: RunFolder) -> dict[int, float]:
    """step -> val/bits, from metrics.jsonl."""
    if not run.metrics.exists():
        return {}
    return {row["step"]: row["val/bits"] for row in read_metrics(run.metrics) if "val/bits" in row}


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Tensors and primitives of a checkpoint.

    Raises:
        UserError: it is damaged, or holds anything else.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, ValueError, KeyError) as error:
        reason = str(error).strip().split("\n")[0]
        raise UserError(
            f"{path} cannot be loaded ({reason}), expected a checkpoint that `wavenet-pl train` wrote"
        ) from None
    if not isinstance(checkpoint, dict) or CHECKPOINT_KEY not in checkpoint:
        raise UserError(
            f"{path} is no checkpoint of this project, expected one that `wavenet-pl train` wrote"
        )
    return checkpoint


def load(path: str | os.PathLike[str]) -> WaveNetModule:
    """The model of a run (its best val/bits; averaged weights where trained) or of one checkpoint, in eval mode.

    Raises:
        UserError: there is none, or it is damaged.
    """
    path = Path(path)
    if path.is_dir():
        path = best_checkpoint(RunFolder(path))
    elif checksum_path(path).exists() and (reason := problem(path)) is not None:
        raise UserError(f"{path} {reason}; it is damaged: use another checkpoint")
    checkpoint = read_checkpoint(path)
    ours = checkpoint[CHECKPOINT_KEY]
    try:
        with torch.device("meta"):  # a config that claims giant layers takes no memory: the weights decide
            module = build_module(
                from_plain(ours["config"]),
                sample_rate=int(ours["sample_rate"]),
                index_fingerprint=str(ours["index_fingerprint"]),
            )
        state: Mapping[str, Any] = checkpoint["state_dict"]
        module.load_state_dict(state, assign=True)
    except (KeyError, TypeError, RuntimeError, AttributeError, ValueError) as error:
        reason = str(error).strip().split("\n")[0]
        raise UserError(f"{path} does not hold the model that it describes: {reason}") from None
    return module.eval()


def _write_checksum(path: Path, digest: str) -> None:
    target = checksum_path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(f"{digest}  {path.name}\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, target)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(2**22):
            digest.update(block)
    return digest.hexdigest()
