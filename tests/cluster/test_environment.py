"""What variables would say to SLURM's commands."""

from __future__ import annotations

import pytest

from wavenet_pl.cluster.environment import findings, for_slurm, sbatch_variables
from wavenet_pl.cluster.options import JobOptions


def test_commands_of_slurm_see_the_cluster_and_none_of_its_options(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = {"SLURM_CONF": "/etc/slurm.conf", "WANDB_API_KEY": "x", "MY_SLURM_JOB": "1"}
    dropped = ("SLURM_JOB_ID", "SLURM_CPU_BIND", "SBATCH_EXPORT", "SINFO_PARTITION", "SCANCEL_STATE")
    for name, value in {**kept, **dict.fromkeys(dropped, "x")}.items():
        monkeypatch.setenv(name, value)
    passed = for_slurm()
    assert kept.items() <= passed.items()
    assert not passed.keys() & {*dropped}


def test_each_variable_of_sbatch_is_reported_and_those_of_an_allocation_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {
        "SBATCH_ACCOUNT": "lab",
        "SBATCH_EXPORT": "NONE",
        "SBATCH_PARTITION": "gold",
        "SBATCH_QOS": "",
        "SBATCH_RESERVATION": "course",
        "SLURM_JOB_ID": "7",
    }.items():
        monkeypatch.setenv(name, value)
    options = JobOptions(partition="low", account="lab")
    said = [" ".join(str(finding).split()) for finding in findings(options, sbatch_variables())]
    no_effect = "and has no effect on jobs of wavenet-pl"
    assert said == [
        "ok SBATCH_ACCOUNT lab, as --account",
        f"warn SBATCH_EXPORT NONE, {no_effect}; jobs inherit the environment; set more in --setup",
        "warn SBATCH_PARTITION gold, and --partition is low; what was typed holds",
        f"warn SBATCH_RESERVATION course, {no_effect}; if it is meant, type that option of sbatch after --sbatch",
    ]
