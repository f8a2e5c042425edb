"""Whether a training and its job fit each other: processes, cores, batches, times, data."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from typing import Any

from wavenet_pl.cluster.options import JobOptions
from wavenet_pl.cluster.plan import Training
from wavenet_pl.config.tree import Config
from wavenet_pl.data.order import EpochPlan, check_batch_size
from wavenet_pl.data.plans import GIB, epoch_plan, near_limit, node_agenda
from wavenet_pl.errors import UserError
from wavenet_pl.runs.folder import RunFolder
from wavenet_pl.runs.versions import Finding
from wavenet_pl.shards.shard_set import ShardSet, Source
from wavenet_pl.tracking.rows import SAVE_SECONDS, STOP_SECONDS, newest_rows, pick

_EARLY = 60
"""Seconds by which SLURM may signal too early or too late."""
_LEAST_LEAD = 30
"""Seconds that a save is given where none was measured."""
_RECENT = 200
"""So many of the newest saves and paces of a run say how long a save and a step take."""


def settings(config: Config, options: JobOptions) -> Iterator[Finding]:
    """The config against what the job asks for."""
    trainer = config.trainer
    accelerator = str(trainer.get("accelerator", "auto"))
    if options.gpus_per_node and accelerator == "cpu":
        yield Finding(
            "warn",
            "--gpus-per-node",
            f"{options.gpus_per_node}, and trainer.accelerator is cpu",
            "leave one out",
        )
    if not options.gpus_per_node and accelerator in ("gpu", "cuda"):
        state = f"0, and trainer.accelerator is {accelerator}"
        yield Finding("fail", "--gpus-per-node", state, "set it to the GPUs of a node, such as 8")
    if options.gpus_per_node and options.tasks != options.gpus_per_node:
        state = f"{options.tasks}, and --gpus-per-node is {options.gpus_per_node}"
        yield Finding("fail", "--tasks-per-node", state, "leave it out: each GPU gets a process")
    needed = 1 + config.data.num_workers
    if (options.cpus_per_task or 1) < needed:
        state = f"{options.cpus_per_task or 1} for a process and {config.data.num_workers} DataLoader workers"
        yield Finding(
            "fail", "--cpus-per-task", state, f"set --cpus-per-task {needed}, or data.num_workers=0"
        )
    yield from _batch(config, options, trainer)
    yield from _times(config, options)
    if config.wandb.mode == "online" and not _has_wandb_key():
        advice = "`wandb login` on this machine, or leave wandb.mode out: runs are kept offline then"
        yield Finding("fail", "wandb.mode", "online, and no key is set here", advice)


def _batch(config: Config, options: JobOptions, trainer: dict[str, Any]) -> Iterator[Finding]:
    size, parts = config.data.batch_size, int(trainer.get("accumulate_grad_batches", 1))
    try:
        check_batch_size(size, options.nodes * options.tasks, parts)
    except UserError as error:
        state, _, advice = str(error).removeprefix("data.batch_size is ").partition("; ")
        yield Finding("fail", "data.batch_size", state, f"{advice}, or other --nodes")


def _times(config: Config, options: JobOptions) -> Iterator[Finding]:
    if options.seconds is None:
        return
    if options.signal_lead + _EARLY >= options.seconds:
        state = f"{options.signal_lead} s before a limit of {options.seconds:g} s, and signals may be a minute early"
        yield Finding("fail", "--signal-lead", state, "lower it, or ask for a longer --time")
    elif options.signal_lead > options.seconds / 2:
        state = f"{options.signal_lead} s, more than half of --time {options.time}"
        yield Finding("warn", "--signal-lead", state, "lower it, or ask for a longer --time")
    stop_after = config.train.stop_after
    if stop_after is not None and stop_after >= options.seconds - options.signal_lead:
        state = f"{stop_after:g} s, later than the signal before --time {options.time}"
        yield Finding("warn", "train.stop_after", state, "leave it out: the signal comes first")


def data(name: str, shard_set: ShardSet | None) -> Iterator[Finding]:
    """Whether the shards are those of the index, by their sizes; what differs inside shows when they are read.

    Args:
        name: of the set.
        shard_set: the set; None where another job is to write it.
    """
    if shard_set is None:
        yield Finding("ok", "data.path", f"{name} is to be written by the job before")
        return
    for source in shard_set.sources:
        yield from _shards(source)


def _shards(source: Source) -> Iterator[Finding]:
    path, index, storage = source.name, source.index, source.storage
    if not index.seconds("train"):
        yield Finding(
            "fail", "data.path", f"{path} has no split train", "prepare it with another --val-fraction"
        )
    if "://" in storage.location:
        yield Finding(
            "ok", "data.path", f"{path}, index {index.fingerprint[:12]}; shards behind a URL are not counted"
        )
        return
    for shard in (shard for shards in index.splits.values() for shard in shards):
        try:
            size = os.stat(storage.path(shard.name)).st_size
        except OSError as error:
            yield Finding(
                "fail", "data.path", f"{shard.name} cannot be read ({error.strerror})", f"copy it to {path}"
            )
            return
        if size != shard.bytes:
            what = f"{shard.name} has {size} bytes, and its index says {shard.bytes}"
            yield Finding("fail", "data.path", what, f"copy it again, or run `wavenet-pl index {path}`")
            return
    yield Finding("ok", "data.path", f"{path}, index {index.fingerprint[:12]} and its shards agree")


def near(training: Training, options: JobOptions) -> Iterator[Finding]:
    """What a node keeps near of the shards, against its limit. The nodes' disks are not known here."""
    config, shard_set, world_size = training.config, training.shard_set, options.nodes * options.tasks
    parts = int(config.trainer.get("accumulate_grad_batches", 1))
    if config.data.cache is None or shard_set is None or config.data.batch_size % (world_size * parts):
        return
    split = shard_set.near(config.data.cache).split("train")

    def plan(epoch: int) -> EpochPlan:
        return epoch_plan(config.data, split, shard_set, seed=config.seed, epoch=epoch, shuffle=True)

    agenda = node_agenda(split, plan, range(options.tasks), parts=parts, world_size=world_size)
    try:
        limit = near_limit(config.data, agenda)
    except UserError as error:
        setting, _, state = str(error).partition(" is ")
        state, _, advice = state.rpartition("; ")
        yield Finding("fail", setting, state, advice)
        return
    yield Finding("ok", "data.cache", f"{config.data.cache}, up to {limit / GIB:.3g} GiB on each node")


def saving(training: Training, options: JobOptions) -> Iterator[Finding]:
    """The signal's lead against the longest save of this run, and the longest time for which a signal had to wait."""
    run = training.run
    try:
        saves = _newest(run, SAVE_SECONDS) if run else []
    except UserError as error:
        yield Finding("fail", "run folder", str(error))
        return
    if not saves:
        if options.signal_lead < _LEAST_LEAD:
            state = f"{options.signal_lead} s, and no save was measured yet"
            yield Finding("warn", "--signal-lead", state, f"set at least {_LEAST_LEAD}")
        return
    wait = max(_newest(run, STOP_SECONDS), default=0.0) if run else 0.0
    needed = wait + 2 * max(saves)
    state = (
        f"{options.signal_lead} s, and {run.name if run else ''} takes up to {wait:.1f} s until it can stop and "
        f"{max(saves):.1f} s to save"
    )
    if options.signal_lead < needed:
        yield Finding("fail", "--signal-lead", state, f"set --signal-lead {int(needed) + 1} or more")
    else:
        yield Finding("ok", "--signal-lead", state)


def _newest(run: RunFolder, key: str) -> list[float]:
    points = pick(newest_rows(run.metrics, key, _RECENT), key, run.metrics)
    return [value for _, value in points if math.isfinite(value)]


def _has_wandb_key() -> bool:
    """Whether W&B would find a key. This imports Lightning, and is called for online runs only."""
    from wavenet_pl.training.wandb_session import key_is_set

    return key_is_set()
