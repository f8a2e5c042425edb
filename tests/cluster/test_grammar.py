"""The command line of jobs: options of a command and of its job side by side."""

from __future__ import annotations

import pytest

from tests.cluster.submitting import slurm
from wavenet_pl.commands.grammar import COMMANDS
from wavenet_pl.commands.slurm import FOLLOWING, SUBMITTED, build_parser


@pytest.mark.parametrize("name", SUBMITTED)
def test_options_of_a_command_and_of_its_job_do_not_meet_and_all_have_help(name: str) -> None:
    whole, job = build_parser(name)
    assert not [action.dest for action in whole._actions if not action.help]
    options = {option for action in job._actions for option in action.option_strings}
    assert options <= {option for action in whole._actions for option in action.option_strings}


def test_every_command_runs_as_a_job_or_where_it_is_typed() -> None:
    assert set(SUBMITTED) == set(COMMANDS) - {"models", "slurm", "doctor"}


@pytest.mark.parametrize("name", [*SUBMITTED, *FOLLOWING])
def test_each_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert slurm(name, "--help") == 0
    said = capsys.readouterr().out
    assert f"usage: wavenet-pl slurm {name}" in said
    assert ("--gpus-per-node" in said) == (name in SUBMITTED)
