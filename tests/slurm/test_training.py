"""Training on a cluster: the same losses as without, whatever stops the job in between."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cluster.submitting import slurm
from tests.processes import losses, the_run, train
from tests.shards.made import write_shard_set
from tests.slurm.jobs import TWO_NODES, Cluster, log_of
from tests.small import SETTINGS
from tests.wandb_offline import offline_folders, read_offline_run
from wavenet_pl.cluster.records import read_records
from wavenet_pl.cluster.script import Job
from wavenet_pl.runs.folder import checkpoint_step, list_checkpoints
from wavenet_pl.runs.starts import read_starts
from wavenet_pl.tracking.rows import read_metrics

STEPS = 130
STOP_FROM = 40


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shard_set(tmp_path_factory.mktemp("data") / "set", train=10, val=3)


@pytest.fixture(scope="module")
def reference(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, float]:
    """Losses of the run that two processes make without SLURM, and nothing stops."""
    folder = tmp_path_factory.mktemp("reference")
    train(shards, folder, "trainer.devices=2", f"trainer.max_steps={STEPS}")
    return losses(folder)


def submit(cluster: Cluster, shards: Path, folder: Path, *more: str) -> tuple[Path, int]:
    """A small training of a rank on each of two nodes, by one command; returns its records and its id."""
    settings = [f"data.path={shards}", *SETTINGS, f"trainer.max_steps={STEPS}", "wandb.mode=offline"]
    runs = folder / "runs"
    assert slurm("train", *settings, "--nodes", "2", "--time", "10", "--runs", str(runs), *more) == 0
    [record] = read_records(runs)
    return runs / ".slurm", record.job


def saved_and_taken(runs: Path) -> tuple[int, int]:
    """The newest checkpoint's step, and the last step that was taken."""
    run = the_run(runs)
    taken = max(row["step"] for row in read_metrics(run.metrics) if "train/loss" in row)
    return checkpoint_step(list_checkpoints(run)[-1]), taken


def test_two_nodes_learn_what_two_processes_learn_without_slurm(cluster, shards, reference, tmp_path):
    records, id = submit(cluster, shards, tmp_path)
    assert cluster.wait_for_end(id) == "COMPLETED", log_of(records, id)
    run = the_run(tmp_path / "runs")
    assert losses(tmp_path / "runs") == reference
    assert sorted(path.name for path in run.logs.glob("slurm-*")) == [
        f"slurm-{id}-0-{rank}.log" for rank in (0, 1)
    ]
    assert f"{STEPS} of {STEPS} steps" in (run.logs / f"slurm-{id}-0-0.log").read_text()
    for name in ("config.yaml", "git.json", "git.diff", "versions.json"):
        assert (run.path / name).is_file()
    [start] = read_starts(records / f"{id}.starts.jsonl").starts
    assert (start.exit, start.nodes) == (0, "n[1-2]")


def assert_one_wandb_run(runs: Path) -> None:
    """Each start has an offline folder of its own, of the same run."""
    run = the_run(runs)
    folders = offline_folders(run.path)
    assert len(folders) >= 2 and all(folder.name.endswith(run.run_id) for folder in folders)
    # One of a start that was killed at once is empty.
    assert {read_offline_run(folder).run_id for folder in folders} - {""} == {run.run_id}


def requeue(cluster: Cluster, id: int) -> None:
    """As an operator does."""
    cluster.scheduler.requeue(id)


def signal_usr1(cluster: Cluster, id: int) -> None:
    """As SLURM does before a time limit."""
    cluster.scheduler.cancel(id, signal="USR1")


def preempt(cluster: Cluster, id: int) -> None:
    """A job in the higher partition takes both nodes whole for a moment."""
    job = Job(name="urgent", command=["--version"], folder=cluster.folder, records=cluster.folder / "log")
    cluster.submit(replace(TWO_NODES, partition="high", cpus_per_task=64), job)


@pytest.mark.parametrize("stop", [requeue, signal_usr1, preempt])
def test_a_stopped_job_goes_on_and_loses_no_step(
    cluster, shards, reference, tmp_path, stop: Callable[[Cluster, int], None]
):
    records, id = submit(cluster, shards, tmp_path)
    cluster.wait_for_row(id, tmp_path / "runs", STOP_FROM)
    stop(cluster, id)
    cluster.wait_for("its place in the queue", lambda: cluster.state(id).state == "PENDING", id)
    saved, taken = saved_and_taken(tmp_path / "runs")
    assert saved == taken < STEPS, "steps were lost"
    assert cluster.wait_for_end(id) == "COMPLETED", log_of(records, id)
    assert losses(tmp_path / "runs") == reference
    first, second = read_starts(records / f"{id}.starts.jsonl").starts
    assert (first.restart, second.restart, second.step, second.exit) == (0, 1, saved, 0)
    assert_one_wandb_run(tmp_path / "runs")
    assert f"slurm-{id}-1-1.log" in os.listdir(the_run(tmp_path / "runs").logs)


def test_a_node_that_fails_costs_the_steps_since_the_last_checkpoint(cluster, shards, reference, tmp_path):
    records, id = submit(cluster, shards, tmp_path)
    cluster.wait_for_row(id, tmp_path / "runs", STOP_FROM)
    cluster.lose_node("n2")
    cluster.wait_for("its place in the queue", lambda: cluster.state(id).state == "PENDING", id)
    cluster.start_node("n2")
    assert cluster.wait_for_end(id) == "COMPLETED", log_of(records, id)
    assert losses(tmp_path / "runs") == reference
    assert [start.restart for start in read_starts(records / f"{id}.starts.jsonl").starts] == [0, 1]


def test_a_cancelled_job_saves_and_stays_cancelled(cluster, shards, tmp_path):
    records, id = submit(cluster, shards, tmp_path)
    cluster.wait_for_row(id, tmp_path / "runs", STOP_FROM)
    cluster.scheduler.cancel(id)
    assert cluster.wait_for_end(id) == "CANCELLED", log_of(records, id)
    cluster.wait_for("the ranks' ends", lambda: "stopped and saved" in log_of(records, id))
    saved, taken = saved_and_taken(tmp_path / "runs")
    assert saved == taken < STEPS
    time.sleep(8)  # longer than a requeued job waits here
    assert cluster.state(id).state == "CANCELLED" and cluster.state(id).restarts == 0


def test_a_signal_to_the_ranks_alone_ends_the_job_at_once(cluster, shards, tmp_path):
    """Nobody is about to kill it: it would wait for that in vain."""
    records, id = submit(cluster, shards, tmp_path)
    cluster.wait_for_row(id, tmp_path / "runs", STOP_FROM)
    cluster.scheduler.cancel(id, signal=signal.SIGTERM.name.removeprefix("SIG"))
    assert cluster.wait_for_end(id) == "FAILED", log_of(records, id)
    assert cluster.state(id).exit_code == 143


def test_a_job_over_its_time_limit_is_told_to_save_and_goes_on(cluster, shards, reference, tmp_path):
    """SLURM looks at limits every half minute, and signals up to half a minute early."""
    # By hand: `wavenet-pl slurm` refuses so short a limit, as the signal may come before anything is learned.
    records = tmp_path / "runs" / ".slurm"
    settings = [f"data.path={shards}", *SETTINGS, f"trainer.max_steps={STEPS}", "wandb.mode=offline"]
    command = ["train", *settings, "trainer.num_nodes=2", "trainer.devices=1", "--runs", str(records.parent)]
    job = Job(name="short", command=command, folder=Path.cwd(), records=records, requeues=True)
    id = cluster.submit(replace(TWO_NODES, time="1", signal_lead=5), job)
    cluster.wait_for_row(id, records.parent, STOP_FROM)
    cluster.hold_still(id, lambda: (cluster.state(id).elapsed or 0) > 60)
    assert cluster.wait_for_end(id) == "COMPLETED", log_of(records, id)
    assert losses(tmp_path / "runs") == reference
    *killed, stopped, last = (start.exit for start in read_starts(records / f"{id}.starts.jsonl").starts)
    assert (stopped, last) == (85, 0)
    assert {*killed} <= {128 + signal.SIGUSR1}, "before there was anything to save"
    assert_one_wandb_run(tmp_path / "runs")
