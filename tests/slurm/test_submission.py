"""Commands of every kind as real jobs: sweeps, slices, jobs that wait for others, and what follows them."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

from tests.cluster.submitting import TRAIN, refusal, slurm
from tests.commands.test_adapt import SETTINGS, SPEAKERS, TRAINING, write_voice
from tests.data_prep.corpus import make_corpus
from tests.shards.made import write_shard_set
from tests.slurm.jobs import Cluster
from tests.wandb_offline import offline_folders, read_offline_run
from wavenet_pl import cli
from wavenet_pl.cluster.progress import progress_of
from wavenet_pl.cluster.records import read_records
from wavenet_pl.runs.delta import DELTA_NAME

VALIDATED = ("trainer.val_check_interval=2", "trainer.check_val_every_n_epoch=null")


@pytest.fixture
def here(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a shard set in data."""
    write_shard_set(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_sweep_of_four_with_a_restart_in_one(
    here: Path, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = (*VALIDATED, "trainer.max_steps=40", "wandb.mode=offline")
    assert slurm(*TRAIN, *settings, "--array", "optim.lr=1e-2,1e-4 seed=0..1", "--time", "30") == 0
    [record] = read_records("runs")
    ids = record.ids
    assert len(ids) == 4
    cluster.wait_for(
        "a step of the second task",
        lambda: (run := record.run_of(ids[1])) and run.metrics.exists() and run.metrics.stat().st_size,
    )
    cluster.scheduler.cancel(ids[1], signal.SIGUSR1.name)
    for id in ids:
        assert cluster.wait_for_end(id) == "COMPLETED", id
    assert [cluster.state(id).restarts for id in ids] == [0, 1, 0, 0]
    runs = sorted(path.name for path in Path("runs").glob("wavenet-*"))
    assert len(runs) == 4
    assert sorted(Path(run).name for run in record.runs) == runs
    groups = set()
    for id, task in zip(ids, record.tasks, strict=True):
        run = record.run_of(id)
        assert run is not None
        rate, seed = (part.split("=")[1] for part in task)
        config = run.config.read_text()
        assert f"seed: {seed}\n" in config
        assert float(re.findall(r"\blr: (\S+)", config)[0]) == float(rate)
        tracked = [read_offline_run(folder) for folder in offline_folders(run.path)]
        groups.add((*{each.group for each in tracked}, *{each.run_id for each in tracked}))
        assert {line.count(b'"train/loss"') for line in run.metrics.read_bytes().split(b"\n")} <= {0, 1}
        assert run.metrics.read_bytes().count(b'"train/loss"') == 40
    assert len(groups) == 4, "one W&B run for each task, over its restarts too"
    assert len({group for group, _ in groups}) == 1
    assert "wavenet-sweep-" in str(groups)
    capsys.readouterr()
    assert slurm("summary") == 0
    head, first, *rest, _, best = capsys.readouterr().out.rstrip().split("\n")
    assert head.split()[:2] == ["job", "val/bits"]
    bits = [float(line.split()[1]) for line in [first, *rest] if line]
    assert bits == sorted(bits)
    assert len(bits) == 4
    assert "optim.lr=1e-2" in first
    assert best.startswith(f"best: {first.split()[-1]} (optim.lr=1e-2 seed=")
    assert slurm("status", str(record.job)) == 0
    rows = capsys.readouterr().out.rstrip().split("\n")[1:]
    assert len(rows) == 4
    assert all("COMPLETED" in row and "40/40" in row for row in rows)


def test_slices_and_merge_make_the_bytes_of_one_process_and_a_training_follows(
    here: Path, cluster: Cluster
) -> None:
    corpus = make_corpus(here / "corpus")
    options = ("--recordings-per-shard", "2")
    assert cli.main(["prepare", "folder", str(corpus), "whole", *options, "--jobs", "1"]) == 0
    assert slurm("prepare", "folder", str(corpus), "sliced", *options, "--slices", "4") == 0
    array, merge = read_records("runs")
    assert len(array.ids) == 4
    following = [word for word in TRAIN if not word.startswith("data.path=")]
    assert slurm(*following, "data.path=sliced", "--after", str(merge.job)) == 0
    training = read_records("runs")[-1]
    assert training.runs == [], "its folder's name depends on what is not there yet"
    assert cluster.wait_for_end(merge.job) == "COMPLETED"
    whole, sliced = here / "whole", here / "sliced"
    names = sorted(
        str(path.relative_to(whole)) for path in [*whole.rglob("*.tar"), whole / "index.safetensors"]
    )
    assert len(names) > 4
    for name in names:
        assert (sliced / name).read_bytes() == (whole / name).read_bytes(), name
    assert cluster.wait_for_end(training.job) == "COMPLETED"
    run = training.run_of(str(training.job))
    assert run is not None
    assert progress_of(run).is_done


def test_stop_resume_logs_and_a_job_that_waits(
    here: Path, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    long = (*TRAIN, "trainer.max_steps=100000", "--time", "30")
    assert slurm(*long) == 0
    [first] = read_records("runs")
    assert slurm("evaluate", first.runs[0], "--after", str(first.job)) == 0
    waiting = read_records("runs")[-1]
    cluster.wait_for("a row", lambda: list(Path("runs").glob("wavenet-*/metrics.jsonl")), first.job)
    assert "is RUNNING in" in refusal(capsys, *long), "two jobs in one run folder"
    assert slurm("status") == 0
    rows = capsys.readouterr().out
    assert re.search(rf"^{waiting.job} .*PENDING .*Dependency", rows, re.MULTILINE)
    assert re.search(rf"^{first.job} .*RUNNING .*/100000", rows, re.MULTILINE)
    assert slurm("stop", first.runs[0]) == 0
    assert cluster.wait_for_end(first.job) == "CANCELLED"
    assert slurm("stop", str(first.job)) == 0
    assert "nothing to stop" in capsys.readouterr().err
    saved = read_records("runs")[0].run_of(str(first.job))
    assert saved is not None
    assert list(saved.checkpoints.glob("*.ckpt"))
    assert slurm("resume", first.runs[0]) == 0
    again = next(record for record in read_records("runs") if record.job > waiting.job)
    assert slurm("resume", "--dry-run", str(again.job)) == 2
    cluster.wait_for("its start", lambda: again.starts(str(again.job)).runs, again.job)
    assert slurm("stop", str(again.job)) == 0
    cluster.wait_for_end(again.job)
    capsys.readouterr()
    assert slurm("logs", "-f", str(again.job)) == 0
    said = capsys.readouterr().out
    assert f"==> {again.job}.log <==" in said
    assert re.search(r"going on from step-\d+\.ckpt", said)


def test_a_voice_is_learned_after_the_training(
    here: Path, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    """The base is not there yet when the adaptation is submitted."""
    write_shard_set(here / "set", train=12, val=6, speakers=SPEAKERS)
    write_voice(here / "dora", 301)
    training = ("data.path=set", *TRAINING, "trainer.max_steps=10", "trainer.val_check_interval=5")
    assert slurm("train", *TRAIN[2:], *training) == 0
    [base] = read_records("runs")
    voice = ("--audio", "dora", "--speaker", "dora", "--method", "all")
    settings = (*SETTINGS, "trainer.max_steps=6", "trainer.val_check_interval=3")
    assert "nowhere" in refusal(capsys, "adapt", "nowhere", *voice)
    assert slurm("adapt", base.runs[0], *voice, *settings, "--after", str(base.job)) == 0
    adaptation = read_records("runs")[-1]
    assert cluster.state(adaptation.job).state == "PENDING"
    assert cluster.wait_for_end(base.job) == "COMPLETED"
    assert cluster.wait_for_end(adaptation.job) == "COMPLETED"
    embedding, every = adaptation.starts(str(adaptation.job)).runs
    assert (embedding.name[:14], every.name[:8]) == ("dora-embedding", "dora-all")
    assert (every.path / DELTA_NAME).is_file()
    capsys.readouterr()
    assert slurm("status", every.name) == 0
    assert "COMPLETED" in capsys.readouterr().out
