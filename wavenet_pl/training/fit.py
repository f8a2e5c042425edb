"""A training from its task to its exit code: what it is of, its trainer, what lies around it."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from wavenet_pl.config.tree import Config, to_plain
from wavenet_pl.errors import UserError
from wavenet_pl.runs.folder import RunFolder, checkpoint_step
from wavenet_pl.signals import StopFlag, StopRun, hold, ignore_signals, release
from wavenet_pl.training.task import Extras, Task
from wavenet_pl.training.trainer_options import build_trainer, check_batches, refusals, threads_of

if TYPE_CHECKING:
    import lightning.pytorch as L

    from wavenet_pl.training.wandb_logger import RunTracker

_log = logging.getLogger(__name__)


def fit(task: Task, flag: StopFlag, began: float, *, fresh: bool = False) -> int:
    """Trains from the newest checkpoint on, or from the module as it is; returns the exit code, the same on all ranks.

    Args:
        task: what is trained.
        flag: set by signals.
        began: when the command did, by `time.monotonic`.
        fresh: whether an earlier run is set aside first.

    Raises:
        UserError: something does not fit the data, the folder or the machine, or Lightning refuses it.
    """
    import torch

    from wavenet_pl.training.memory import keep_freed_memory
    from wavenet_pl.training.profile import direct_profile

    config, run = task.config, task.run
    flag.stop_at = None if config.train.stop_after is None else began + config.train.stop_after
    trainer = _build_trainer(run, config, flag, task.extras)
    flag.speaks = trainer.is_global_zero
    direct_profile(trainer, run.logs)
    check_batches(config, trainer, task.data.num_batches)
    if fresh:
        _check_fresh(trainer)
    task.data.build_keeper(trainer)  # which looks whether there is room, before anything is written
    torch.set_num_threads(threads_of(config, trainer))
    if trainer.strategy.root_device.type == "cpu":
        keep_freed_memory()
    held = _take_folder(run, fresh) if trainer.is_global_zero else []
    try:
        return _fit(task, trainer)
    finally:
        for lock in held:
            lock.close()


def _fit(task: Task, trainer: L.Trainer) -> int:
    """The same in a folder that is taken."""
    from wavenet_pl.runs.checkpoints import newest_valid
    from wavenet_pl.runs.starts import enter
    from wavenet_pl.training import briefing
    from wavenet_pl.training.callbacks.ranks import end_by_itself, leave_together, let_first_process_end
    from wavenet_pl.training.profile import end_profile, say_profile

    run, module = task.run, task.module
    enter(run, trainer.global_rank)
    resume, passed_over = newest_valid(run)
    tracker = _prepare_rank_zero(task, trainer, resume, passed_over)
    code = 0
    hold()  # ranks are started in there; one that a signal kills as it begins would be waited for in vain
    try:
        with refusals():
            trainer.fit(
                module,
                datamodule=task.data,
                ckpt_path=None if resume is None else str(resume),
                weights_only=True,
            )
        if task.extras.at_end is not None and trainer.is_global_zero:
            task.extras.at_end(tracker)
    except StopRun as stop:
        code = stop.code
        end_profile(trainer)
        if trainer.is_global_zero:
            briefing.say_stopped(run, stop)
    except BaseException:
        code = 1
        let_first_process_end(trainer)
        raise
    finally:
        release()
        if code:
            end_by_itself()
        if tracker is not None:
            # Of a run that failed, what failed is the message, and not what cannot be kept of it.
            if code != 1 and trainer.is_global_zero:
                _keep_models(run, tracker)
            tracker.finish(code)
    leave_together()
    if code:
        ignore_signals()
    if trainer.is_global_zero:
        say_profile(trainer, run.logs)
        if code == 0 and task.extras.at_end is None:
            briefing.say_end(run, trainer)
    return code


def _check_fresh(trainer: L.Trainer) -> None:
    """Ranks that did not begin with rank 0 look for a checkpoint when they like, also before it sets the run aside.

    Raises:
        UserError: these did not.
    """
    from lightning.pytorch.plugins.environments import LightningEnvironment

    environment = getattr(trainer.strategy, "cluster_environment", None)
    if trainer.world_size > 1 and not isinstance(environment, LightningEnvironment):
        raise UserError(
            f"--fresh is set, and {trainer.world_size} ranks were started from outside, expected one process: no rank "
            "waits for another that sets the earlier run aside; move its folder away yourself, and leave --fresh out"
        )


def _take_folder(run: RunFolder, fresh: bool) -> list[BinaryIO]:
    """The run folder for this process alone, swept; a fresh run finds none of its name. Returns what locks it."""
    held = [run.lock()]
    if fresh and run.checkpoints.exists():
        print(f"the earlier run is now {run.set_aside()}", file=sys.stderr)
        held.append(run.lock())
    run.sweep()
    return held


def _build_trainer(run: RunFolder, config: Config, flag: StopFlag, extras: Extras) -> L.Trainer:
    """A Trainer with the config's own options and what is ours."""
    from wavenet_pl.training.callbacks.bad_numbers import BadNumbers
    from wavenet_pl.training.callbacks.bad_recordings import BadRecordings
    from wavenet_pl.training.callbacks.checkpoints import Checkpoints
    from wavenet_pl.training.callbacks.condition_use import ConditionUse
    from wavenet_pl.training.callbacks.ema import AveragedWeights
    from wavenet_pl.training.callbacks.preemption import Entrance, Preemption
    from wavenet_pl.training.callbacks.progress import RunProgress
    from wavenet_pl.training.callbacks.resumption import Resumption
    from wavenet_pl.training.callbacks.samples import SampleLogger
    from wavenet_pl.training.callbacks.steps import StepMetrics
    from wavenet_pl.training.callbacks.throughput import Throughput
    from wavenet_pl.training.callbacks.time_left import TimeLeft
    from wavenet_pl.training.callbacks.watchdog import Watchdog
    from wavenet_pl.training.checkpoint_io import AtomicCheckpointIO

    checkpoints = Checkpoints(run, config.train)
    average = AveragedWeights(config.optim.ema_decay) if config.optim.ema_decay else None
    # In this order they act after a step: its row is written and its average made before anything can stop and save.
    callbacks: list[L.Callback] = [
        Entrance(flag), Resumption(), StepMetrics(), Throughput(), TimeLeft()
    ]  # fmt: skip
    callbacks += [average] if average else []
    if config.train.hang_after is not None:
        callbacks.append(Watchdog(config.train.hang_after, run.logs))
    callbacks += [
        BadNumbers(run.path, config.train.max_skipped_steps),
        BadRecordings(run.path, config.data.max_bad_fraction, checkpoints),
    ]
    if config.model.inputs and extras.warn_unused_condition:
        callbacks.append(ConditionUse(config.optim.warmup_steps))
    callbacks += extras.callbacks
    if config.samples.every_n_steps:
        weights = {"weights": average.averaged} if average else {}
        callbacks.append(SampleLogger(config.samples, run.clips, stopping=lambda: bool(flag), **weights))
    callbacks.append(Preemption(flag, checkpoints))
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
    from wavenet_pl.runs.examples import keep_examples
    from wavenet_pl.tracking.rows import cut_back
    from wavenet_pl.training import briefing
    from wavenet_pl.training.callbacks import bad_numbers
    from wavenet_pl.training.metrics_file import MetricsFile
    from wavenet_pl.training.precision import warn_slow_precision
    from wavenet_pl.training.wandb_logger import build_wandb_logger

    run, config, data, module = task.run, task.config, task.data, task.module
    facts = dict(task.extras.facts)
    if trainer.is_global_zero:
        briefing.describe(task, trainer, resume)
        facts |= run.create(config)
        keep_examples(run, data.splits["val"], data.inputs)
        for path in (run.metrics, run.path / bad_numbers.NAME):
            cut_back(path, -1 if resume is None else checkpoint_step(resume))
        for reason in passed_over:
            print(f"passed over: {reason}", file=sys.stderr)
        if resume is not None:
            briefing.say_lost_rows(run, checkpoint_step(resume))
        warn_slow_precision(trainer.precision, trainer.strategy.root_device)
        baselines = briefing.measured_baselines(run, data, module.model)
        briefing.show_baselines(baselines, module.model)
        if task.beginning is not None:
            facts |= {"base": task.beginning.path, "base_hash": task.beginning.hash}
        facts |= {
            "parameters": module.model.num_parameters,
            "receptive_field": config.model.network.receptive_field,
            "sample_rate": data.sample_rate,
            "hours": data.hours,
            "names": {table: len(names) for table, names in data.labels.tables.items()},
            "baselines": baselines.rows,
        }
    metrics = MetricsFile(run.metrics)
    metrics.attach(trainer)
    tracker = build_wandb_logger(
        config.wandb,
        run_dir=run.path,
        run_id=run.run_id,
        run_config={**to_plain(config), **facts},
        index_fingerprint=data.shard_set.fingerprint,
        name=run.name,
        job_type=task.extras.job_type,
        tags=(config.model.kind, config.model.head.kind),
    )
    if tracker is not None:
        tracker.catch_up()
        tracker.attach(trainer)
        if task.beginning is not None:
            tracker.use_model(task.beginning.hash)
    trainer.loggers = [metrics, *([] if tracker is None else [tracker]), *task.extras.loggers]
    return tracker


def _keep_models(run: RunFolder, tracker: RunTracker) -> None:
    """The best and the last checkpoint as model artifacts, where wandb.artifacts asks for them."""
    from wavenet_pl.runs.checkpoints import best_checkpoint, newest_valid, validation_bits

    if not tracker.config.artifacts:
        return
    try:
        newest, _ = newest_valid(run)
        if newest is None:
            return
        bits = validation_bits(run)
        aliases: dict[Path, list[str]] = {best_checkpoint(run): ["best"]}
    except (UserError, OSError) as error:  # how the run ended is what counts
        _log.warning(f"no checkpoint is kept as an artifact: {error}")
        return
    aliases.setdefault(newest, []).append("last")
    for path, names in aliases.items():
        step = checkpoint_step(path)
        tracker.log_model(path, names, {"step": step, "val/bits": bits.get(step)})
