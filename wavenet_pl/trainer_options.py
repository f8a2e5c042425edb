"""Options that go straight through to lightning.Trainer, and those that this project sets itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from wavenet_pl.config_mistakes import SettingError, found, nearest

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

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


def check_names(options: Mapping[str, Any]) -> None:
    """Refuses names that lightning.Trainer does not know; imports Lightning where there are options.

    Raises:
        SettingError: a name is unknown.
    """
    if not options:
        return
    import inspect

    from lightning.pytorch import Trainer

    known = [name for name in inspect.signature(Trainer).parameters if name not in OWNED]
    for name in options:
        if name not in known:
            guess = nearest(name, known)
            raise SettingError(
                f"trainer.{name}",
                "is no option of lightning.Trainer, expected one of its names; "
                + (f"did you mean trainer.{guess}?" if guess else f"it knows {', '.join(known)}"),
            )


def build_trainer(options: Mapping[str, Any], **ours: Any) -> Trainer:
    """A lightning.Trainer; a name that is in both comes from the options.

    Args:
        options: what the user set, names already checked.
        ours: what the project sets: logger, callbacks and so on.

    Raises:
        SettingError: Lightning refuses a value.
    """
    from lightning.pytorch import Trainer
    from lightning.pytorch.utilities.exceptions import MisconfigurationException

    plugins = [*ours.pop("plugins", []), *_cluster_plugins()]
    try:
        return Trainer(**{**ours, **options}, plugins=plugins)
    except (MisconfigurationException, TypeError, ValueError) as error:
        if not options:
            raise  # then it is no mistake of the user's
        reason = " ".join(str(error).split()) or type(error).__name__
        suspects = [
            name
            for name, value in options.items()
            if name in reason or (isinstance(value, str) and value and value in reason)
        ] or list(options)
        first, *others = (f"trainer.{name}" for name in suspects)
        also = f", or {' or '.join(others)}," if others else ""
        problem = f"is {found(options[suspects[0]])}, and lightning.Trainer refuses it{also}: {reason}"
        raise SettingError(first, problem, *others) from error


def _cluster_plugins() -> list[Any]:
    """What Lightning needs to know of SLURM, inside of its jobs: ranks come from there, and nothing else does.

    Left to itself Lightning answers signals too, with work inside of the handler that ends in deadlocks.
    """
    from lightning.pytorch.plugins.environments import SLURMEnvironment

    return [SLURMEnvironment(auto_requeue=False)] if SLURMEnvironment.detect() else []
