"""Options of sbatch that are passed on as they were typed, and those that are not, with what to use for them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from wavenet_pl.errors import UserError

_LOGS = "logs lie in RUNS/.slurm, see `wavenet-pl slurm logs`"
_ID = "`wavenet-pl slurm` reads what sbatch prints; see --dry-run and `wavenet-pl slurm status`"
INSTEAD = {
    **dict.fromkeys(("nodes", "use-min-nodes"), "use --nodes"),
    **dict.fromkeys(("ntasks", "ntasks-per-node", "tasks-per-node"), "use --nodes and --tasks-per-node"),
    **dict.fromkeys(
        (
            "gres",
            "gpus",
            "gpus-per-node",
            "gpus-per-task",
            "gpus-per-socket",
            "ntasks-per-gpu",
            "tres-per-task",
        ),
        "use --gpus-per-node and --gpu-type",
    ),
    **dict.fromkeys(("cpus-per-task", "cpus-per-gpu"), "use --cpus-per-task"),
    **dict.fromkeys(("mem", "mem-per-cpu", "mem-per-gpu"), "use --mem"),
    **{name: f"use --{name}" for name in ("time", "partition", "account", "qos", "constraint", "exclude")},
    **dict.fromkeys(("mail-user", "mail-type"), "use --mail"),
    "array": "use --array or --slices",
    **dict.fromkeys(("dependency", "kill-on-invalid-dep"), "use --after"),
    "signal": "use --signal-lead",
    **dict.fromkeys(("requeue", "no-requeue"), "use --max-restarts"),
    **dict.fromkeys(("output", "error", "open-mode"), _LOGS),
    **dict.fromkeys(("export", "export-file"), "jobs inherit the environment; set more in --setup"),
    "job-name": "a job is called as its command is; for a training set name=",
    "chdir": "submit from that folder",
    "clusters": "submit from a login node of that cluster",
    "wrap": "name a command of wavenet-pl",
    **dict.fromkeys(("parsable", "test-only", "wait", "quiet", "verbose", "help", "usage", "version"), _ID),
}
"""Options of sbatch that `wavenet-pl slurm` sets, or reads the answer of -> what to do instead."""


def read_passed_on(texts: Sequence[str]) -> list[tuple[str, str | None]]:
    """Names and values of options such as `--reservation=x`; None for one without a value.

    Raises:
        UserError: one is no long option of sbatch, is set elsewhere, or stands there twice.
    """
    pairs = [_read(text) for text in texts]
    names = [name for name, _ in pairs]
    if twice := {name for name in names if names.count(name) > 1}:
        raise UserError(f"--sbatch sets --{min(twice)} twice, expected it once; drop one")
    return pairs


def _read(text: str) -> tuple[str, str | None]:
    match = re.fullmatch(r"--([a-z][a-z0-9-]*)(?:=(.+))?", text)
    if match is None or not text.isprintable():
        raise UserError(
            f"--sbatch is {text!r:.80}, expected one long option as sbatch takes it, such as --reservation=NAME or "
            "--exclusive; write a value after ="
        )
    name, value = match.groups()
    # sbatch takes the beginning of a name for the whole.
    if taken := sorted(option for option in INSTEAD if option.startswith(name)):
        raise UserError(
            f"--sbatch is {text!r:.80}, and `wavenet-pl slurm` sets --{taken[0]} itself, expected another option of "
            f"sbatch; {INSTEAD[taken[0]]}"
        )
    return name, value
