"""The command `train`: a config becomes a run, and the same command goes on with it."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from wavenet_pl.config import Config, build_trainer, check_trainer, load_config, split_arguments, to_plain
from wavenet_pl.data.index import Index, load_index
from wavenet_pl.errors import UserError
from wavenet_pl.run import RunFolder, checkpoint_step, list_checkpoints, run_folder
from wavenet_pl.signals import StopFlag, StopRun, ignore_signals

if TYPE_CHECKING:
    import lightning.pytorch as L

    from wavenet_pl.data.datamodule import AudioDataModule
    from wavenet_pl.modules import WaveNetModule
    from wavenet_pl.tracking.wandb_logger import RunTracker

_LIMITS = ("max_steps", "max_epochs", "max_time")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `wavenet-pl train`."""
    parser.add_argument(
        "settings", nargs="*", metavar="CONFIG | key=value",
        help="YAML files, or names of shipped configs such as `demo`, and settings such as data.path=data/speech; "
        "later ones win",
    )  # fmt: skip
    parser.add_argument("--runs", default="runs", metavar="DIR", help="where run folders lie (default: runs)")
    parser.add_argument(
        "--fresh",
        action="store_true",
        help="start over; an earlier run of this experiment is set aside, not deleted",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be trained, and write nothing")


def main(args: argparse.Namespace) -> int:
    """Train until a limit, a signal or Ctrl-C; returns the exit code."""
    began = time.monotonic()
    flag = StopFlag()
    flag.install()  # before anything takes time: a signal must find its handler
    files, overrides = split_arguments(args.settings)
    config = load_config(files, overrides)
    check_limits(config)
    index = load_index(config.data.path)  # before torch is imported: a mistake should not have to wait
    quieten()
    check_trainer(config)
    return _train(args, config, index, flag, began)


def check_limits(config: Config) -> None:
    """A training without an end is refused.

    Raises:
        UserError: nothing says how long to train.
    """
    if not config.train.stop_after and not any(config.trainer.get(name) is not None for name in _LIMITS):
        raise UserError(
            "nothing says how long to train, expected one of trainer.max_steps, trainer.max_epochs, trainer.max_time "
            "or train.stop_after; add trainer.max_steps=100000, for instance"
        )


def _train(args: argparse.Namespace, config: Config, index: Index, flag: StopFlag, began: float) -> int:
    import lightning.pytorch as L

    from wavenet_pl import briefing
    from wavenet_pl.checkpoint import newest_valid
    from wavenet_pl.data.datamodule import AudioDataModule
    from wavenet_pl.models import build_module

    data = AudioDataModule(
        config.data, receptive_field=config.model.network.receptive_field, seed=config.seed, index=index,
        inputs=config.model.inputs, frame_context=config.model.condition.frame_context,
    )  # fmt: skip
    run = run_folder(config, data.index.fingerprint, args.runs)
    L.seed_everything(config.seed, workers=True, verbose=False)
    module = build_module(
        config, sample_rate=data.sample_rate, index_fingerprint=data.index.fingerprint, labels=data.labels
    )
    if args.dry_run:
        briefing.describe(run, config, data, module, None if args.fresh else newest_valid(run)[0])
        return 0
    return fit(Task(config, run, data, module), flag, began, fresh=args.fresh)


@dataclass(kw_only=True)
class Extras:
    """What one kind of training has beside what all have."""

    callbacks: Sequence[L.Callback] = ()
    """Act after a step and after a validation before that is saved."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """For the tracker, beside the config."""
    warns_of_deafness: bool = True
    """Whether a condition that makes no sure difference is warned of at every validation."""
    at_end: Callable[[RunTracker | None], None] | None = None
    """Called on rank 0 at the training's end, while the tracker still takes something; says itself what came out."""


@dataclass
class Task:
    """One training: of what, on what, and where."""

    config: Config
    run: RunFolder
    data: AudioDataModule
    module: WaveNetModule
    extras: Extras = field(default_factory=Extras)


def fit(task: Task, flag: StopFlag, began: float, *, fresh: bool = False) -> int:
    """Trains from the newest checkpoint on, or from the module as it is; returns the exit code.

    Args:
        task: what is trained.
        flag: set by signals.
        began: when the command did, by `time.monotonic`.
        fresh: whether an earlier run is set aside first.
    """
    import torch

    from wavenet_pl import briefing
    from wavenet_pl.callbacks.preemption import exit_code
    from wavenet_pl.callbacks.ranks import leave_together
    from wavenet_pl.checkpoint import newest_valid
    from wavenet_pl.cluster import guard
    from wavenet_pl.data.order import check_batch_size

    config, run, module = task.config, task.run, task.module
    stop_at = None if config.train.stop_after is None else began + config.train.stop_after
    trainer = _build_trainer(run, config, flag, stop_at, task.extras)
    check_batch_size(config.data.batch_size, trainer.world_size, trainer.accumulate_grad_batches)
    torch.set_num_threads(config.train.threads or max(1, len(os.sched_getaffinity(0)) // trainer.num_devices))
    if config.train.compile:
        module.network.compile()
    held = _take_folder(run, fresh) if trainer.is_global_zero else []
    guard.enter(run, trainer.global_rank)
    resume, passed_over = newest_valid(run)
    tracker = _prepare_rank_zero(task, trainer, resume, passed_over)
    code = 0
    try:
        trainer.fit(
            module,
            datamodule=task.data,
            ckpt_path=None if resume is None else str(resume),
            weights_only=True,
        )
        if task.extras.at_end is not None and trainer.is_global_zero:
            task.extras.at_end(tracker)
    except StopRun as stop:
        code = exit_code(trainer, stop.code)
        if trainer.is_global_zero:
            briefing.say_stopped(run, stop)
    except BaseException:
        code = 1
        raise
    finally:
        if tracker is not None:
            if code != 1:  # else what failed is the message, and not what cannot be kept of it
                _keep_models(run, tracker)
            tracker.finish(code)
    if code == 0 and trainer.is_global_zero and task.extras.at_end is None:
        briefing.say_end(run, trainer)
    leave_together()
    if code:
        ignore_signals()
    for lock in held:
        lock.close()
    return code


def _take_folder(run: RunFolder, fresh: bool) -> list[BinaryIO]:
    """The run folder for this process alone, swept; a fresh run finds none of its name. Returns what locks it."""
    held = [run.lock()]
    if fresh and run.checkpoints.exists():
        print(f"the earlier run is now {run.set_aside()}", file=sys.stderr)
        held.append(run.lock())
    run.sweep()
    return held


def _build_trainer(
    run: RunFolder, config: Config, flag: StopFlag, stop_at: float | None, extras: Extras
) -> L.Trainer:
    """A Trainer with the config's own options and what is ours."""
    from wavenet_pl.callbacks.bad_numbers import BadNumbers
    from wavenet_pl.callbacks.bad_recordings import BadRecordings
    from wavenet_pl.callbacks.checkpoints import Checkpoints
    from wavenet_pl.callbacks.condition_use import ConditionUse
    from wavenet_pl.callbacks.ema import AveragedWeights
    from wavenet_pl.callbacks.preemption import Preemption
    from wavenet_pl.callbacks.progress import RunProgress
    from wavenet_pl.callbacks.samples import SampleLogger
    from wavenet_pl.callbacks.steps import StepMetrics
    from wavenet_pl.callbacks.throughput import Throughput
    from wavenet_pl.callbacks.watchdog import Watchdog
    from wavenet_pl.checkpoint import AtomicCheckpointIO

    checkpoints = Checkpoints(run, config.train)
    average = AveragedWeights(config.optim.ema_decay) if config.optim.ema_decay else None
    # In this order they act after a step: its row is written and its average made before anything can stop and save.
    callbacks: list[L.Callback] = [StepMetrics(), Throughput()] + ([average] if average else [])
    if config.train.hang_after is not None:
        callbacks.append(Watchdog(config.train.hang_after, run.logs))
    callbacks += [
        BadNumbers(run.path, config.train.max_skipped_steps),
        BadRecordings(run.path, config.data.max_bad_fraction, checkpoints),
    ]
    if config.model.inputs and extras.warns_of_deafness:
        callbacks.append(ConditionUse(config.optim.warmup_steps))
    callbacks += extras.callbacks
    if config.samples.every_n_steps:
        weights = {"weights": average.averaged} if average else {}
        callbacks.append(SampleLogger(config.samples, run.clips, stopping=lambda: bool(flag), **weights))
    callbacks.append(Preemption(flag, checkpoints, stop_at))
    if config.trainer.get("enable_progress_bar", True):
        callbacks.append(RunProgress())
    return build_trainer(
        config,
        callbacks=[*callbacks, checkpoints],
        plugins=[AtomicCheckpointIO()],
        logger=False,
        default_root_dir=str(run.path),
        enable_model_summary=False,
        max_epochs=-1,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        log_every_n_steps=1,
    )


def _prepare_rank_zero(
    task: Task, trainer: L.Trainer, resume: Path | None, passed_over: list[str]
) -> RunTracker | None:
    """The run folder, what is known of data and model, and the loggers, which do nothing on other ranks."""
    from wavenet_pl import briefing
    from wavenet_pl.callbacks import bad_numbers
    from wavenet_pl.tracking.metrics_file import MetricsFile
    from wavenet_pl.tracking.rows import cut_back
    from wavenet_pl.tracking.wandb_logger import build_wandb_logger

    run, config, data, module = task.run, task.config, task.data, task.module
    facts = dict(task.extras.facts)
    if trainer.is_global_zero:
        git = run.create(config)
        for path in (run.metrics, run.path / bad_numbers.NAME):
            cut_back(path, -1 if resume is None else checkpoint_step(resume))
        for reason in passed_over:
            print(f"passed over: {reason}", file=sys.stderr)
        briefing.describe(run, config, data, module, resume)
        briefing.show_baselines(briefing.measured_baselines(run, data, module), module)
        facts |= {
            "git": git,
            "parameters": briefing.num_parameters(module),
            "receptive_field": config.model.network.receptive_field,
        }
    metrics = MetricsFile(run.metrics)
    metrics.attach(trainer)
    tracker = build_wandb_logger(
        config.wandb,
        run_dir=run.path,
        run_id=run.run_id,
        run_config={**to_plain(config), **facts},
        index_fingerprint=data.index.fingerprint,
    )
    if tracker is not None:
        tracker.catch_up()
        tracker.attach(trainer)
    trainer.loggers = [metrics] if tracker is None else [metrics, tracker]
    return tracker


def _keep_models(run: RunFolder, tracker: RunTracker) -> None:
    """The best and the last checkpoint as model artifacts, where wandb.artifacts asks for them."""
    from wavenet_pl.checkpoint import best_checkpoint, validation_bits

    if not tracker.config.artifacts or not list_checkpoints(run):
        return
    bits = validation_bits(run)
    aliases: dict[Path, list[str]] = {best_checkpoint(run): ["best"]}
    aliases.setdefault(list_checkpoints(run)[-1], []).append("last")
    for path, names in aliases.items():
        step = checkpoint_step(path)
        tracker.log_model(path, names, {"step": step, "val/bits": bits.get(step)})


def quieten() -> None:
    """What the libraries below say that is no news to the user."""
    import lightning.pytorch  # noqa: F401 - it sets the levels of its loggers when it is imported

    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("wavenet_pl").setLevel(logging.INFO)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",
        ".*`srun` command is available.*",
        ".*litlogger.*",
        ".*isinstance.treespec, LeafSpec.*",
        ".*Trying to infer the `batch_size`.*",
        ".*Checkpoint directory .* exists and is not empty.*",
        ".*This DataLoader will create.*",
        ".*mid-epoch checkpoint.*",
        ".*all_gather is deprecated.*",
        ".*recommended to use `self.log.*sync_dist=True.*",  # val/bits is reduced already
    ):
        warnings.filterwarnings("ignore", message=message)
