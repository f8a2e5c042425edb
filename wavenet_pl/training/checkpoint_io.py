"""How Lightning writes checkpoints here: whole or not at all, each with its checksum."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import CheckpointIO

from wavenet_pl.files.durable import replacing, write_durably
from wavenet_pl.runs.checkpoints import checksum_path, problem, sha256_of
from wavenet_pl.runs.loading import read_checkpoint


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
            write_durably(checksum_path(path), f"{sha256_of(file)}  {path.name}\n")

    def load_checkpoint(
        self, path: str | os.PathLike[str], map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read tensors and primitives; nothing in the file can run code."""
        return read_checkpoint(path)

    def remove_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Delete a checkpoint and its checksum."""
        Path(path).unlink(missing_ok=True)
        checksum_path(Path(path)).unlink(missing_ok=True)


def _size(tree: Any) -> int:
    """Bytes of all tensors in nested dicts and lists."""
    if isinstance(tree, torch.Tensor):
        return tree.numel() * tree.element_size()
    items = tree.values() if isinstance(tree, Mapping) else tree if isinstance(tree, (list, tuple)) else ()
    return sum(map(_size, items))
