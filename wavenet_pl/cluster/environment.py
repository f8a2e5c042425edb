"""Variables that SLURM's commands read: which are kept from them, and what is said of the others."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from wavenet_pl.cluster.options import VARIABLES, JobOptions, option_name
from wavenet_pl.cluster.passed_on import INSTEAD
from wavenet_pl.runs.versions import Finding

_READ = ("SLURM_", "SBATCH_", "SINFO_", "SCONTROL_", "SCANCEL_")
"""Options of its commands by another way, and what an allocation says of itself to what runs in it."""
_KEPT = ("SLURM_CONF", "SLURM_JWT")
"""Where the cluster is, and who asks."""


def for_slurm() -> dict[str, str]:
    """An environment in which commands of SLURM do what their arguments and a script say, and jobs begin afresh."""
    return {name: value for name, value in os.environ.items() if name in _KEPT or not name.startswith(_READ)}


def sbatch_variables() -> dict[str, str]:
    """What is set here for sbatch."""
    return {name: value for name, value in os.environ.items() if name.startswith("SBATCH_") and value}


def findings(options: JobOptions, variables: Mapping[str, str]) -> Iterator[Finding]:
    """Of these `sbatch_variables`, which say what was not typed, and which have no effect."""
    fields = {variable: field for field, variable in VARIABLES.items()}
    for variable, value in sorted(variables.items()):
        if variable in fields:
            option, held = option_name(fields[variable]), getattr(options, fields[variable])
            if value == held:
                yield Finding("ok", variable, f"{value}, as {option}")
            else:
                yield Finding("warn", variable, f"{value}, and {option} is {held}", "what was typed holds")
        else:
            name = variable.removeprefix("SBATCH_").lower().replace("_", "-")
            advice = INSTEAD.get(name, "if it is meant, type that option of sbatch after --sbatch")
            yield Finding("warn", variable, f"{value}, and has no effect on jobs of wavenet-pl", advice)
