"""What is looked at before a job is submitted: each finding names the option or setting to change."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from wavenet_pl.cluster import fitness, storage
from wavenet_pl.cluster.options import JobOptions
from wavenet_pl.cluster.plan import Step
from wavenet_pl.cluster.records import Record
from wavenet_pl.cluster.scheduler import Refused, Scheduler
from wavenet_pl.cluster.script import build_script
from wavenet_pl.cluster.states import Partition
from wavenet_pl.files.redaction import redact
from wavenet_pl.runs import versions
from wavenet_pl.runs.versions import Finding

Level = Literal["warn", "fail"]
_REFUSALS = {
    "partition": "--partition",
    "account": "--account",
    "qos": "--qos",
    "time limit": "--time",
    "feature": "--constraint",
    "memory": "--mem",
    "node name": "--exclude",
    "dependency": "--after",
    "cpu count": "--cpus-per-task",
    "gres": "--gpus-per-node",
    "node count": "--nodes",
    "array": "--array",
    "node configuration": "--nodes, --gpus-per-node, --cpus-per-task, --mem or --constraint",
}
"""Words in what sbatch says -> the option to change."""


def examine(
    step: Step, scheduler: Scheduler, records: Sequence[Record], after: Sequence[str]
) -> Iterator[Finding]:
    """Every finding about a job, those that stand in its way with the level fail. Nothing is written.

    Args:
        step: the job.
        scheduler: SLURM, where it is here.
        records: what was submitted before.
        after: ids of the jobs that it waits for.
    """
    yield from versions.known_bad(versions.installed_version)
    yield from secrets(step)
    yield from storage.check_folders(step)
    for path, index in {each.config.data.path: each.index for each in step.trainings}.items():
        yield from fitness.data(path, index)
    # What tasks of an array have in common is reported once.
    yield from dict.fromkeys(
        finding
        for each in step.trainings
        for finding in (*fitness.settings(each.config, step.options), *fitness.saving(each, step.options))
    )
    yield from folders(step, scheduler, records)
    if not scheduler.is_here:
        yield Finding(
            "warn", "slurm", "not on this machine", "submit from a login node, where sbatch checks the rest"
        )
        return
    yield from dependencies(after, scheduler)
    yield from cluster(step, scheduler)


def secrets(step: Step) -> Iterator[Finding]:
    """Keys and passwords that would stand in the script, which others can read."""
    for word in [*step.job.command, *(word for task in step.job.tasks for word in task)]:
        name, _, value = word.partition("=")
        if redact({name: value}) != {name: value} or redact(word) != word:
            yield Finding(
                "fail", name if value else "command", "has a key or a password in it, and others can read scripts",
                "set it in the environment of sbatch, which jobs inherit",
            )  # fmt: skip


def folders(step: Step, scheduler: Scheduler, records: Sequence[Record]) -> Iterator[Finding]:
    """No two tasks, and no two jobs, train in one run folder."""
    paths = [training.run.path.resolve() for training in step.trainings if training.run is not None]
    for task, path in enumerate(paths):
        if path in paths[:task]:
            first = paths.index(path)
            yield Finding(
                "fail", "--array", f"tasks {first} and {task} would train in {path.name}",
                "vary seed, name, or a setting of model, optim or data that makes another run",
            )  # fmt: skip
    if not scheduler.is_here:
        return
    for record in records:
        for id in record.ids:
            run = record.run_of(id)
            if run is not None and run.path.resolve() in paths:
                for state in scheduler.job(id):
                    if not state.is_over and state.name == record.name:
                        advice = f"wait for it with --after {id}, or end it with `wavenet-pl slurm stop {id}`"
                        yield Finding(
                            "fail", "run folder", f"job {id} is {state.state} in {run.path.name}", advice
                        )


def dependencies(after: Sequence[str], scheduler: Scheduler) -> Iterator[Finding]:
    """Whether what is waited for can still come to a good end."""
    for id in after:
        states = scheduler.job(id)
        if not states:
            yield Finding("fail", "--after", f"SLURM knows no job {id}", "leave --after out if it is done")
        for state in states:
            if state.is_over and state.state != "COMPLETED":
                yield Finding(
                    "fail",
                    "--after",
                    f"job {state.id} is {state.state}",
                    "run it again, and name the new job",
                )


def cluster(step: Step, scheduler: Scheduler) -> Iterator[Finding]:
    """What the cluster's own settings, its partitions and sbatch say."""
    settings, options = scheduler.settings(), step.options
    misfits = list(_array(step, int(settings.get("MaxArraySize", "1001"))))
    misfits += partitions(options, scheduler.partitions())
    if "accounting_storage/none" in settings.get("AccountingStorageType", ""):
        for option, value in (("--account", options.account), ("--qos", options.qos)):
            if value:
                yield Finding(
                    "warn", option, f"{value}, and no accounting runs here", "leave it out: it has no effect"
                )
    elif (
        options.account and (known := scheduler.accounts(getpass.getuser())) and options.account not in known
    ):
        misfits.append(
            Finding("fail", "--account", f"{options.account} is none of yours", f"use {' or '.join(known)}")
        )
    yield from misfits
    if not any(finding.level == "fail" for finding in misfits):
        yield from _test_only(step, scheduler)


def _array(step: Step, largest: int) -> Iterator[Finding]:
    if len(step.job.tasks) > largest:
        state = f"{len(step.job.tasks)} tasks, and the cluster takes {largest}"
        yield Finding("fail", "--array" if step.trainings else "--slices", state, "submit it in parts")


def _test_only(step: Step, scheduler: Scheduler) -> Iterator[Finding]:
    try:
        answer = scheduler.test_only(build_script(step.options, step.job))
    except Refused as refused:
        reason = refused.reason.lower()
        option = next((option for words, option in _REFUSALS.items() if words in reason), "sbatch")
        yield Finding(
            "fail", option, f"sbatch says: {refused.reason}", "change it, or ask `sinfo` for what there is"
        )
    else:
        yield Finding("ok", "sbatch", answer)


def partitions(options: JobOptions, known: Sequence[Partition]) -> Iterator[Finding]:
    """What is asked for against what the nodes of the partition have."""
    names = sorted({kind.name for kind in known})
    wanted = (
        options.partition.split(",") if options.partition else sorted({k.name for k in known if k.default})
    )
    if not wanted:
        yield Finding("fail", "--partition", "the cluster has no default", f"use {' or '.join(names)}")
    for name in wanted:
        kinds = [kind for kind in known if kind.name == name]
        if not kinds:
            yield Finding("fail", "--partition", f"there is no {name}", f"use {' or '.join(names)}")
        elif not kinds[0].up:
            yield Finding("fail", "--partition", f"{name} is down", f"use {' or '.join(set(names) - {name})}")
        else:
            yield from _nodes(options, name, kinds)


def _nodes(options: JobOptions, name: str, kinds: Sequence[Partition]) -> Iterator[Finding]:
    limit = kinds[0].limit
    if limit is not None and options.seconds is not None and options.seconds > limit:
        state = f"{options.time}, and {name} allows {limit / 3600:g} h"
        yield Finding("fail", "--time", state, "lower it: the job is started again and goes on")
    if options.seconds is None and limit is None:
        yield Finding(
            "warn", "--time", f"not set, and {name} has no limit", "set it: short jobs start earlier"
        )
    cpus = options.tasks * (options.cpus_per_task or 1)
    memory = read_memory(options.mem)
    wishes: list[tuple[str, str, Callable[[Partition], bool]]] = [
        ("--constraint", f"{options.constraint}", lambda kind: _has(kind, options.constraint)),
        ("--gpus-per-node", f"{options.gpus_per_node}", lambda kind: kind.gpus >= options.gpus_per_node),
        ("--cpus-per-task", f"{cpus} cores for {options.tasks} tasks", lambda kind: kind.cpus >= cpus),
        ("--mem", f"{options.mem}", lambda kind: kind.memory >= memory),
    ]
    for option, text, fits in wishes:
        left = [kind for kind in kinds if fits(kind)]
        if not left:
            yield Finding(
                "fail", option, f"{text}, and no node of {name} has it", f"nodes have {_have(kinds)}"
            )
            return
        kinds = left
    if (there := sum(kind.nodes for kind in kinds)) < options.nodes:
        yield Finding("fail", "--nodes", f"{options.nodes}, and {name} has {there} such", "lower it")


def _has(kind: Partition, constraint: str | None) -> bool:
    """Only a plain word is judged here; of a&b and a|b sbatch knows more."""
    return constraint is None or not constraint.replace("_", "").isalnum() or constraint in kind.features


def _have(kinds: Sequence[Partition]) -> str:
    parts = [
        f"{kind.cpus} cores, {kind.memory // 1024} GiB, {kind.gpus} GPUs"
        + (f", features {', '.join(sorted(kind.features))}" if kind.features else "")
        for kind in kinds
    ]
    return " or ".join(dict.fromkeys(parts))


def read_memory(text: str | None) -> float:
    """MiB of `64G`; as sbatch, a bare number is MiB."""
    if not text:
        return 0.0
    unit = {"K": 1 / 1024, "M": 1.0, "G": 1024.0, "T": 1024.0**2}
    return float(text.rstrip("KMGT")) * unit.get(text[-1], 1.0)
