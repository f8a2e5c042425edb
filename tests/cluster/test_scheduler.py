"""SLURM that is not there, does not answer, or says no."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.submitting import write_program
from wavenet_pl.cluster.scheduler import Refused, Scheduler
from wavenet_pl.errors import UserError


def test_a_machine_without_slurm(here: Path) -> None:
    assert not Scheduler().is_here
    with pytest.raises(
        UserError, match=r"sinfo is not on PATH, expected SLURM's commands; go to a login node"
    ):
        Scheduler().partitions()


def test_a_controller_that_hangs(here: Path, tmp_path: Path) -> None:
    write_program(tmp_path, "scontrol", "exec /bin/sleep 30")
    with pytest.raises(UserError, match=r"scontrol did not answer within 0\.2 s"):
        Scheduler(timeout=0.2).job(12)


def test_what_sbatch_says_is_passed_on(here: Path, tmp_path: Path) -> None:
    said = "sbatch: error: Batch job submission failed: Invalid account"
    write_program(tmp_path, "sbatch", f"echo '{said}' >&2; exit 1")
    with pytest.raises(
        Refused, match=r"sbatch refused: Batch job submission failed: Invalid account; mend that"
    ):
        Scheduler().submit("#!/bin/bash\n")


def test_the_id_of_a_job_on_a_named_cluster_below_a_notice(here: Path, tmp_path: Path) -> None:
    write_program(tmp_path, "sbatch", "echo 'welcome'; echo '123;big'; echo 'goodbye'")
    assert Scheduler().submit("#!/bin/bash\n") == 123


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("echo welcome", "sbatch answered 'welcome'"),
        ("", "sbatch answered ''"),
        ("exec /bin/sleep 30", r"sbatch did not answer within 0\.5 s"),
        ("echo 'sbatch: error: Socket timed out on send/recv' >&2; exit 1", "sbatch says Socket timed out"),
    ],
)
def test_where_there_is_no_id_the_job_may_be_queued(here: Path, tmp_path: Path, text: str, said: str) -> None:
    write_program(tmp_path, "sbatch", text)
    with pytest.raises(
        UserError, match=rf"{said}.*, expected the job's id: it may be queued; see `squeue --me`"
    ):
        Scheduler(timeout=0.5).submit("#!/bin/bash\n")
