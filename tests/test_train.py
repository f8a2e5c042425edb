"""The command `train` as users start it: real processes, real signals, real shards."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.data.shards import write_shard_set
from tests.small import SETTINGS
from wavenet_pl import cli
from wavenet_pl.run import RunFolder
from wavenet_pl.tracking.metrics_file import read_metrics

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shard_set(tmp_path_factory.mktemp("train") / "set", train=10, val=3)


def start(shards: Path, folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """`wavenet-pl train` in a process of its own, in a session of its own."""
    command = [
        sys.executable,
        "-m",
        "wavenet_pl",
        "train",
        f"data.path={shards}",
        *SETTINGS,
        "--runs",
        str(folder),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*command, *arguments], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder,
        start_new_session=True,
    )  # fmt: skip


def train(shards: Path, folder: Path, *arguments: str, code: int = 0) -> str:
    """Run to the end; returns all that was printed."""
    process = start(shards, folder, *arguments)
    out, err = process.communicate(timeout=240)
    assert process.returncode == code, err[-3000:]
    assert "Traceback" not in err
    return out + err


def the_run(folder: Path) -> RunFolder:
    [path] = [path for path in folder.iterdir() if path.name.startswith("wavenet-")]
    return RunFolder(path)


def losses(folder: Path) -> dict[int, float]:
    rows = [row for row in read_metrics(the_run(folder).metrics) if "train/loss" in row]
    steps = [row["step"] for row in rows]
    assert steps == list(range(1, len(steps) + 1)), "each step once, in order"
    return {row["step"]: row["train/loss"] for row in rows}


def weights(folder: Path) -> dict[str, Any]:
    path = max(the_run(folder).checkpoints.glob("*.ckpt"))
    return torch.load(path, weights_only=True)["state_dict"]


def wait_for_step(folder: Path, step: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        rows = list(folder.glob("wavenet-*/metrics.jsonl"))
        if rows and any(row["step"] >= step for row in read_metrics(rows[0])):
            return
        time.sleep(0.05)
    raise AssertionError(f"no step {step} within two minutes")


def test_a_dry_run_writes_nothing(shards, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code = cli.main(["train", f"data.path={shards}", *SETTINGS, "trainer.max_steps=5", "--dry-run"])
    assert code == 0 and list(tmp_path.iterdir()) == []
    text = capsys.readouterr().err
    assert "receptive field 33 samples (4 ms)" in text and "from the start" in text and "parameters" in text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ((), "nothing says how long to train, expected one of trainer.max_steps"),
        (("trainer.max_steps=5", "data.batch_size=3", "trainer.accumulate_grad_batches=2"),
         "data.batch_size is 3, expected a multiple of 2: .*; use 2 or 4"),
        (("trainer.max_steps=5", "data.path=nowhere"), "nowhere/index.json cannot be read .*wavenet-pl prepare"),
        (("trainer.max_step=5", "trainer.max_epochs=1"), "max_steps"),
        (("trainer.max_steps=5", "trainer.precision=17-mixed"), "lightning.Trainer refuses"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_message_and_2(shards, tmp_path, monkeypatch, capsys, settings, message):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", f"data.path={shards}", *SETTINGS, *settings]) == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert re.search(message, error), error
    assert not list(tmp_path.glob("runs/*/metrics.jsonl"))


@pytest.mark.slow
def test_a_run_in_two_parts_has_the_losses_and_weights_of_one(shards, tmp_path):
    """Stopped in the middle of an epoch, with workers, averaged weights and another number of workers afterwards."""
    (tmp_path / "parts").mkdir(), (tmp_path / "whole").mkdir()
    ema = "optim.ema_decay=0.99"
    train(shards, tmp_path / "parts", "trainer.max_steps=17", "data.num_workers=2", ema)
    text = train(shards, tmp_path / "parts", "trainer.max_steps=30", ema)
    assert "going on from step-000000017.ckpt" in text
    train(shards, tmp_path / "whole", "trainer.max_steps=30", ema)
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    one, other = weights(tmp_path / "parts"), weights(tmp_path / "whole")
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
def test_two_ranks_learn_what_one_learns_and_go_on_after_a_stop(shards, tmp_path):
    (tmp_path / "one").mkdir(), (tmp_path / "two").mkdir()
    train(shards, tmp_path / "one", "trainer.max_steps=20")
    train(shards, tmp_path / "two", "trainer.max_steps=9", "trainer.devices=2")
    train(shards, tmp_path / "two", "trainer.max_steps=20", "trainer.devices=2", "data.num_workers=1")
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert one.keys() == two.keys() and all(two[step] == pytest.approx(one[step], rel=1e-5) for step in one)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 85)]
)
@pytest.mark.parametrize("devices", [1, 2])
def test_a_signal_to_the_whole_group_saves_and_the_same_command_goes_on(
    shards, tmp_path, number, code, devices
):
    settings = ("trainer.max_steps=100000", f"trainer.devices={devices}", "data.num_workers=1")
    process = start(shards, tmp_path, *settings)
    wait_for_step(tmp_path, 15, process)
    os.killpg(process.pid, number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == code, err[-3000:]
    assert "Traceback" not in err and "the same command goes on from there" in err
    done = len(losses(tmp_path))
    assert max(the_run(tmp_path).checkpoints.glob("*.ckpt")).name == f"step-{done:09d}.ckpt"
    again = ("trainer.max_steps=" + str(done + 3), *settings[1:])
    assert f"going on from step-{done:09d}.ckpt" in train(shards, tmp_path, *again)
    assert len(losses(tmp_path)) == done + 3


@pytest.mark.slow
def test_a_time_limit_saves_and_asks_to_be_started_again(shards, tmp_path):
    text = train(shards, tmp_path, "train.stop_after=6", code=85)
    assert "the same command goes on from there" in text and losses(tmp_path)


@pytest.mark.slow
def test_a_fresh_run_sets_the_earlier_one_aside(shards, tmp_path):
    train(shards, tmp_path, "trainer.max_steps=5")
    train(shards, tmp_path, "trainer.max_steps=3", "--fresh")
    kept, aside = sorted(tmp_path.iterdir())
    assert aside.name == f"{kept.name}-old-1"
    assert [len(read_metrics(path / "metrics.jsonl")) > 0 for path in (kept, aside)] == [True, True]
    assert (aside / "checkpoints/step-000000005.ckpt").exists()


@pytest.mark.slow
def test_the_run_folder_says_what_was_run(shards, tmp_path):
    text = train(
        shards, tmp_path, "trainer.max_epochs=2", "train.checkpoint_every_n_steps=4", "train.keep_last=1"
    )
    run = the_run(tmp_path)
    baselines = json.loads(run.baselines.read_text())
    rows = read_metrics(run.metrics)
    keys = {key for row in rows for key in row}
    assert {"train/loss", "train/bits", "val/bits", "optim/lr", "optim/grad_norm"} <= keys
    assert baselines["uniform"] == 8 > baselines["unigram"] > baselines["order1"] > 0
    for name in ("uniform", "unigram", "order-1", "model", "type next"):
        assert name in text
    best = min((row for row in rows if "val/bits" in row), key=lambda row: row["val/bits"])["step"]
    kept = {path.name for path in run.checkpoints.glob("*.ckpt")}
    assert kept == {f"step-{step:09d}.ckpt" for step in {best, rows[-1]["step"]}}
    assert run.config.exists() and (run.path / "git.json").exists()
