"""A small run with everything that an export is made from, written in moments."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from tests.small import small_config
from wavenet_pl.evaluation.baselines import Baselines, save_baselines
from wavenet_pl.model import Model
from wavenet_pl.runs.folder import RunFolder, checkpoint_path
from wavenet_pl.training.checkpoint_io import AtomicCheckpointIO
from wavenet_pl.training.module import checkpoint_of

BITS = {10: 2.5, 20: 3.25}
"""Step of each checkpoint -> its val/bits."""


def write_run(
    path: Path, *settings: str, data: str | Path = "nowhere", fingerprint: str = "", **more: Any
) -> RunFolder:
    """A run with a checkpoint for each step of `BITS`, each with weights of its own.

    Args:
        path: of the run.
        settings: beside those of every small test.
        data: where the config says that the shards are.
        fingerprint: of their index.
        more: what else is in the checkpoints.
    """
    run = RunFolder(path)
    run.checkpoints.mkdir(parents=True)
    for step in BITS:
        torch.manual_seed(step)
        module = Model(small_config(data, *settings), sample_rate=8_000, index_fingerprint=fingerprint)
        content = {**checkpoint_of(module, step), **more}
        AtomicCheckpointIO().save_checkpoint(content, checkpoint_path(run, step))
    rows = [{"step": step, "val/bits": bits} for step, bits in BITS.items()]
    run.metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))
    save_baselines(Baselines(8.0, 5.125, 3.5, 1000, 100), run.baselines)
    return run
