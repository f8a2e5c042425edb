"""Training on a cluster: the same losses as without, whatever stops the job in between."""

from __future__ import annotations

import signal
import time
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

STEPS = 300
"""Enough for four stops, each some time after it was asked for."""
EVERY_STEPS = 15
"""Steps from one start to the next stop, at least."""
VALIDATED = "trainer.check_val_every_n_epoch=5"


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shard_set(tmp_path_factory.mktemp("data") / "set", train=10, val=3)


def without_slurm(shards: Path, folder: Path, steps: int) -> dict[int, float]:
    """Losses of the run that two processes make, and nothing stops."""
    folder.mkdir()
    train(shards, folder, VALIDATED, "trainer.devices=2", f"trainer.max_steps={steps}")
    return losses(folder)


def submit(cluster: Cluster, shards: Path, folder: Path, *more: str) -> tuple[Path, int]:
    """A small training of a rank on each of two nodes, by one command; returns its records and its id."""
    hang = "train.hang_after=120"  # ranks that stand still write where
    settings = [f"data.path={shards}", *SETTINGS, VALIDATED, hang, f"trainer.max_steps={STEPS}", *more]
    runs = folder / "runs"
    assert slurm("train", *settings, "--nodes", "2", "--time", "10", "--runs", str(runs)) == 0
    [record] = read_records(runs)
    return runs / ".slurm", record.job


def saved_and_taken(runs: Path) -> tuple[int, int]:
    """The newest checkpoint's step, and the last step that was taken."""
    run = the_run(runs)
    taken = max(row["step"] for row in read_metrics(run.metrics) if "train/loss" in row)
    return checkpoint_step(list_checkpoints(run)[-1]), taken


def stacks_of_hung_ranks(runs: Path) -> str:
    """What ranks wrote that stood still."""
    return "\n".join(path.read_text() for path in sorted(the_run(runs).logs.glob("hang-rank-*.txt")))


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


def lose_node(cluster: Cluster, id: int) -> None:
    """The second one."""
    cluster.lose_node("n2")


def test_a_job_that_is_stopped_again_and_again_learns_what_two_processes_learn(cluster, shards, tmp_path):
    """By an operator, by a signal, by a more urgent job, and by a node that fails: that one alone costs steps."""
    records, id = submit(cluster, shards, tmp_path, "wandb.mode=offline")
    begins, stops = [0], (requeue, signal_usr1, preempt, lose_node)
    for stop in stops:
        cluster.wait_for_row(id, tmp_path / "runs", begins[-1] + EVERY_STEPS)
        stop(cluster, id)
        cluster.wait_for("its place in the queue", lambda: cluster.state(id).state == "PENDING", id)
        saved, taken = saved_and_taken(tmp_path / "runs")
        assert begins[-1] < saved <= taken < STEPS
        assert saved == taken or stop is lose_node, f"{stop.__name__}: steps were lost"
        begins.append(saved)
    cluster.start_node("n2")
    assert cluster.wait_for_end(id) == "COMPLETED", log_of(records, id)
    assert stacks_of_hung_ranks(tmp_path / "runs") == ""
    assert losses(tmp_path / "runs") == without_slurm(shards, tmp_path / "alone", STEPS)
    starts = read_starts(records / f"{id}.starts.jsonl").starts
    assert [(start.restart, start.step) for start in starts] == list(enumerate(begins))
    assert (starts[-1].exit, starts[-1].nodes) == (0, "n[1-2]")
    assert_one_wandb_run(tmp_path / "runs")
    run = the_run(tmp_path / "runs")
    assert {path.name for path in run.logs.glob("slurm-*")} == {
        f"slurm-{id}-{start}-{rank}.log" for start in range(len(starts)) for rank in (0, 1)
    }
    assert f"{STEPS} of {STEPS} steps" in (run.logs / f"slurm-{id}-{len(stops)}-0.log").read_text()
    for name in ("config.yaml", "git.json", "git.diff", "versions.json"):
        assert (run.path / name).is_file()


def test_a_cancelled_job_saves_and_stays_cancelled(cluster, shards, tmp_path):
    records, id = submit(cluster, shards, tmp_path)
    cluster.wait_for_row(id, tmp_path / "runs", EVERY_STEPS)
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
    cluster.wait_for_row(id, tmp_path / "runs", EVERY_STEPS)
    cluster.scheduler.cancel(id, signal=signal.SIGTERM.name.removeprefix("SIG"))
    assert cluster.wait_for_end(id) == "FAILED", log_of(records, id)
    assert cluster.state(id).exit_code == 143


def test_a_job_over_its_time_limit_is_told_to_save_and_goes_on(cluster, shards, tmp_path):
    """SLURM looks at limits every half minute, and signals up to half a minute early."""
    # By hand: `wavenet-pl slurm` refuses so short a limit, as the signal may come before anything is learned.
    records = tmp_path / "runs" / ".slurm"
    few = STEPS // 3
    settings = [f"data.path={shards}", *SETTINGS, VALIDATED, f"trainer.max_steps={few}", "wandb.mode=offline"]
    command = ["train", *settings, "trainer.num_nodes=2", "trainer.devices=1", "--runs", str(records.parent)]
    job = Job(name="short", command=command, folder=Path.cwd(), records=records, requeues=True)
    id = cluster.submit(replace(TWO_NODES, time="1", signal_lead=5), job)
    cluster.wait_for_row(id, records.parent, EVERY_STEPS)
    cluster.hold_still(id, lambda: (cluster.state(id).elapsed or 0) > 60)
    assert cluster.wait_for_end(id) == "COMPLETED", log_of(records, id)
    assert losses(tmp_path / "runs") == without_slurm(shards, tmp_path / "alone", few)
    *killed, stopped, last = (start.exit for start in read_starts(records / f"{id}.starts.jsonl").starts)
    assert (stopped, last) == (85, 0)
    assert {*killed} <= {128 + signal.SIGUSR1}, "before there was anything to save"
    assert_one_wandb_run(tmp_path / "runs")
