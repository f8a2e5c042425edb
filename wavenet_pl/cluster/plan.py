"""From a command line to jobs: what is submitted for a command, and what is known of it before."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from wavenet_pl.adaptation.request import read_request
from wavenet_pl.cluster.options import JobOptions
from wavenet_pl.cluster.records import records_folder
from wavenet_pl.cluster.script import Job
from wavenet_pl.cluster.sweep import read_sweep, sweep_name
from wavenet_pl.config.training import DataConfig
from wavenet_pl.config.tree import Config, check_limits, load_config, split_arguments
from wavenet_pl.errors import UserError
from wavenet_pl.runs.folder import RunFolder, run_folder
from wavenet_pl.runs.released import find_model
from wavenet_pl.shards.index import index_name
from wavenet_pl.shards.shard_set import ShardSet, open_set, paths_of
from wavenet_pl.shards.storage import Storage
from wavenet_pl.training.trainer_options import check_trainer

TRAININGS = ("train", "adapt")
"""Commands that run on every rank, are saved and go on."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """What is known of a training before it starts; of an array, of one task."""

    config: Config
    shard_set: ShardSet | None
    """None where a job before this one writes it."""
    run: RunFolder | None
    """The same."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One job, or array of jobs, to submit."""

    options: JobOptions
    job: Job
    trainings: tuple[Training, ...] = ()
    follows: bool = False
    """Whether it waits for the step before it."""


@dataclass(frozen=True, kw_only=True)
class Wish:
    """A command line of `wavenet-pl slurm`, as it was typed."""

    name: str
    """Of the command."""
    args: argparse.Namespace
    """Its arguments, and those of the job."""
    words: Sequence[str]
    """Its own arguments as they were typed, without those of the job."""
    options: JobOptions


def plan(wish: Wish) -> list[Step]:
    """The jobs of a command, in the order in which they are submitted.

    Raises:
        UserError: the command would refuse its arguments, or could not run as a job.
    """
    args, name = wish.args, wish.name
    trainings = [(option, "train") for option in ("array", "max_parallel", "cache")]
    for option, own in (*trainings, ("slices", "prepare")):
        if getattr(args, option) not in (None, []) and name != own:
            raise UserError(
                f"--{option.replace('_', '-')} is for {own}, and would be ignored for {name}; leave it out"
            )
    for id in args.after:
        if not re.fullmatch(r"\d+(_\d+)?", id):
            raise UserError(
                f"--after is {id!r:.60}, expected a job's id such as 12; see `wavenet-pl slurm status`"
            )
    if getattr(args, "fresh", False):
        raise UserError(
            "--fresh would start over at each restart of the job; move the earlier run folder away, or set another seed"
        )
    if name == "train":
        return [_training(wish)]
    if name == "adapt" and args.merge is None:
        return [_adaptation(wish)]
    _only_one_process(wish)
    return _preparation(wish) if name == "prepare" else [_single(wish)]


def _training(wish: Wish) -> Step:
    args = wish.args
    files, settings = split_arguments(args.settings)
    base = load_config(files, settings)
    tasks = read_sweep(args.array) if args.array else []
    if args.max_parallel is not None and (not tasks or args.max_parallel < 1):
        raise UserError(
            f"--max-parallel is {args.max_parallel}, expected 1 or more, beside --array; mend or drop it"
        )
    added = _topology(base.trainer, wish.options)
    if args.cache is not None:
        if base.data.cache not in (None, args.cache):
            raise UserError(
                f"data.cache is {base.data.cache}, and --cache is {args.cache}, expected one of the two; leave one out"
            )
        added.append(f"data.cache={args.cache}")
    if tasks and base.wandb.group is None:
        added.append(f"wandb.group={sweep_name(base.name, tasks)}")
    opened: dict[str, ShardSet] = {}
    trainings = [_known(files, [*settings, *added, *task], args, opened) for task in tasks or [()]]
    job = _job(wish, base.name, [*wish.words, *added], requeues=True)
    job = replace(job, tasks=tasks, max_parallel=args.max_parallel)
    workers = max(each.config.data.num_workers for each in trainings)
    return Step(options=_with_cores(wish.options, workers), job=job, trainings=tuple(trainings))


def _known(
    files: Sequence[str],
    settings: Sequence[str],
    args: argparse.Namespace,
    opened: dict[str, ShardSet],
) -> Training:
    """What is known of a training; sets are opened once for all tasks, as they may be large."""
    config = load_config(files, settings)
    check_limits(config)
    check_trainer(config)
    path = config.data.path
    if args.after and any(index_name(Storage(each)) is None for each in paths_of(path)):
        return Training(config=config, shard_set=None, run=None)  # what comes before writes it
    if repr(path) not in opened:
        opened[repr(path)] = open_set(path)
    shard_set = opened[repr(path)]
    return Training(
        config=config, shard_set=shard_set, run=run_folder(config, shard_set.fingerprint, args.runs)
    )


def _with_cores(options: JobOptions, workers: int) -> JobOptions:
    """Where nothing else is asked for, a core for each process and for each of its DataLoader workers."""
    return options if options.cpus_per_task else replace(options, cpus_per_task=1 + workers)


def _topology(trainer: Mapping[str, Any], options: JobOptions) -> list[str]:
    """Settings that follow from the job, where the config does not say them.

    Raises:
        UserError: it says others.
    """
    added = []
    for setting, asked, option in (
        ("num_nodes", options.nodes, "--nodes"),
        ("devices", options.tasks, "--gpus-per-node" if options.gpus_per_node else "--tasks-per-node"),
    ):
        given = trainer.get(setting, asked)
        if str(given) != str(asked):
            raise UserError(
                f"trainer.{setting} is {given}, and {option} makes it {asked}, expected the same; leave "
                f"trainer.{setting} out, or set {option} to it"
            )
        if setting not in trainer:
            added.append(f"trainer.{setting}={asked}")
    if "accelerator" not in trainer:
        added.append(f"trainer.accelerator={'gpu' if options.gpus_per_node else 'cpu'}")
    return added


def _adaptation(wish: Wish) -> Step:
    read_request(wish.args)
    _base_is_there(wish)
    settings = split_arguments(wish.args.settings)[1]
    given = dict(setting.split("=", 1) for setting in settings)
    trainer = {
        name.removeprefix("trainer."): value for name, value in given.items() if name.startswith("trainer.")
    }
    added = _topology(trainer, wish.options)
    job = _job(wish, f"adapt-{wish.args.speaker}", [*wish.words, *added], requeues=True)
    workers = given.get("data.num_workers", str(DataConfig().num_workers))
    return Step(options=_with_cores(wish.options, int(workers) if workers.isdecimal() else 0), job=job)


def _preparation(wish: Wish) -> list[Step]:
    from data_prep.command import check_arguments

    args, words = wish.args, list(wish.words)
    check_arguments(args)
    if args.jobs is None and args.corpus != "merge":
        words += ["--jobs", str(wish.options.cpus_per_task or 1)]
    if args.slices is None:
        return [Step(options=wish.options, job=_job(wish, f"prepare-{args.corpus}", words))]
    if args.slices < 1 or args.slice or args.overwrite or args.corpus == "merge":
        raise UserError(
            f"--slices is {args.slices}, expected 1 or more, without --slice, --overwrite and merge; they would get in "
            "each other's way"
        )
    job = _job(wish, f"prepare-{args.corpus}", words)
    slices = [("--slice", f"{number}/{args.slices}") for number in range(1, args.slices + 1)]
    merge = _job(wish, f"merge-{args.corpus}", ["merge", args.paths[-1]])
    return [
        Step(options=wish.options, job=replace(job, tasks=slices)),
        Step(options=wish.options, job=replace(merge, after=()), follows=True),
    ]


def _single(wish: Wish) -> Step:
    if hasattr(wish.args, "run"):
        _base_is_there(wish)
    return Step(options=wish.options, job=_job(wish, wish.name, wish.words))


def _only_one_process(wish: Wish) -> None:
    options = wish.options
    for option, number in (("--nodes", options.nodes), ("--tasks-per-node", options.tasks_per_node or 1)):
        if number > 1:
            raise UserError(f"{option} is {number}, expected 1: {wish.name} is one process; leave it out")
    if options.gpus_per_node > 1:
        raise UserError(
            f"--gpus-per-node is {options.gpus_per_node}, expected 1 or 0: {wish.name} is one process; lower it"
        )


def _base_is_there(wish: Wish) -> None:
    runs = [wish.args.run] if isinstance(wish.args.run, str) else wish.args.run
    for run in [] if wish.args.after else runs:
        try:
            if "://" not in run:
                find_model(run)
        except UserError as error:
            raise UserError(f"{error}; or name the job that will write it with --after") from None


def _job(wish: Wish, name: str, words: Sequence[str], *, requeues: bool = False) -> Job:
    return Job(
        name=re.sub(r"[^A-Za-z0-9_.+-]+", "-", name).strip("-._+")[:100] or wish.name,
        command=[wish.name, *words],
        folder=Path.cwd(),
        records=records_folder(wish.args.runs),
        after=[f"afterok:{id}" for id in wish.args.after],
        requeues=requeues,
    )
