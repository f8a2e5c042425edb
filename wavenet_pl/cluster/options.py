"""What a job asks of the cluster: the options, their checks, and their #SBATCH lines."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from wavenet_pl.cluster.node_setup import read_setup
from wavenet_pl.cluster.passed_on import read_passed_on
from wavenet_pl.cluster.states import read_time
from wavenet_pl.errors import UserError

MAIL_EVENTS = "END,FAIL,REQUEUE,TIME_LIMIT_90"
"""What --mail reports."""
VARIABLES = {
    "time": "SBATCH_TIMELIMIT",
    **{name: f"SBATCH_{name.upper()}" for name in ("partition", "account", "qos", "constraint")},
}
"""Option -> the variable of sbatch that says it where it is not typed."""
_WORD = r"[A-Za-z0-9_.+-]+"
_LIST = r"[^\s\"'#\\]+"


@dataclass(frozen=True, kw_only=True)
class JobOptions:
    """Nodes, time and the rest. Each is checked here, and a message names the option as it is typed."""

    nodes: int = 1
    """Machines."""
    gpus_per_node: int = 0
    """GPUs on each; 0 trains on CPUs."""
    gpu_type: str | None = None
    """Kind of GPU, as the cluster calls it."""
    tasks_per_node: int | None = None
    """Processes on each node; None for one per GPU, or one where there are none."""
    cpus_per_task: int | None = None
    """Cores of each process; None for itself and each of its DataLoader workers."""
    time: str | None = None
    """Time limit of one start, as SLURM writes it; None for the partition's own."""
    partition: str | None = None
    """Partition, or several with commas."""
    account: str | None = None
    """Whom the hours are charged to."""
    qos: str | None = None
    """Quality of service."""
    constraint: str | None = None
    """Features that the nodes must have."""
    mem: str | None = None
    """Memory of each node; 0 for all of it."""
    exclude: str | None = None
    """Nodes to leave out."""
    mail: str | None = None
    """Address that gets a mail at ends, failures and restarts."""
    signal_lead: int = 120
    """Seconds before the time limit at which a run is told to save; SLURM may be up to a minute early."""
    max_restarts: int = 50
    """The job stops when it was started again so often."""
    sbatch: Sequence[str] = ()
    """Other options of sbatch, as it takes them: `--reservation=x`."""
    setup: Sequence[str] = ()
    """Lines of bash for the node that the job begins on: they run before the command, which gets what they export."""

    def __post_init__(self) -> None:
        _check("--nodes", self.nodes, self.nodes >= 1, "1 or more")
        _check("--gpus-per-node", self.gpus_per_node, self.gpus_per_node >= 0, "0 or more")
        for name in ("tasks_per_node", "cpus_per_task"):
            number = getattr(self, name)
            _check(option_name(name), number, number is None or number >= 1, "1 or more")
        _check("--signal-lead", self.signal_lead, 1 <= self.signal_lead <= 65535, "1 to 65535 seconds")
        _check("--max-restarts", self.max_restarts, self.max_restarts >= 0, "0 or more")
        expected = "HH:MM:SS, D-HH:MM:SS or minutes, above 0"
        try:
            _check("--time", self.time, self.time is None or bool(self.seconds), expected)
        except ValueError:
            _check("--time", self.time, False, expected)
        self._match("gpu_type", _WORD, "a kind of GPU such as a100")
        for name in ("account", "qos"):
            self._match(name, _WORD, "a name of letters, digits and . _ + -")
        self._match("partition", f"{_WORD}(,{_WORD})*", "a partition, or several with commas")
        for name in ("constraint", "exclude"):
            self._match(name, _LIST, "text without blanks, quotes and #")
        self._match("mem", r"\d+[KMGT]?", "a size such as 64G, or 0 for all of a node's")
        self._match("mail", r"[^\s\"'#\\@,]+@[^\s\"'#\\@,]+", "an address such as you@example.org")
        needed = "1 or more where --gpu-type is set"
        _check("--gpus-per-node", self.gpus_per_node, self.gpus_per_node > 0 or not self.gpu_type, needed)
        read_passed_on(self.sbatch)

    @property
    def tasks(self) -> int:
        """Processes on each node."""
        return self.tasks_per_node or self.gpus_per_node or 1

    @property
    def seconds(self) -> float | None:
        """The time limit; None for the partition's own."""
        return None if self.time is None else read_time(self.time)

    def directives(self) -> list[tuple[str, str | None]]:
        """Options of sbatch and their values, None for one without; those that were not asked for are left out."""
        gpus = ":".join(["gpu", *([self.gpu_type] if self.gpu_type else []), str(self.gpus_per_node)])
        pairs = [
            ("nodes", self.nodes),
            ("ntasks-per-node", self.tasks),
            ("gres", gpus if self.gpus_per_node else None),
            ("cpus-per-task", self.cpus_per_task),
            ("mem", self.mem),
            ("time", self.time),
            ("partition", self.partition),
            ("account", self.account),
            ("qos", self.qos),
            ("constraint", self.constraint),
            ("exclude", self.exclude),
            ("mail-user", self.mail),
            ("mail-type", MAIL_EVENTS if self.mail else None),
        ]
        own = [(name, str(value)) for name, value in pairs if value is not None]
        return [*own, *read_passed_on(self.sbatch)]

    def _match(self, name: str, pattern: str, expected: str) -> None:
        value = getattr(self, name)
        _check(option_name(name), value, value is None or bool(re.fullmatch(pattern, value)), expected)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of every job, none of which has to be given."""
    own = JobOptions()
    group = parser.add_argument_group("the job")
    for name, kind, metavar, text in (
        ("nodes", int, "N", f"machines ({own.nodes})"),
        ("gpus_per_node", int, "N", "GPUs on each, with a process for each of them (0: train on CPUs)"),
        ("gpu_type", str, "KIND", "kind of GPU, as the cluster calls it"),
        ("tasks_per_node", int, "N", "processes on each node where there are no GPUs (1)"),
        ("cpus_per_task", int, "N", "cores of each process (one for itself and for each DataLoader worker)"),
        ("time", str, "HH:MM:SS", "time limit of one start (default: the partition's)"),
        ("partition", str, "NAME", "partition, or several with commas"),
        ("account", str, "NAME", "whom the hours are charged to"),
        ("qos", str, "NAME", "quality of service"),
        ("constraint", str, "FEATURES", "features that the nodes must have"),
        ("mem", str, "SIZE", "memory of each node, such as 64G; 0 for all of it"),
        ("exclude", str, "NODES", "nodes to leave out"),
        ("mail", str, "ADDRESS", "is told of ends, failures and restarts"),
        ("signal_lead", int, "S", f"seconds before the limit at which a run saves ({own.signal_lead})"),
        ("max_restarts", int, "N", f"the job stops when it was started again so often ({own.max_restarts})"),
    ):
        group.add_argument(
            option_name(name), type=kind, metavar=metavar, default=getattr(own, name), help=text
        )
    for name, metavar, text in (
        ("sbatch", "OPTION", "any other option of sbatch, such as --reservation=NAME; may be repeated"),
        (
            "setup",
            "FILE | LINE",
            "bash for the node, before the command: 'module load cuda'; may be repeated",
        ),
    ):
        group.add_argument(option_name(name), action="append", default=[], metavar=metavar, help=text)


def read_options(args: argparse.Namespace, variables: Mapping[str, str]) -> JobOptions:
    """What the command line says, and where it says nothing, the variables of sbatch.

    Args:
        args: as `add_arguments` makes them.
        variables: what is set for sbatch.

    Raises:
        UserError: an option has a value that no job can have; the message names it.
    """
    typed = {option.name: getattr(args, option.name) for option in fields(JobOptions)}
    typed |= {"sbatch": tuple(args.sbatch), "setup": tuple(map(read_setup, args.setup))}
    taken: dict[str, Any] = {
        name: variables[variable]
        for name, variable in VARIABLES.items()
        if typed[name] is None and variables.get(variable)
    }
    for name, value in taken.items():
        try:
            replace(JobOptions(), **{name: value})
        except UserError as error:
            raise UserError(f"{VARIABLES[name]} is set here: {error}; type {option_name(name)}") from None
    return JobOptions(**{**typed, **taken})


def option_name(name: str) -> str:
    """gpus_per_node -> --gpus-per-node"""
    return "--" + name.replace("_", "-")


def _check(option: str, value: Any, holds: bool, expected: str) -> None:
    if not holds:
        raise UserError(f"{option} is {value!r:.80}, expected {expected}")
