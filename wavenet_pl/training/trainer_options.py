"""The options under `trainer`, which go straight through to lightning.Trainer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from wavenet_pl.config.mistakes import SettingError, spelled
from wavenet_pl.config.trainer import OWNED
from wavenet_pl.config.tree import Config
from wavenet_pl.data.order import check_batch_size
from wavenet_pl.errors import UserError, did_you_mean
from wavenet_pl.runs.machine import usable_cores
from wavenet_pl.training.launch import check_launch, check_processes, launch_variables

if TYPE_CHECKING:
    from lightning.pytorch import Trainer


def check_trainer(config: Config) -> None:
    """Refuses names under `trainer` that lightning.Trainer does not know; imports Lightning if there are any.

    Raises:
        UserError: with the nearest name, and with the file and line where it was given.
    """
    try:
        check_names(config.trainer)
    except SettingError as error:
        raise UserError(error.located("", config.origins)) from None


def build_trainer(config: Config, **ours: Any) -> Trainer:
    """A lightning.Trainer with the options under `trainer`, and with ours where those say nothing.

    Raises:
        UserError: a name or a value is wrong, with the file and line where it was given; or the ranks that are asked
            for were not started.
    """
    check_trainer(config)
    check_launch(config.trainer, launch_variables())
    try:
        trainer = _build(config.trainer, **ours)
    except SettingError as error:
        raise UserError(error.located("", config.origins)) from error
    check_processes(trainer.num_devices, trainer.num_nodes, launch_variables())
    return trainer


@contextmanager
def refusals() -> Iterator[None]:
    """Inside, what Lightning refuses only as it trains is a mistake of the user's as well.

    Raises:
        UserError: it refuses something.
    """
    from lightning.pytorch.utilities.exceptions import MisconfigurationException

    try:
        yield
    except MisconfigurationException as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"lightning.Trainer refuses this training: {reason}; change what is under trainer, or a callback of yours"
        ) from error


def check_batches(config: Config, trainer: Trainer, batches: Mapping[str, int]) -> None:
    """Compares the global batch with the ranks, and the options that count batches with those of an epoch.

    Args:
        config: of the training.
        trainer: of the training.
        batches: split -> global batches of an epoch over it.

    Raises:
        UserError: the batch cannot be divided by the ranks, or there are too few batches.
    """
    check_batch_size(config.data.batch_size, trainer.world_size, trainer.accumulate_grad_batches)
    try:
        _check_epoch(config.trainer, batches)
    except SettingError as error:
        raise UserError(error.located("", config.origins)) from None


def _check_epoch(options: Mapping[str, Any], batches: Mapping[str, int]) -> None:
    parts = options.get("accumulate_grad_batches", 1)
    taken = {}
    for split in ("train", "val"):
        name, whole = f"limit_{split}_batches", batches[split] * parts
        limit = 1.0 if options.get(name) is None else options[name]
        taken[split] = min(limit, whole) if isinstance(limit, int) else int(limit * whole)
        if limit and not taken[split]:
            raise SettingError(
                f"trainer.{name}",
                f"is {limit}, which of {whole} batches is none, expected at least one; set a larger one, or 1",
            )
    if taken["train"] % parts:
        below = taken["train"] // parts * parts
        raise SettingError(
            "trainer.limit_train_batches",
            f"leaves {taken['train']} batches of an epoch, expected a multiple of {parts}, as many as make a step; set "
            f"{below or parts}, or another trainer.accumulate_grad_batches",
            "trainer.accumulate_grad_batches",
        )
    interval, every = options.get("val_check_interval"), options.get("check_val_every_n_epoch", 1)
    if isinstance(interval, int) and every is not None and taken["val"] and interval > taken["train"]:
        raise SettingError(
            "trainer.val_check_interval",
            f"is {interval}, expected at most the {taken['train']} batches of an epoch; set "
            "trainer.check_val_every_n_epoch=null, to count across epochs",
            "trainer.check_val_every_n_epoch",
        )


def threads_of(config: Config, trainer: Trainer) -> int:
    """Threads of each process on a CPU: what train.threads says, or its share of the cores."""
    return config.train.threads or max(1, usable_cores() // trainer.num_devices)


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
            raise SettingError(
                f"trainer.{name}",
                "is no option of lightning.Trainer, expected one of its names"
                + did_you_mean(name, known, f"it knows {', '.join(known)}"),
            )


def _build(options: Mapping[str, Any], **ours: Any) -> Trainer:
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
        problem = f"is {spelled(options[suspects[0]])}, and lightning.Trainer refuses it{also}: {reason}"
        raise SettingError(first, problem, *others) from error


def _cluster_plugins() -> list[Any]:
    """What Lightning needs to know of SLURM, inside of its jobs: ranks come from there, and nothing else does.

    Left to itself Lightning answers signals too, with work inside of the handler that ends in deadlocks.
    """
    from lightning.pytorch.plugins.environments import SLURMEnvironment

    return [SLURMEnvironment(auto_requeue=False)] if SLURMEnvironment.detect() else []
