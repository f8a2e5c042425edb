"""Options of lightning.Trainer that this project sets itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wavenet_pl.config.mistakes import SettingError

OWNED = {
    "logger": "metrics.jsonl is always written, and W&B follows wandb.mode",
    "callbacks": "they are built from samples, train, optim and wandb",
    "default_root_dir": "the run folder follows from name and the settings; set name",
    "plugins": "they are Python objects; choose trainer.strategy and trainer.precision by name",
    "enable_checkpointing": "checkpoints are always written; set train.checkpoint_every_n_steps",
    "log_every_n_steps": "metrics.jsonl has every step; set wandb.log_every_n_steps for what W&B sees",
    "use_distributed_sampler": "the data module divides the data over the ranks itself",
    "reload_dataloaders_every_n_epochs": "the loader keeps its own place in the epoch",
    "num_sanity_val_steps": "the run validates when trained, never before; set trainer.val_check_interval",
    "overfit_batches": "it would replace the order of the data; set data.path to a small set of shards",
    "fast_dev_run": "it drops checkpoints and logs; set trainer.max_steps=5 for a short run",
    "barebones": "it drops checkpoints and logs; leave it out",
    "sync_batchnorm": "the network has no batch normalization",
    "enable_autolog_hparams": "the whole config is always logged",
    "model_registry": "set wandb.artifacts to keep models in W&B",
    "limit_test_batches": "training has no test loop",
    "limit_predict_batches": "training has no predict loop",
}
"""Trainer options that would be ignored or would break the run, and what to do instead."""


def check_owned(options: Mapping[str, Any]) -> None:
    """Refuses the options that this project sets itself; needs no import of Lightning.

    Raises:
        SettingError: one of them is there.
    """
    for name in options:
        if name in OWNED:
            raise SettingError(f"trainer.{name}", f"cannot be set: {OWNED[name]}")
    if isinstance(options.get("max_time"), (int, float)):
        raise SettingError(
            "trainer.max_time",
            f'is {options["max_time"]}, expected "DD:HH:MM:SS" in quotes; '
            "to save and go on later set train.stop_after=HH:MM:SS",
        )
