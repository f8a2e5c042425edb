"""Real trainings that are killed and go on: W&B has each number of metrics.jsonl once, and each set of clips."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.processes import are_gone, losses, start, the_run, train, wait_for_step
from tests.shards.made import write_shard_set
from tests.wandb_offline import offline_folders, read_offline_run
from tests.wandb_server import WandbServer
from wavenet_pl.runs.folder import RunFolder
from wavenet_pl.tracking.rows import read_metrics
from wavenet_pl.training.wandb_session import STEP

pytestmark = pytest.mark.slow
EVERY = 3
SETTINGS = (
    f"wandb.log_every_n_steps={EVERY}",
    "train.checkpoint_every_n_steps=20",
    "trainer.val_check_interval=0.5",
    "samples.every_n_steps=15",
    "samples.count=1",
    "samples.seconds=0.05",
    "samples.prompt_seconds=0.02",
    "wandb.init_timeout=4",
    "wandb.finish_timeout=6",
)
OFFLINE = (*SETTINGS, "wandb.mode=offline")
ONLINE = (*SETTINGS, "wandb.mode=online")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shard_set(tmp_path_factory.mktemp("restarts") / "set", train=10, val=3)


def kill(shards: Path, folder: Path, chance: random.Random, *settings: str) -> None:
    """Start or go on with the run, and kill it at some moment, before its first new step or after."""
    done = len(losses(folder)) if list(folder.glob("wavenet-*/metrics.jsonl")) else 0
    process = start(shards, folder, *settings, "trainer.max_steps=100000")
    if not done or chance.random() < 0.7:
        wait_for_step(folder, done + 1, process)
    time.sleep(chance.uniform(0, 4))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def offline_history(run: RunFolder) -> list[dict[str, Any]]:
    starts = [read_offline_run(place) for place in offline_folders(run.path)]
    assert {start.run_id for start in starts if start.history} == {run.run_id}
    return [row for start in starts for row in start.history]


def check(run: RunFolder, history: Iterable[dict[str, Any]]) -> None:
    """No key twice at a step, nothing of metrics.jsonl missing, and the same bits."""
    tracked: dict[tuple[str, int], Any] = {}
    twice = []
    for row in history:
        for key in row.keys() - {STEP} - {key for key in row if key.startswith("_")}:
            twice += [(key, row[STEP])] if (key, row[STEP]) in tracked else []
            tracked[key, row[STEP]] = row[key]
    assert not twice
    own = {
        (key, row["step"]): value
        for row in read_metrics(run.metrics)
        for key, value in row.items()
        if key not in ("step", "epoch", "time")
        and (row["step"] % EVERY == 0 or not key.startswith(("train/", "optim/")))
    }
    assert not own.keys() - tracked.keys(), "missing"
    exact = {name: value for name, value in own.items() if not name[0].startswith("perf/")}
    assert Counter(name[0] for name in exact)["train/loss"] > 10
    assert exact == {name: tracked[name] for name in exact}
    sets = {int(place.name.removeprefix("step-")) for place in run.clips.iterdir()}
    assert {step for key, step in tracked if key == "val/clips"} == sets


@pytest.mark.parametrize("devices", [1, 2])
def test_a_run_that_is_killed_again_and_again_offline_is_whole_in_the_end(
    shards: Path, tmp_path: Path, devices: int
) -> None:
    chance = random.Random(devices)
    settings = (*OFFLINE, f"trainer.devices={devices}")
    for _ in range(4):
        kill(shards, tmp_path, chance, *settings)
    train(shards, tmp_path, *settings, f"trainer.max_steps={len(losses(tmp_path)) + 5}")
    run = the_run(tmp_path)
    assert len(offline_folders(run.path)) > 1
    check(run, offline_history(run))


def variables(server: WandbServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the next trainings find the server, and send what they have every second."""
    for name, value in {**server.env(), "WANDB_X_FILE_STREAM_TRANSMIT_INTERVAL": "1"}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("seed", [3, 4])
def test_a_run_that_is_killed_again_and_again_online_is_whole_in_the_end(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    chance = random.Random(seed)
    with WandbServer() as server:
        variables(server, monkeypatch)
        arrived = [0]
        for _ in range(4):
            kill(shards, tmp_path, chance, *ONLINE)
            arrived.append(sum(len(run.history) for run in server.runs.values()))
        train(shards, tmp_path, *ONLINE, f"trainer.max_steps={len(losses(tmp_path)) + 5}")
    run = the_run(tmp_path)
    assert [name for name, served in server.runs.items() if served.starts] == [run.run_id]
    assert arrived[-1] > arrived[1], "the server had rows before the last start"
    check(run, server.runs[run.run_id].history)


def test_a_server_that_dies_and_comes_back_at_the_next_start_has_all(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies in one start, is not there in the next, which is kept offline, and serves the third."""
    with WandbServer() as server:
        variables(server, monkeypatch)
        process = start(shards, tmp_path, *ONLINE, "trainer.max_steps=100000")
        wait_for_step(tmp_path, 30, process)
        time.sleep(1)
        server.mode = 500
        wait_for_step(tmp_path, len(losses(tmp_path)) + 12, process)
        process.terminate()
        _, error = process.communicate(timeout=120)
        assert process.returncode == 143, error
        assert "W&B did not get everything" in error and "the same command sends the rest" in error
        run = the_run(tmp_path)
        before = len(server.runs[run.run_id].history)
        error = train(shards, tmp_path, *ONLINE, f"trainer.max_steps={len(losses(tmp_path)) + 20}")
        assert "W&B cannot be reached" in error
        assert len(server.runs[run.run_id].history) == before
        server.mode = "ok"
        text = train(shards, tmp_path, *ONLINE, f"trainer.max_steps={len(losses(tmp_path)) + 5}")
        assert "W&B had lost" in text
        check(run, server.runs[run.run_id].history)
        assert server.runs[run.run_id].exit_code == 0
        # The first message said how to send the folder by hand, which is not needed any more.
        (folder,) = offline_folders(run.path)
        program = [sys.executable, "-m", "wandb", "sync", str(folder)]
        done = subprocess.run(program, capture_output=True, text=True, timeout=120, check=False)
        assert "Skipped 1 synced run(s)" in done.stderr + done.stdout
        check(run, server.runs[run.run_id].history)


@pytest.mark.parametrize("mode", ["offline", "online"])
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGUSR1, 85)]
)
def test_a_signal_to_all_processes_of_a_job_costs_no_row(
    shards: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
    number: signal.Signals,
    code: int,
) -> None:
    """Schedulers reach wandb's own process too, which is in a session of its own and dies of SIGTERM and SIGINT."""
    with WandbServer() as server:
        if mode == "online":
            variables(server, monkeypatch)
        process = start(shards, tmp_path, *SETTINGS, f"wandb.mode={mode}", "trainer.max_steps=100000")
        wait_for_step(tmp_path, 40, process)
        service = wandb_service(process.pid)
        os.killpg(process.pid, number)
        os.kill(service, number)
        _, error = process.communicate(timeout=120)
    assert process.returncode == code, error
    assert "Traceback" not in error
    run = the_run(tmp_path)
    if mode == "offline":
        check(run, offline_history(run))
        codes = [read_offline_run(place).exit_code for place in offline_folders(run.path)]
        assert codes[-1] == code
    else:
        check(run, server.runs[run.run_id].history)
        assert server.runs[run.run_id].exit_code == code


def test_a_background_process_that_hangs_is_given_up_and_its_rows_are_sent_by_the_next_start(
    shards: Path, tmp_path: Path
) -> None:
    process = start(shards, tmp_path, *OFFLINE, "trainer.max_steps=100000")
    wait_for_step(tmp_path, 30, process)
    service = wandb_service(process.pid)
    os.kill(service, signal.SIGSTOP)
    wait_for_step(tmp_path, len(losses(tmp_path)) + 5, process)
    process.terminate()
    _, error = process.communicate(timeout=60)
    assert process.returncode == 143, error
    assert "W&B did not get everything (no answer within 11 s); the same command sends the rest" in error
    assert "Traceback" not in error and are_gone([service], 10)
    train(shards, tmp_path, *OFFLINE, f"trainer.max_steps={len(losses(tmp_path)) + 5}")
    run = the_run(tmp_path)
    check(run, offline_history(run))


def wandb_service(pid: int) -> int:
    """The process that wandb started for a training."""
    command = ["ps", "-o", "pid=,args=", "--ppid", str(pid)]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    (found,) = (int(line.split()[0]) for line in listed if "wandb-core" in line)
    return found
