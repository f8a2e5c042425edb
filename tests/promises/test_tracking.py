"""Whatever happens to a run, to W&B or its server: both have each number of a run once, and no training waits."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.processes import ROOT, are_gone, losses, start, the_run, train, wait_for_step
from tests.shards.made import write_shard_set
from tests.small_run import RUN_ID
from tests.wandb_offline import offline_folders, read_offline_run
from tests.wandb_server import KEY, WandbServer
from wavenet_pl.runs.folder import RunFolder
from wavenet_pl.tracking.rows import read_metrics
from wavenet_pl.tracking.wandb_ledger import NAME
from wavenet_pl.tracking.wandb_log import rows_in_log
from wavenet_pl.training.wandb_session import STEP

pytestmark = pytest.mark.slow
SOAK = pytest.mark.soak

PATIENCE = 120  # seconds, against a hang; nothing here takes a tenth of it

EVERY = 3

SETTINGS = (
    f"wandb.log_every_n_steps={EVERY}",
    "train.checkpoint_every_n_steps=20",
    "trainer.val_check_interval=0.5",
    "samples.every_n_steps=15",
    "samples.count=1",
    "samples.seconds=0.05",
    "samples.prompt_seconds=0.02",
)

IMPATIENT = ("wandb.init_timeout=4", "wandb.finish_timeout=6")
"""Where W&B is not going to answer. Where it is, a busy machine may keep it from it for longer."""

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
    assert {step for key, step in tracked if key == "val/clips/free-running"} == sets
    assert [step for key, step in tracked if key == "val/clips/recorded"] == [min(sets)]


@pytest.mark.parametrize(
    ("devices", "kills"), [(2, 2), pytest.param(1, 4, marks=SOAK), pytest.param(2, 4, marks=SOAK)]
)
def test_a_run_that_is_killed_again_and_again_offline_is_whole_in_the_end(
    shards: Path, tmp_path: Path, devices: int, kills: int
) -> None:
    chance = random.Random(devices)
    settings = (*OFFLINE, f"trainer.devices={devices}")
    for _ in range(kills):
        kill(shards, tmp_path, chance, *settings)
    train(shards, tmp_path, *settings, f"trainer.max_steps={max(60, len(losses(tmp_path)) + 5)}")
    run = the_run(tmp_path)
    assert len(offline_folders(run.path)) > 1
    check(run, offline_history(run))


def variables(server: WandbServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the next trainings find the server, and send what they have every second."""
    for name, value in {**server.env(), "WANDB_X_FILE_STREAM_TRANSMIT_INTERVAL": "1"}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("seed", "kills"), [(3, 2), pytest.param(3, 4, marks=SOAK), pytest.param(4, 4, marks=SOAK)]
)
def test_a_run_that_is_killed_again_and_again_online_is_whole_in_the_end(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, kills: int
) -> None:
    chance = random.Random(seed)
    with WandbServer() as server:
        variables(server, monkeypatch)
        arrived = [0]
        for _ in range(kills):
            kill(shards, tmp_path, chance, *ONLINE)
            arrived.append(sum(len(run.history) for run in server.runs.values()))
        train(shards, tmp_path, *ONLINE, f"trainer.max_steps={max(60, len(losses(tmp_path)) + 5)}")
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
        settings = (*ONLINE, *IMPATIENT)
        process = start(shards, tmp_path, *settings, "trainer.max_steps=100000")
        wait_for_step(tmp_path, 30, process)
        wait_until(lambda: any(run.history for run in server.runs.values()))
        server.mode = 500
        wait_for_step(tmp_path, len(losses(tmp_path)) + 12, process)
        process.terminate()
        _, error = process.communicate(timeout=120)
        assert process.returncode == 143, error
        assert "W&B did not get everything" in error and "the same command sends the rest" in error
        run = the_run(tmp_path)
        before = len(server.runs[run.run_id].history)
        error = train(shards, tmp_path, *settings, f"trainer.max_steps={len(losses(tmp_path)) + 20}")
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


@pytest.mark.parametrize(
    ("number", "code", "mode"),
    [
        (signal.SIGTERM, 143, "online"),
        (signal.SIGINT, 130, "offline"),
        (signal.SIGUSR1, 85, "online"),
        pytest.param(signal.SIGTERM, 143, "offline", marks=SOAK),
        pytest.param(signal.SIGINT, 130, "online", marks=SOAK),
        pytest.param(signal.SIGUSR1, 85, "offline", marks=SOAK),
    ],
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
    process = start(shards, tmp_path, *OFFLINE, *IMPATIENT, "trainer.max_steps=100000")
    wait_for_step(tmp_path, 30, process)
    service = wandb_service(process.pid)
    os.kill(service, signal.SIGSTOP)
    wait_for_step(tmp_path, len(losses(tmp_path)) + 5, process)
    process.terminate()
    _, error = process.communicate(timeout=60)
    assert process.returncode == 143, error
    assert "W&B did not get everything (no answer within 11 s); the same command sends the rest" in error
    assert "Traceback" not in error and are_gone([service], PATIENCE)
    train(shards, tmp_path, *OFFLINE, f"trainer.max_steps={len(losses(tmp_path)) + 5}")
    run = the_run(tmp_path)
    check(run, offline_history(run))


def wandb_service(pid: int) -> int:
    """The process that wandb started for a training."""
    command = ["ps", "-o", "pid=,args=", "--ppid", str(pid)]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    (found,) = (int(line.split()[0]) for line in listed if "wandb-core" in line)
    return found


NO_SERVER = {"WANDB_MODE": "offline"}


@dataclass
class Done:
    """How a program ended."""

    returncode: int
    messages: list[str]


@contextmanager
def program(module: str, *arguments: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env={**os.environ, **variables},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as started:
        try:
            yield started
        finally:
            started.kill()


def fail_in_the_middle(
    run_dir: Path,
    variables: dict[str, str],
    fail: Callable[[int], Any] = lambda pid: None,
    *,
    done: int = 0,
    seconds: int = 60,
) -> Done:
    """Log 10 rows, let something fail (given the program's process id), log 10 more, finish.

    Args:
        run_dir: the run's folder.
        variables: of the program's environment.
        fail: what fails.
        done: steps of earlier starts.
        seconds: how long W&B is waited for; few where it is not going to answer.
    """
    words = (str(run_dir), str(done), str(seconds))
    with program("tests.training.failing_run", *words, **variables) as started:
        assert started.stdout is not None
        assert started.stdout.readline() == "READY\n"
        fail(started.pid)
        output, errors = started.communicate("go on\n", timeout=PATIENCE)
    assert output == "DONE\n", errors
    assert [row["step"] for row in read_metrics(run_dir / "metrics.jsonl")] == list(range(1, done + 21))
    return Done(started.returncode, errors.splitlines())


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def wait_for_rows(run_dir: Path) -> None:
    """Wait until W&B has written the 10 rows that were logged, as it does every two seconds."""
    wait_until(lambda: sum(map(rows_in_log, offline_folders(run_dir))) == 10)


def kill_program(run_dir: Path, *, written: bool) -> None:
    """Log 10 rows, and be killed at once or when W&B has written them."""
    with program("tests.training.failing_run", str(run_dir), "0", **NO_SERVER) as started:
        assert started.stdout is not None
        assert started.stdout.readline() == "READY\n"
        service = wandb_service(started.pid)
        if written:
            wait_for_rows(run_dir)
    assert are_gone([service], PATIENCE), "it writes until it sees that the program is gone"


def sync(server: WandbServer, *folders: str | Path) -> str:
    """What a user types to send folders."""
    variables = {**os.environ, **server.env()}
    del variables["WANDB_MODE"], variables["WANDB_SILENT"]
    command = [sys.executable, "-m", "wandb", "sync", *map(str, folders)]
    sent = subprocess.run(
        command, env=variables, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert sent.returncode == 0, sent.stderr + sent.stdout
    return sent.stderr + sent.stdout


def arrived(server: WandbServer) -> list[int]:
    return [row[STEP] for row in server.runs["r1"].history if "train/loss" in row]


def steps_of(run_dir: Path) -> list[int]:
    """The steps that all offline folders of a run hold."""
    return [
        step for folder in offline_folders(run_dir) for step in read_offline_run(folder).steps("train/loss")
    ]


def test_online_everything_arrives(tmp_path: Path) -> None:
    with WandbServer() as server:
        with program("tests.training.tracked_run", str(tmp_path), "2", **server.env()) as started:
            _, errors = started.communicate(timeout=PATIENCE)
        assert started.returncode == 0, errors
        run = server.runs[RUN_ID]
        losses = [
            (row["trainer/global_step"], row["train/loss"]) for row in run.history if "train/loss" in row
        ]
        rows = read_metrics(tmp_path / "run" / "metrics.jsonl")
        told = [
            (row["step"], row["train/loss"]) for row in rows if row.get("train/loss") and row["step"] % 2 == 0
        ]
        assert losses == told  # of both starts, which are one run
        assert [row["trainer/global_step"] for row in run.history if "val/clips/free-running" in row] == [
            2,
            4,
        ]
        assert sum(name.startswith("media/audio/val/clips/") for name in run.files) >= 6
        assert run.config["parameters"] == 1234
        assert run.exit_code == 0
        artifacts = {artifact["type"]: artifact for artifact in run.artifacts}
        assert artifacts["dataset"]["used"]
        assert {"best", "last"} <= set(artifacts["model"]["aliases"])
        sent = b"".join(run.files.values())
    assert b"planted" not in sent
    assert KEY.encode() not in sent
    assert any(f"{server.url}/lab/wavenet_pl/runs/{RUN_ID}" in line for line in errors.splitlines())
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


@pytest.mark.parametrize("mode", [401, 403, 500, "hang", "refused"])
def test_a_server_that_does_not_serve_at_the_start_makes_the_run_offline(tmp_path: Path, mode: Any) -> None:
    with WandbServer("ok" if mode == "refused" else mode) as server:
        variables = server.env()
        if mode == "refused":
            with socket.create_server(("127.0.0.1", 0)) as nobody:
                port = nobody.getsockname()[1]
            variables["WANDB_BASE_URL"] = f"http://127.0.0.1:{port}"
        done = fail_in_the_middle(tmp_path, variables, seconds=2)
    assert done.returncode == 0
    (folder,) = offline_folders(tmp_path)
    (line,) = done.messages
    assert line.startswith("W&B cannot be reached (")
    assert line.endswith(f"this run is tracked offline; send it later with `wandb sync {folder}`")
    run = read_offline_run(folder)
    assert run.run_id == "r1"
    assert run.steps("train/loss") == list(range(1, 21))
    assert run.config["a"] == 1


def test_a_training_under_a_server_that_refuses_runs_to_its_end(tmp_path: Path) -> None:
    with (
        WandbServer(401) as server,
        program("tests.training.tracked_run", str(tmp_path), "1", **server.env()) as started,
    ):
        _, errors = started.communicate(timeout=PATIENCE)
    assert started.returncode == 0, errors
    (folder,) = offline_folders(tmp_path / "run")
    assert read_offline_run(folder).steps("val/clips/free-running") == [2, 4]


@pytest.mark.parametrize("mode", ["hang", 500])
def test_a_server_that_stops_serving_in_the_middle_holds_nothing_up(tmp_path: Path, mode: Any) -> None:
    with WandbServer() as server:
        done = fail_in_the_middle(
            tmp_path, server.env(), lambda pid: setattr(server, "mode", mode), seconds=2
        )
    assert done.returncode == 0
    assert len(done.messages) == 2, done.messages
    assert (
        done.messages[1]
        == "W&B did not get everything (Timed out finishing run.); the same command sends the rest"
    )


def test_the_death_of_wandb_itself_stops_nothing_and_costs_nothing(tmp_path: Path) -> None:
    def kill_wandb(pid: int) -> None:
        service = wandb_service(pid)
        os.kill(service, signal.SIGKILL)
        assert are_gone([service], PATIENCE)

    done = fail_in_the_middle(tmp_path, NO_SERVER, kill_wandb)
    assert done.returncode == 0
    first, *_, last = done.messages
    assert first.startswith("W&B is offline")
    assert sum("training and metrics.jsonl go on" in line for line in done.messages) == 1
    assert sum(line.startswith("W&B had lost ") for line in done.messages) == 1
    assert last == "W&B failed 10 times to take what it was given; metrics.jsonl has all"
    runs = [read_offline_run(folder) for folder in offline_folders(tmp_path)]
    assert steps_of(tmp_path) == list(range(1, 21))
    assert [run.exit_code for run in runs] == [None, 85]


def test_a_killed_run_has_its_rows_until_seconds_before(tmp_path: Path) -> None:
    kill_program(tmp_path, written=True)
    assert steps_of(tmp_path) == list(range(1, 11))


def test_an_offline_run_can_be_sent_later(tmp_path: Path) -> None:
    done = fail_in_the_middle(tmp_path, NO_SERVER)
    command = done.messages[0].split("`")[1].split()
    assert command[:2] == ["wandb", "sync"]
    with WandbServer() as server:
        sync(server, *command[2:])
        assert arrived(server) == list(range(1, 21))


def test_a_mode_online_without_a_key_asks_nobody_and_goes_offline(tmp_path: Path) -> None:
    done = fail_in_the_middle(tmp_path, {"WANDB_MODE": "online"})
    assert len(offline_folders(tmp_path)) == 1
    assert done.messages[0].startswith("W&B is offline")


def test_a_run_that_was_sent_goes_on_online(tmp_path: Path) -> None:
    fail_in_the_middle(tmp_path, NO_SERVER)
    with WandbServer() as server:
        sync(server, *offline_folders(tmp_path))
        done = fail_in_the_middle(tmp_path, server.env(), done=20)
        assert arrived(server) == list(range(1, 41))
    assert len(done.messages) == 1, done.messages


def test_a_run_that_was_kept_offline_is_sent_when_it_goes_on_online(tmp_path: Path) -> None:
    fail_in_the_middle(tmp_path, NO_SERVER)
    (folder,) = offline_folders(tmp_path)
    with WandbServer() as server:
        done = fail_in_the_middle(tmp_path, server.env(), done=20)
        assert done.messages[1:] == ["W&B had lost 20 rows; they were sent again"]
        assert arrived(server) == list(range(1, 41))
        assert "Skipped 1 synced run(s)" in sync(server, folder)
        assert arrived(server) == list(range(1, 41))


def test_nothing_is_sent_again_that_was_sent_and_deleted(tmp_path: Path) -> None:
    fail_in_the_middle(tmp_path, NO_SERVER)
    shutil.rmtree(tmp_path / "wandb")
    fail_in_the_middle(tmp_path, NO_SERVER, done=20)
    assert steps_of(tmp_path) == list(range(21, 41))


def test_a_kill_before_anything_was_written_does_not_hinder_what_follows(tmp_path: Path) -> None:
    """`wandb sync` sends nothing at all where one of the folders has an empty log."""
    kill_program(tmp_path, written=False)
    for folder in offline_folders(tmp_path):
        for log in Path(folder).glob("*.wandb"):
            os.truncate(log, 0)  # W&B may have been faster than the kill
    assert steps_of(tmp_path) == []
    fail_in_the_middle(tmp_path, NO_SERVER, done=10)
    assert steps_of(tmp_path) == list(range(1, 31))
    with WandbServer() as server:
        sync(server, *offline_folders(tmp_path))
        assert arrived(server) == list(range(1, 31))


def test_a_log_that_a_kill_tore_does_not_hinder_what_follows(tmp_path: Path) -> None:
    """`wandb sync` would stop at its end, and send no later folder."""
    kill_program(tmp_path, written=True)
    (log,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    os.truncate(log, log.stat().st_size - 10)
    done = fail_in_the_middle(tmp_path, NO_SERVER, done=10)
    assert done.messages[1:] == ["W&B had lost 1 rows; they were sent again"]
    with WandbServer() as server:
        sync(server, *offline_folders(tmp_path))
        assert arrived(server) == list(range(1, 31))


def test_rows_that_a_disk_lost_are_missed_and_sent_again(tmp_path: Path) -> None:
    def lose(pid: int) -> None:
        wait_for_rows(tmp_path)
        (log,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
        os.truncate(log, 7)

    done = fail_in_the_middle(tmp_path, NO_SERVER, lose)
    (folder,) = offline_folders(tmp_path)
    assert done.messages[1:] == [
        f"W&B's log in {folder} lacks 20 rows; is the disk full? the same command sends the rest"
    ]
    done = fail_in_the_middle(tmp_path, NO_SERVER, done=20)
    assert done.messages[1:] == ["W&B had lost 20 rows; they were sent again"]
    assert steps_of(tmp_path) == list(range(1, 41))


def test_a_folder_that_cannot_be_written_costs_one_warning(tmp_path: Path) -> None:
    (tmp_path / "wandb").write_text("in its place")
    done = fail_in_the_middle(tmp_path, NO_SERVER)
    (line,) = done.messages
    assert line.startswith("W&B does not work here (")
    assert line.endswith("); metrics.jsonl has all numbers")


def test_a_damaged_ledger_costs_one_warning(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("nonsense\n")
    done = fail_in_the_middle(tmp_path, NO_SERVER)
    (line,) = done.messages
    assert line.startswith(f"W&B does not work here ({tmp_path / NAME} line 1 is b'nonsense', expected ")
