"""What SLURM prints, read."""

from __future__ import annotations

import pytest

from wavenet_pl.cluster.states import read_job_id, read_jobs, read_partitions, read_time

RUNNING = (
    "JobId=12 JobName=a name=x UserId=me(0) Priority=1 JobState=RUNNING Reason=None Dependency=(null) Requeue=1 "
    "Restarts=2 BatchFlag=1 ExitCode=0:0 RunTime=00:01:05 TimeLimit=1-00:00:00 NodeList=n[1-2] Command=(null)"
)
WAITING = (
    "JobId=20 ArrayJobId=20 ArrayTaskId=1,3-4,6-10:2%2 JobName=sweep JobState=PENDING Reason=JobArrayTaskLimit "
    "Restarts=0 ExitCode=0:0 RunTime=00:00:00 TimeLimit=UNLIMITED NodeList=(null)"
)
FAILED = (
    "JobId=21 ArrayJobId=20 ArrayTaskId=0 JobName=sweep JobState=FAILED Reason=NonZeroExitCode ExitCode=3:0"
)


def test_a_running_job() -> None:
    [job] = read_jobs(RUNNING + "\n")
    assert (job.id, job.state, job.reason, job.restarts, job.nodes) == ("12", "RUNNING", "", 2, "n[1-2]")
    assert (job.elapsed, job.limit) == (65, 86400)
    assert not job.is_over


def test_tasks_that_wait_share_a_line() -> None:
    jobs = read_jobs(f"{WAITING}\n\n{FAILED}\n")
    assert [job.id for job in jobs] == ["20_1", "20_3", "20_4", "20_6", "20_8", "20_10", "20_0"]
    assert {job.reason for job in jobs[:-1]} == {"JobArrayTaskLimit"}
    assert jobs[0].limit is None
    assert jobs[-1].is_over
    assert jobs[-1].exit_code == 3


def test_no_jobs() -> None:
    assert read_jobs("No jobs in the system\n") == []


def test_partitions_one_entry_for_each_kind_of_node() -> None:
    big, small, down = read_partitions(
        "gpu*|up|1-00:00:00|1/2/1/4|128|1031000|gpu:a100:8(S:0-1),gpu:t4:2|a100,ib\n"
        "gpu*|up|1-00:00:00|0/2/0/2|16+|64000+|(null)|(null)\nold|down|infinite|0/0/1/1|8|1000|gpu:2|\n"
    )
    assert (big.name, big.default, big.gpus, big.features) == ("gpu", True, 10, {"a100", "ib"})
    assert (small.cpus, small.memory, small.gpus, small.features, small.limit) == (16, 64000, 0, set(), 86400)
    assert (down.state, down.default, down.limit, down.gpus) == ("down", False, None, 2)
    assert [(kind.ready, kind.nodes) for kind in (big, small, down)] == [(3, 4), (2, 2), (0, 1)]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 5400), ("1:30", 90), ("01:00:00", 3600), ("2-00", 172800), ("1-12:30", 131400), ("1-00:00:01", 86401),
        ("UNLIMITED", None), ("infinite", None), ("", None),
    ],
)  # fmt: skip
def test_times(text: str, seconds: float | None) -> None:
    assert read_time(text) == seconds


@pytest.mark.parametrize("text", ["soon", "1:2:3:4", "1-2-3", "-1"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match=text):
        read_time(text)


@pytest.mark.parametrize(
    ("answer", "id"),
    [
        ("77\n", 77),
        ("77;big\n", 77),
        ("Submitted batch job 77\n", 77),
        ("sbatch: Submitted batch job 77 on cluster big\n", 77),
        ("Welcome!\n\n77\n* 3 nodes are down until 2027 *\nBye\n", 77),
        ("2026\nSubmitted batch job 77\nthank you\n", 77),
        ("", None),
        ("Welcome to the cluster\n", None),
        ("2026\n77\n", None),
    ],
)
def test_the_id_of_a_job_among_notices(answer: str, id: int | None) -> None:
    assert read_job_id(answer) == id
