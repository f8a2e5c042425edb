"""What a job asks for against what the partitions have."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from wavenet_pl.cluster.options import JobOptions
from wavenet_pl.cluster.states import Partition
from wavenet_pl.runs.versions import Finding


def wanted_partitions(options: JobOptions, known: Sequence[Partition]) -> list[str]:
    """Names of those that are asked for, or of the default one."""
    if options.partition:
        return options.partition.split(",")
    return sorted({kind.name for kind in known if kind.default})


def partitions(options: JobOptions, known: Sequence[Partition]) -> Iterator[Finding]:
    """What the partitions that are asked for lack, with those that lack nothing.

    Of several, SLURM takes whichever has what is asked for: then what the others lack is no failure.
    """
    if not known:
        yield Finding("warn", "--partition", "`sinfo` names none", "whether there is one only sbatch knows")
        return
    names = sorted({kind.name for kind in known})
    lacks = {name: list(_lacks(options, [kind for kind in known if kind.name == name])) for name in names}
    fit = " or ".join(name for name in names if not lacks[name])
    wanted = wanted_partitions(options, known)
    if not wanted:
        yield Finding("fail", "--partition", "the cluster has no default", f"use {fit or ' or '.join(names)}")
    for name in wanted:
        if name not in lacks:
            yield Finding("fail", "--partition", f"there is no {name}", f"use {fit or ' or '.join(names)}")
    asked = [name for name in wanted if name in lacks]
    hopeless = all(any(finding.level == "fail" for finding in lacks[name]) for name in asked)
    for name in asked:
        for finding in lacks[name]:
            advice = f"{finding.advice}, or use --partition {fit}" if fit else finding.advice
            yield replace(finding, level=finding.level if hopeless else "warn", advice=advice)
        if options.seconds is None and all(kind.limit is None for kind in known if kind.name == name):
            advice = "set it: short jobs start earlier"
            yield Finding("warn", "--time", f"not set, and {name} has no limit", advice)


def _lacks(options: JobOptions, kinds: Sequence[Partition]) -> Iterator[Finding]:
    """What one partition, of these kinds of nodes, does not have."""
    name, limit, state = kinds[0].name, kinds[0].limit, kinds[0].state
    if state == "down":
        yield Finding("warn", "--partition", f"{name} is down", "the job waits until it is up")
    elif state != "up":
        yield Finding("fail", "--partition", f"{name} takes no jobs ({state})", "submit later")
    if limit is not None and options.seconds is not None and options.seconds > limit:
        advice = "lower it: the job is started again and goes on"
        yield Finding("fail", "--time", f"{options.time}, and {name} allows {limit / 3600:g} h", advice)
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
    there, ready = sum(kind.nodes for kind in kinds), sum(kind.ready for kind in kinds)
    if there < options.nodes:
        yield Finding("fail", "--nodes", f"{options.nodes}, and {name} has {there} such", "lower it")
    elif ready < options.nodes:
        state = (
            f"{options.nodes}, and {ready} of {there} such in {name} are up: see `sinfo -R` for the others"
        )
        yield Finding("warn", "--nodes", state, "the job waits for them; lower it")


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
