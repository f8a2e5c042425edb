"""What is looked at before a job is submitted: each finding names the option or setting to change."""

from __future__ import annotations

import getpass
from collections.abc import Iterator, Sequence

from wavenet_pl.cluster import environment, fitness, storage
from wavenet_pl.cluster.partitions import partitions, wanted_partitions
from wavenet_pl.cluster.plan import Step
from wavenet_pl.cluster.records import Record
from wavenet_pl.cluster.scheduler import Refused, Scheduler
from wavenet_pl.cluster.script import build_script
from wavenet_pl.cluster.states import Partition
from wavenet_pl.files.redaction import redact, redact_text
from wavenet_pl.runs import versions
from wavenet_pl.runs.versions import Finding
from wavenet_pl.shards.shard_set import set_name

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
    "unrecognized option": "--sbatch",
    "reservation": "--sbatch",
    "license": "--sbatch",
    "node configuration": "--nodes, --gpus-per-node, --cpus-per-task, --mem or --constraint",
}
"""Words in what sbatch says -> the option to change."""
_INHERITED = "set it in the environment of sbatch, which jobs inherit"


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
    yield from environment.findings(step.options, environment.sbatch_variables())
    yield from storage.check_folders(step)
    for name, shard_set in {
        set_name(each.config.data.path): each.shard_set for each in step.trainings
    }.items():
        yield from fitness.data(name, shard_set)
    # What tasks of an array have in common is reported once.
    yield from dict.fromkeys(
        finding
        for each in step.trainings
        for finding in (
            *fitness.settings(each.config, step.options),
            *fitness.near(each, step.options),
            *fitness.saving(each, step.options),
        )
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
    tasks = (word for task in step.job.tasks for word in task)
    words = [
        (word.partition("=")[0] if "=" in word else "command", word) for word in [*step.job.command, *tasks]
    ]
    words += [("--sbatch", text) for text in step.options.sbatch]
    words += [("--setup", text) for text in step.options.setup]
    for name, word in words:
        if _has_secret(word):
            yield Finding(
                "fail", name, "has a key or a password in it, and others can read scripts", _INHERITED
            )


def _has_secret(word: str) -> bool:
    """Whether a word has one, or gives a value to the name of one: in `--comment=api_key=x` there are two names."""
    name, _, value = word.partition("=")
    given = {name: value}
    return redact(given) != given or redact_text(word) != word or (bool(value) and _has_secret(value))


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
    known = scheduler.partitions()
    misfits += partitions(options, known)
    if "accounting_storage/none" in settings.get("AccountingStorageType", ""):
        for option, value in (("--account", options.account), ("--qos", options.qos)):
            if value:
                yield Finding(
                    "warn", option, f"{value}, and no accounting runs here", "leave it out: it has no effect"
                )
    elif (
        options.account and (yours := scheduler.accounts(getpass.getuser())) and options.account not in yours
    ):
        misfits.append(
            Finding("fail", "--account", f"{options.account} is none of yours", f"use {' or '.join(yours)}")
        )
    yield from misfits
    if not any(finding.level == "fail" for finding in misfits):
        yield from _test_only(step, scheduler, known)


def _array(step: Step, largest: int) -> Iterator[Finding]:
    if len(step.job.tasks) > largest:
        state = f"{len(step.job.tasks)} tasks, and the cluster takes {largest}"
        yield Finding("fail", "--array" if step.trainings else "--slices", state, "submit it in parts")


def _test_only(step: Step, scheduler: Scheduler, known: Sequence[Partition]) -> Iterator[Finding]:
    try:
        answer = scheduler.test_only(build_script(step.options, step.job))
    except Refused as refused:
        reason = refused.reason.lower()
        option = next((option for words, option in _REFUSALS.items() if words in reason), "sbatch")
        state, names = f"sbatch says: {refused.reason}", wanted_partitions(step.options, known)
        if "node configuration" in reason and any(k.ready < k.nodes for k in known if k.name in names):
            # It says so of nodes that are drained, too, and queues the job when it is submitted.
            advice = (
                "some nodes are down or drained: if they are missing, the job waits for them; see `sinfo -R`"
            )
            yield Finding("warn", option, state, advice)
        else:
            yield Finding("fail", option, state, "change it, or ask `sinfo` for what there is")
    else:
        yield Finding("ok", "sbatch", answer)
