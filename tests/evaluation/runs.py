"""Runs to evaluate: tiny models on made audio, untrained or trained for some steps."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.small import small_config
from wavenet_pl.data.datamodule import AudioDataModule
from wavenet_pl.data.pipeline import Share, build_pipeline
from wavenet_pl.model import Model
from wavenet_pl.runs.folder import RunFolder, checkpoint_path
from wavenet_pl.training.checkpoint_io import AtomicCheckpointIO
from wavenet_pl.training.module import checkpoint_of


def trained(shards: Path, *settings: str, steps: int) -> Model:
    """A module after some steps of Adam on the training split."""
    config = small_config(shards, *settings)
    field = config.model.network.receptive_field
    data = AudioDataModule(config.data, receptive_field=field, seed=0)
    torch.manual_seed(0)
    module = Model(config, sample_rate=data.sample_rate)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
    done = 0
    while done < steps:
        for batch in build_pipeline(
            data.conditions("train", 0), data.plan("train", done), Share(), receptive_field=field
        ):
            if done < steps:
                nats, count = module.nats(batch)
                optimizer.zero_grad()
                (nats / count).backward()
                optimizer.step()
                done += 1
    return module.eval()


def write_run(folder: Path, module: Model) -> Path:
    """A run folder with one checkpoint."""
    run = RunFolder(folder)
    run.checkpoints.mkdir(parents=True)
    content = checkpoint_of(module, 1)
    AtomicCheckpointIO().save_checkpoint(content, checkpoint_path(run, 1))
    return run.path
