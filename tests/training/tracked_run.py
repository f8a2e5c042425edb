"""A program: a small training with clips, validation and a model artifact, tracked as the environment says.

Run as ``python -m tests.training.tracked_run FOLDER STARTS``: it starts the same run so many times.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import lightning.pytorch as L

from tests.small_run import small_config, train
from wavenet_pl.config.training import WandbConfig
from wavenet_pl.tracking.rows import cut_back
from wavenet_pl.training.callbacks.samples import SampleLogger
from wavenet_pl.training.callbacks.throughput import Throughput
from wavenet_pl.training.metrics_file import NAME
from wavenet_pl.training.wandb_logger import RunTracker

FACTS = {
    "git": {"commit": "0" * 40},
    "parameters": 1234,
    "receptive_field": 17,
    "num_tokens": 512,
    "hub": {"api_key": "planted-in-the-config", "url": "https://me:planted-in-a-url@host/x"},
}


class KeepModel(L.Callback):
    """Hands a checkpoint to W&B at the end, and deletes it at once."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "step-000000004.ckpt"

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Logs it."""
        trainer.save_checkpoint(self.path)
        for logger in trainer.loggers:
            if isinstance(logger, RunTracker):
                logger.log_model(self.path, ["best", "last"], {"step": trainer.global_step, "bits": 7.5})
        self.path.unlink()


def main(folder: Path, starts: int) -> None:
    """Train."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("lightning").setLevel(logging.ERROR)
    tracking = WandbConfig(
        log_every_n_steps=2, group="trials", tags=("small",), artifacts=True, init_timeout=3, finish_timeout=5
    )
    config = small_config(folder, wandb=tracking)
    run_dir = folder / "run"
    for _ in range(starts):  # each after one that was killed before it could save
        cut_back(run_dir / NAME, -1)
        train(
            config,
            run_dir,
            [Throughput(2), SampleLogger(config.samples, run_dir / "clips"), KeepModel(folder)],
            facts=FACTS,
            val_check_interval=3,
            check_val_every_n_epoch=None,
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
