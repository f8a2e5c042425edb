"""An adaptation and its base as one whole checkpoint."""

from __future__ import annotations

import os
from pathlib import Path

from wavenet_pl.errors import ExitCode, UserError
from wavenet_pl.runs.delta import DELTA_NAME, load_delta, read_delta
from wavenet_pl.runs.examples import print_next
from wavenet_pl.runs.folder import RunFolder
from wavenet_pl.runs.loading import load
from wavenet_pl.training.checkpoint_io import AtomicCheckpointIO
from wavenet_pl.training.module import checkpoint_of


def merge(run: Path, out: Path, base: str | os.PathLike[str] | None) -> int:
    """Writes the checkpoint; returns the exit code.

    Args:
        run: what `adapt` wrote: its folder, or the delta in it.
        out: the checkpoint, a new file.
        base: where the base is now; None for where it was.

    Raises:
        UserError: there is no delta, its base is another one, or the file cannot be written.
    """
    if out.suffix != ".ckpt":
        raise UserError(f"--merge is {out}, expected a name that ends in .ckpt: it becomes a checkpoint")
    if out.exists():
        raise UserError(f"--merge {out} is there already, expected a new file; name another one")
    path = run if run.name == DELTA_NAME else run / DELTA_NAME
    if not path.is_file():
        raise UserError(f"{path} is not there, expected what `wavenet-pl adapt` wrote; RUN is the adaptation")
    header, _ = read_delta(path)
    model = load_delta(path, load, base)
    writer = AtomicCheckpointIO()
    writer.save_checkpoint(checkpoint_of(model, header.step), out)
    if writer.failure:
        raise UserError(writer.failure)
    print(f"merged {path} and its base:\n  {out}")
    print_next(out, model.inputs, RunFolder(path.parent))
    return ExitCode.DONE
