"""A program: clips of two gloo ranks against those of one, inside of a real training.

Run as ``python -m tests.training.callbacks.two_ranks FOLDER``. Lightning starts the second rank by the same command.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import numpy as np

from tests.small_run import small_config, train
from wavenet_pl.config.training import SamplesConfig, WandbConfig
from wavenet_pl.training.callbacks.clips import choose_prompts, make_clips
from wavenet_pl.training.callbacks.samples import SampleLogger
from wavenet_pl.training.module import WaveNetModule


class Compare(L.Callback):
    """Makes sets of 1, 2, 3 and 5 clips both ways, on every rank."""

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Compares them."""
        assert isinstance(pl_module, WaveNetModule)
        model = pl_module.model
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        assert trainer.world_size == 2
        for count in (1, 2, 3, 5):
            config = SamplesConfig(count=count, seconds=0.03, prompt_seconds=0.01)
            prompts = choose_prompts(data, config)
            shared = make_clips(
                model, prompts, config, rank=trainer.global_rank, world_size=2,
                gather=lambda rows: pl_module.all_gather(rows).flatten(0, 1),  # type: ignore[union-attr]
            )  # fmt: skip
            alone = make_clips(model, prompts, config)
            for one, other in zip(shared, alone, strict=True):
                assert np.array_equal(one.free, other.free)
                assert np.array_equal(one.forced, other.forced)
                assert np.allclose((one.bits, one.entropy), (other.bits, other.entropy), rtol=1e-6)
        print(f"rank {trainer.global_rank} agrees", flush=True)


def main(folder: Path) -> None:
    """Train."""
    config = small_config(folder, wandb=WandbConfig(mode="disabled"))
    config = dataclasses.replace(config, samples=dataclasses.replace(config.samples, count=3))
    callbacks = [SampleLogger(config.samples, folder / "clips"), Compare()]
    train(config, folder / "run", callbacks, devices=2, strategy="ddp")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
