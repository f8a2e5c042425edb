"""What SLURM's commands print, read: states of jobs, partitions, times."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

WAITING = ("PENDING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD", "REQUEUE_FED")
ACTIVE = (
    "RUNNING",
    "COMPLETING",
    "CONFIGURING",
    "SUSPENDED",
    "STOPPED",
    "SIGNALING",
    "STAGE_OUT",
    "RESIZING",
)
_INFINITE = ("UNLIMITED", "INFINITE", "NOT_SET", "PARTITION_LIMIT", "INVALID")
_FIELD = re.compile(r"(?:^| )([A-Z][A-Za-z_:/]*)=")


@dataclass(frozen=True, kw_only=True)
class JobState:
    """What the controller says of one job, or of one task of an array."""

    id: str
    """`12`, or `12_3` for a task of an array."""
    name: str
    state: str
    """SLURM's word: PENDING, RUNNING, COMPLETED, FAILED, CANCELLED, TIMEOUT, NODE_FAIL, PREEMPTED and others."""
    reason: str
    """Why it waits or ended so; empty where there is nothing to say."""
    restarts: int
    """How often it was started again."""
    exit_code: int
    elapsed: float | None
    """Seconds since its last start."""
    limit: float | None
    """Seconds it may take; None for no limit."""
    nodes: str
    """Where it runs, as SLURM writes a list of nodes."""

    @property
    def is_over(self) -> bool:
        """Whether it neither waits nor runs."""
        return self.state not in WAITING + ACTIVE


@dataclass(frozen=True, kw_only=True)
class Partition:
    """Nodes of one kind in one partition; a partition with several kinds has several of these."""

    name: str
    default: bool
    state: str
    """`up`; `down` only queues jobs, and `drain` and `inactive` take none."""
    limit: float | None
    """Seconds that a job may take; None for no limit."""
    nodes: int
    ready: int
    """Nodes that are neither down nor drained, busy or not."""
    cpus: int
    """Of one node."""
    memory: int
    """Of one node, in MiB."""
    gpus: int
    """Of one node."""
    features: frozenset[str]
    """What --constraint may ask for."""


def read_jobs(text: str) -> list[JobState]:
    """What `scontrol show job --oneliner` prints."""
    jobs = []
    for line in text.split("\n"):
        fields = _fields(line)
        if "JobId" in fields:
            jobs += [_job(fields, id) for id in _ids(fields)]
    return jobs


def _fields(line: str) -> dict[str, str]:
    """NAME=VALUE pairs; a value ends where the next name begins, and may hold blanks."""
    marks = list(_FIELD.finditer(line))
    ends = [*(mark.start() for mark in marks[1:]), len(line)][: len(marks)]
    fields: dict[str, str] = {}
    for mark, end in zip(marks, ends, strict=True):
        fields.setdefault(
            mark[1], line[mark.end() : end].strip()
        )  # a later one may stand inside a command line
    return fields


def _ids(fields: Mapping[str, str]) -> list[str]:
    """A job's id, or those of the array's tasks that this line stands for: tasks that wait share one."""
    if "ArrayJobId" not in fields:
        return [fields["JobId"]]
    tasks: list[int] = []
    for part in fields.get("ArrayTaskId", "").partition("%")[0].split(","):
        if match := re.fullmatch(r"(\d+)(?:-(\d+)(?::(\d+))?)?", part):
            first, last, stride = (int(number) if number else None for number in match.groups())
            assert first is not None
            tasks += range(first, (first if last is None else last) + 1, stride or 1)
    return [f"{fields['ArrayJobId']}_{task}" for task in tasks]


def _job(fields: Mapping[str, str], id: str) -> JobState:
    reason = fields.get("Reason", "")
    return JobState(
        id=id,
        name=fields.get("JobName", ""),
        state=fields.get("JobState", "UNKNOWN"),
        reason="" if reason in ("None", "(null)") else reason,
        restarts=int(fields.get("Restarts", "0")),
        exit_code=int(fields.get("ExitCode", "0:0").split(":")[0]),
        elapsed=read_time(fields.get("RunTime", "")),
        limit=read_time(fields.get("TimeLimit", "")),
        nodes=fields.get("NodeList", "").replace("(null)", ""),
    )


def read_job_id(text: str) -> int | None:
    """The id in what sbatch printed, among the notices of a site; None where there is none, or no telling which.

    `ID`, or `ID;CLUSTER`, where --parsable is kept to, and what sbatch says without where it is not.
    """
    plain = re.findall(r"^(\d+)(?:;\S*)?\s*$", text, re.MULTILINE)
    ids = re.findall(r"^(?:sbatch: )?Submitted batch job (\d+)\b", text, re.MULTILINE) or plain
    return int(ids[0]) if len(set(ids)) == 1 else None


def read_time(text: str) -> float | None:
    """Seconds of SLURM's MINUTES, MM:SS, HH:MM:SS, D-HH, D-HH:MM and D-HH:MM:SS; None for no limit.

    Raises:
        ValueError: it is none of these.
    """
    if not text or text.upper() in _INFINITE:
        return None
    match = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", text)
    if match is None:
        raise ValueError(text)
    days, first, second, third = (None if number is None else int(number) for number in match.groups())
    assert first is not None
    if days is not None:
        return float(86400 * days + 3600 * first + 60 * (second or 0) + (third or 0))
    if third is not None:
        return float(3600 * first + 60 * (second or 0) + third)
    return float(60 * first + (second or 0))


def read_partitions(text: str) -> list[Partition]:
    """What `sinfo --format='%P|%a|%l|%F|%c|%m|%G|%f'` prints."""
    partitions = []
    for line in text.split("\n"):
        if line.count("|") < 7:
            continue
        name, state, limit, nodes, cpus, memory, generic, features = line.split("|", 7)
        allocated, idle, _, total = map(int, nodes.split("/"))
        partitions.append(
            Partition(
                name=name.removesuffix("*"),
                default=name.endswith("*"),
                state=state,
                limit=read_time(limit),
                nodes=total,
                ready=allocated + idle,
                cpus=int(cpus.rstrip("+")),
                memory=int(memory.rstrip("+")),
                gpus=sum(int(count) for count in re.findall(r"\bgpu:(?:[^:,(]+:)?(\d+)", generic)),
                features=frozenset(features.replace("(null)", "").split(",")) - {""},
            )
        )
    return partitions
