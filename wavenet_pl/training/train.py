"""A training from a config: what `wavenet-pl train` and `wavenet_pl.train` have in common."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import lightning.pytorch as L

from wavenet_pl.config.tree import Config, check_limits, load_config, split_arguments
from wavenet_pl.data.datamodule import AudioDataModule
from wavenet_pl.errors import BadDataError, ExitCode
from wavenet_pl.files.standard_streams import readers_may_leave
from wavenet_pl.runs.beginning import begin_with
from wavenet_pl.runs.folder import run_folder
from wavenet_pl.runs.loading import load
from wavenet_pl.shards.shard_set import ShardSet, open_set
from wavenet_pl.signals import EXIT_CODES, StopFlag, StopRun
from wavenet_pl.training.fit import fit
from wavenet_pl.training.module import build_module
from wavenet_pl.training.quiet import quieten
from wavenet_pl.training.task import Extras, Task
from wavenet_pl.training.trainer_options import check_trainer

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger


def train(
    config: Config | str | Sequence[str],
    callbacks: Sequence[L.Callback] = (),
    loggers: Sequence[Logger] = (),
    *,
    runs: str | os.PathLike[str] = "runs",
    fresh: bool = False,
) -> Path:
    """Train a model, or go on with the run that the same config began.

    Ctrl-C saves at the next step and raises KeyboardInterrupt; the same call then goes on from there. A second one
    raises it at once. On several devices each rank raises what ended the training.

    Args:
        config: as from `load_config`, or as on the command line: ``["demo", "data.path=data/speech"]``.
        callbacks: your own, which act after a step and after a validation, before these are saved.
        loggers: your own, which get every row beside the run folder and Weights & Biases.
        runs: where run folders lie.
        fresh: start over; an earlier run of this config is set aside, not deleted.

    Returns:
        The run folder; ``wavenet_pl.load`` takes it.

    Raises:
        UserError: something in the config or the data has to be put right.
        BadDataError: too much of the data is bad, or the numbers are no longer finite; what there is was saved.
        StopRun: a signal or a time limit ended it; it was saved.
    """
    began = time.monotonic()
    if not isinstance(config, Config):
        files, overrides = split_arguments([config] if isinstance(config, str) else config)
        config = load_config(files, overrides)
    check_limits(config)
    shard_set = open_set(config.data.path)
    check_trainer(config)
    quieten()
    task = build_task(config, shard_set, runs, Extras(callbacks=callbacks, loggers=loggers))
    handlers = {number: signal.getsignal(number) for number in EXIT_CODES}
    flag = StopFlag()
    try:
        with readers_may_leave():
            code = fit(task, flag, began, fresh=fresh)
    except SystemExit:
        if flag.code == ExitCode.INTERRUPTED:  # what Lightning makes of a KeyboardInterrupt
            raise KeyboardInterrupt from None
        raise
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():
                signal.signal(number, handler)
    if code == ExitCode.INTERRUPTED:
        raise KeyboardInterrupt
    if code == ExitCode.BAD_DATA:
        raise BadDataError(f"{task.run.path} stopped for bad data or numbers, as said above")
    if code:
        raise StopRun(code, f"{task.run.path} stopped and was saved, with exit code {code}")
    return task.run.path


def build_task(
    config: Config, shard_set: ShardSet, runs: str | os.PathLike[str], extras: Extras | None = None
) -> Task:
    """The run, the data and the module of a config, from the random state that its seed gives.

    Args:
        config: checked.
        shard_set: its data.
        runs: where run folders lie.
        extras: what the training has beside what all have.

    Raises:
        UserError: the weights that it is to begin with are not there, or do not fit.
    """
    path = config.train.init_from
    base = None if path is None else load(path)
    data = AudioDataModule.from_config(config, shard_set)
    L.seed_everything(config.seed, workers=True, verbose=False)
    module = build_module(
        config, sample_rate=data.sample_rate, index_fingerprint=shard_set.fingerprint, labels=data.labels
    )
    beginning, fingerprint = None, shard_set.fingerprint
    if base is not None and path is not None:
        beginning = begin_with(module.model, base, path)
        # What it begins with makes another run of it, as other data do.
        fingerprint = hashlib.sha256(json.dumps([fingerprint, beginning.hash]).encode()).hexdigest()
    run = run_folder(config, fingerprint, runs)
    return Task(config, run, data, module, extras or Extras(), beginning)
