"""Checkpoints on disk: which there are, which can be trusted, which is the best."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import BinaryIO

from wavenet_pl.errors import UserError
from wavenet_pl.files.foreign import open_file, read_file
from wavenet_pl.runs.folder import RunFolder, checkpoint_step, list_checkpoints
from wavenet_pl.tracking.rows import logged_numbers

CHECKPOINT_KEY = "wavenet_pl"
"""Where a checkpoint keeps what is ours: config, sample rate, fingerprint of the index."""


def checksum_path(path: Path) -> Path:
    """Where the checksum of a checkpoint lies, as `sha256sum -c` reads it."""
    return path.with_name(path.name + ".sha256")


def problem(path: Path) -> str | None:
    """Why a checkpoint cannot be trusted; None where it can."""
    try:
        with open_file(path) as file:
            expected = _checksum_of(path)
            if expected is None:
                return "has no checksum beside it"
            return None if sha256_of(file) == expected else "does not have the bytes that its checksum says"
    except (FileNotFoundError, NotADirectoryError):
        return "is not there"
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def _checksum_of(path: Path) -> str | None:
    try:
        return read_file(checksum_path(path), 1024).decode().split()[0]
    except (OSError, UnicodeDecodeError, IndexError):
        return None


def newest_valid(run: RunFolder) -> tuple[Path | None, list[str]]:
    """The newest checkpoint that can be trusted, and why newer ones were passed over.

    Raises:
        UserError: there are checkpoints, and none can be trusted; or they cannot be listed.
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
    paths, bits = list_checkpoints(run), validation_bits(run)
    for path in sorted(paths, key=lambda path: bits.get(checkpoint_step(path), float("inf"))):
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


def sha256_of(file: BinaryIO) -> str:
    """Of what is left of an open file, as hex digits."""
    digest = hashlib.sha256()
    while block := file.read(2**22):
        digest.update(block)
    return digest.hexdigest()
