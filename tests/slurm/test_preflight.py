"""What only a cluster knows is found before a job is submitted, too, and what is right is accepted."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.submitting import TRAIN, refusal, slurm, snapshot
from tests.shards.made import write_shard_set
from tests.slurm.jobs import Cluster
from wavenet_pl.cluster.options import JobOptions
from wavenet_pl.cluster.records import read_records
from wavenet_pl.cluster.script import Job, build_script

MISTAKES = {
    "partition": (["--partition", "gold"], "--partition", "low"),
    "GPUs": (["--gpus-per-node", "9", "data.batch_size=9"], "--gpus-per-node", "8 GPUs"),
    "nodes": (["--nodes", "3", "data.batch_size=3"], "--nodes", "has 2"),
    "cores": (["--cpus-per-task", "65"], "--cpus-per-task", "64 cores"),
    "memory": (["--mem", "999G"], "--mem", "256 GiB"),
    "feature": (["--constraint", "a100"], "--constraint", "no node"),
    "features": (["--constraint", "a100&ib"], "--constraint", "sbatch says"),
    "excluded": (["--exclude", "n[7-9]"], "--exclude", "sbatch says"),
    "waits for nothing": (["--after", "999999"], "--after", "no job 999999"),
    "no option of sbatch": (["--sbatch", "--resrvation=x"], "--sbatch", "unrecognized option"),
    "a reservation": (["--sbatch", "--reservation=x"], "--sbatch", "reservation is invalid"),
    "tasks": (["--array", "seed=0..1001"], "--array", "takes 1001"),
}


@pytest.fixture
def here(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, with a shard set in data."""
    write_shard_set(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for partition in ("low", "high"):
        _update(partition, "state=up", "maxtime=infinite")


def _update(partition: str, *changes: str) -> None:
    subprocess.run(["scontrol", "update", f"partitionname={partition}", *changes], check=True, timeout=60)


@pytest.mark.parametrize(("arguments", "named", "found"), MISTAKES.values(), ids=MISTAKES)
def test_what_the_cluster_does_not_have_is_found(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], named: str, found: str
) -> None:
    before = snapshot(here)
    said = refusal(capsys, *TRAIN, *arguments)
    [line] = [line for line in said.split("\n") if line.startswith("fail")]
    assert re.match(rf"fail +{named} .*{re.escape(found)}", line)
    assert snapshot(here) == before


def test_partitions_that_are_down_or_too_short(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _update("high", "state=down")
    assert slurm(*TRAIN, "--partition", "high", "--dry-run") == 0, "SLURM queues it"
    said = capsys.readouterr().err
    assert re.search("^warn +--partition +high is down; .*, or use --partition low$", said, re.MULTILINE)
    _update("high", "state=drain")
    said = refusal(capsys, *TRAIN, "--partition", "high")
    assert re.search(r"^fail +--partition +high takes no jobs \(drain\); .* low$", said, re.MULTILINE)
    _update("high", "state=up", "maxtime=60")
    said = refusal(capsys, *TRAIN, "--partition", "high", "--time", "2:00:00")
    assert re.search("^fail +--time .*high allows 1 h", said, re.MULTILINE)


def test_nodes_that_are_drained_are_waited_for(
    here: Path, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    subprocess.run(
        ["scontrol", "update", "nodename=n2", "state=drain", "reason=test"], check=True, timeout=60
    )
    try:
        assert slurm(*TRAIN, "--nodes", "2", "--time", "10") == 0
        said = capsys.readouterr().err
        assert re.search("^warn +--nodes +2, and 1 of 2 such in low are up", said, re.MULTILINE)
        [record] = read_records("runs")
        assert cluster.state(record.job).state == "PENDING"
        cluster.scheduler.cancel(record.job)
        assert slurm(*TRAIN, "--sbatch", "--nodelist=n2", "--time", "10", "--dry-run") == 0
        assert "if they are missing, the job waits for them" in capsys.readouterr().err
    finally:
        subprocess.run(["scontrol", "update", "nodename=n2", "state=resume"], check=True, timeout=60)


def test_variables_of_sbatch_do_not_change_what_is_asked_for(
    here: Path, cluster: Cluster, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "SBATCH_PARTITION": "gold",
        "SBATCH_RESERVATION": "x",
        "SBATCH_TIMELIMIT": "7",
    }.items():
        monkeypatch.setenv(name, value)
    assert slurm(*TRAIN, "--partition", "low", "--dry-run") == 0
    said = capsys.readouterr()
    assert re.search("^warn +SBATCH_PARTITION +gold, and --partition is low", said.err, re.MULTILINE)
    assert re.search("^warn +SBATCH_RESERVATION +x, and has no effect", said.err, re.MULTILINE)
    assert "#SBATCH --time=7\n" in said.out, "it was not typed, and is taken from here"


def test_a_job_that_can_never_start_is_not_waited_for(
    here: Path, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    job = Job(name="fails", command=["nonsense"], folder=here, records=here / "runs/.slurm")
    id = cluster.submit(JobOptions(), job)
    assert cluster.wait_for_end(id) == "FAILED"
    said = refusal(capsys, *TRAIN, "--after", str(id))
    assert re.search(f"^fail +--after .*job {id} is FAILED", said, re.MULTILINE)


def test_an_account_where_no_accounting_runs(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert slurm(*TRAIN, "--account", "lab", "--dry-run") == 0
    assert re.search("^warn +--account .*no accounting", capsys.readouterr().err, re.MULTILINE)


def test_a_dry_run_asks_the_cluster_and_changes_nothing(
    here: Path, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    before, jobs = snapshot(here), cluster.scheduler.jobs()
    assert slurm(*TRAIN, "--nodes", "2", "--array", "seed=0..3", "--dry-run") == 0
    assert "ok    sbatch" in capsys.readouterr().err
    assert snapshot(here) == before
    assert cluster.scheduler.jobs() == jobs


@pytest.mark.parametrize(
    "options",
    [
        JobOptions(),
        JobOptions(nodes=2, gpus_per_node=8, time="24:00:00"),
        JobOptions(gpus_per_node=4, cpus_per_task=8, time="1-00:00:00", mem="200G"),
        JobOptions(tasks_per_node=4, cpus_per_task=4, time="90"),
        JobOptions(partition="high", time="30:00", signal_lead=300),
        JobOptions(partition="low,high", mem="0"),
        JobOptions(exclude="n1", time="2-12"),
        JobOptions(exclude="n[2]", max_restarts=3),
        JobOptions(account="lab", qos=None, mail="me@example.org"),
        JobOptions(nodes=2, tasks_per_node=2, mem="512M", time="1:00:00"),
        JobOptions(gpus_per_node=1, cpus_per_task=16, mem="1G", partition="high"),
        JobOptions(nodes=2, gpus_per_node=1, time="0-01:00:00"),
        JobOptions(cpus_per_task=64, time="5", signal_lead=60),
    ],
)
@pytest.mark.parametrize("tasks", [(), (("seed=0",), ("seed=1",))])
def test_combinations_of_options_are_accepted(
    cluster: Cluster, tmp_path: Path, options: JobOptions, tasks: tuple[tuple[str, ...], ...]
) -> None:
    job = Job(
        name="sample", command=["train"], folder=tmp_path, records=tmp_path, requeues=not tasks, tasks=tasks
    )
    assert "to start at" in cluster.scheduler.test_only(build_script(options, job))
