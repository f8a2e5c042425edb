"""How this process was launched, against the processes that the config asks for: before it waits for ranks that never
come, or trains alone many times over.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from wavenet_pl.errors import UserError

_ALONE_IN_SLURM = ("bash", "interactive")
"""Names of SLURM jobs in which somebody types: Lightning takes no ranks from them."""


_VARIABLES = (
    "TORCHELASTIC_RUN_ID", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "SLURM_NTASKS", "SLURM_JOB_NAME", "SLURM_STEP_ID",
    "SLURM_STEP_NUM_NODES", "SLURM_NNODES",
)  # fmt: skip


def launch_variables() -> dict[str, str]:
    """Those of the environment in which launchers say what they started."""
    return {name: os.environ[name] for name in _VARIABLES if name in os.environ}


class Launch(NamedTuple):
    """Who started the ranks, and how many."""

    by: str
    """As a message begins: torchrun started, SLURM started, ..."""
    processes: int
    per_node: int | None
    """None where that is not known."""
    otherwise: str
    """What else to do than to change the config."""


def check_launch(options: Mapping[str, Any], environment: Mapping[str, str]) -> None:
    """Compares; needs no import of torch.

    Args:
        options: of lightning.Trainer, as the config has them.
        environment: `launch_variables`.

    Raises:
        UserError: the ranks that the config asks for were not started, or others were.
    """
    launch, asked = _launch(environment), _asked(options)
    if launch is not None and asked is not None:
        _compare(launch, *asked)


def check_processes(devices: int, nodes: int, environment: Mapping[str, str]) -> None:
    """The same once it is known how many devices of a node are used.

    Raises:
        UserError: as `check_launch`.
    """
    if (launch := _launch(environment)) is not None:
        _compare(launch, devices, nodes)


def _compare(launch: Launch, devices: int, nodes: int) -> None:
    per_node = launch.per_node or launch.processes
    started = per_node, launch.processes // per_node
    same = started == (devices, nodes) if launch.per_node else launch.processes == devices * nodes
    if not same:
        wanted = f"trainer.devices={started[0]}" + (
            f" trainer.num_nodes={started[1]}" if started[1] > 1 else ""
        )
        raise UserError(
            f"{launch.by}, and trainer.devices x trainer.num_nodes is {devices} x {nodes}; set {wanted}, or "
            f"{launch.otherwise}"
        )


def _asked(options: Mapping[str, Any]) -> tuple[int, int] | None:
    """Devices of a node, and nodes; None where the machine decides."""
    devices, nodes = options.get("devices", "auto"), options.get("num_nodes", 1)
    if isinstance(devices, str) and devices.lstrip("-").isdigit():
        devices = int(devices)
    if isinstance(devices, str) and "," in devices:
        devices = [part for part in devices.split(",") if part.strip()]
    if isinstance(devices, (list, tuple)):
        devices = len(devices)
    if devices == "auto" and options.get("accelerator") == "cpu":
        devices = 1
    return (devices, nodes) if isinstance(devices, int) and devices > 0 and isinstance(nodes, int) else None


def _launch(environment: Mapping[str, str]) -> Launch | None:
    """What the environment says; None where nobody but Lightning starts ranks.

    Raises:
        UserError: this is one of several tasks of a job, and was not started as one.
    """

    def number(name: str, otherwise: int) -> int:
        text = environment.get(name, "")
        return int(text) if text.isdigit() and int(text) else otherwise

    world = number("WORLD_SIZE", 0)
    if world and "TORCHELASTIC_RUN_ID" in environment:
        processes = f"{world} processes" if world > 1 else "1 process"
        per_node = number("LOCAL_WORLD_SIZE", world)
        return Launch(f"torchrun started {processes}", world, per_node, "start it without torchrun")
    if (tasks := number("SLURM_NTASKS", 0)) and environment.get("SLURM_JOB_NAME") not in _ALONE_IN_SLURM:
        if tasks > 1 and "SLURM_STEP_ID" not in environment:
            raise UserError(
                f"this job has {tasks} tasks, and this process was started without srun, so it would wait for the "
                "others for ever; write `srun` before the command, or have `wavenet-pl slurm train` write the job"
            )
        per_node = -(-tasks // number("SLURM_STEP_NUM_NODES", number("SLURM_NNODES", 1)))
        return Launch(
            f"SLURM started {tasks} {'task' if tasks == 1 else 'tasks'}", tasks, per_node,
            "submit it with `wavenet-pl slurm train --nodes N --tasks-per-node M`, which sets both",
        )  # fmt: skip
    if world:
        return Launch(
            f"the environment has WORLD_SIZE={world}", world, None,
            "`unset WORLD_SIZE`: without torchrun or srun Lightning starts the ranks itself",
        )  # fmt: skip
    return None
