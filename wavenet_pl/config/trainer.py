"""Options of lightning.Trainer that this project sets itself, and values of others that it would fail with later."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from wavenet_pl.config.mistakes import SettingError, spelled

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


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_part(value: Any) -> bool:
    """Whether it says how many batches: their number, or a share; None is Lightning's way to say all."""
    return value is None or _is_count(value) or (isinstance(value, float) and 0 < value <= 1)


def _is_nothing(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == 0


_VALUES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "accumulate_grad_batches": (_is_count, "a whole number from 1 on; leave it out for 1"),
    "check_val_every_n_epoch": (
        lambda value: value is None or _is_count(value),
        "a whole number from 1 on, or null where epochs play no part",
    ),
    "limit_train_batches": (
        _is_part,
        "a whole number of batches from 1 on, or a share up to 1.0, such as 0.1",
    ),
    "limit_val_batches": (
        lambda value: _is_part(value) or _is_nothing(value),
        "a whole number of batches, 0 for no validation, or a share up to 1.0, such as 0.1",
    ),
    "val_check_interval": (
        _is_part,
        "a whole number of batches from 1 on, such as 1000, or a share of an epoch; no time: each rank has its clock",
    ),
}
"""Option -> whether a value can be used, and what is expected: what Lightning takes, and fails with in a training."""


def check_options(options: Mapping[str, Any]) -> None:
    """Refuses the options that this project sets itself, and values that end in the middle of a training.

    Needs no import of Lightning, which refuses others.

    Raises:
        SettingError: one of them is there.
    """
    for name, (is_usable, expected) in _VALUES.items():
        if name in options and not is_usable(options[name]):
            raise SettingError(f"trainer.{name}", f"is {spelled(options[name])}, expected {expected}")
    for name in options:
        if name in OWNED:
            raise SettingError(f"trainer.{name}", f"cannot be set: {OWNED[name]}")
    if isinstance(options.get("max_time"), (int, float)):
        raise SettingError(
            "trainer.max_time",
            f'is {options["max_time"]}, expected "DD:HH:MM:SS" in quotes; '
            "to save and go on later set train.stop_after=HH:MM:SS",
        )
