"""A run that meets trouble on one rank: all ranks do the same, nothing is lost, and it is said."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.processes import ROOT, losses, start, the_run, train, wait_for_step
from tests.shards.made import write_shard_set
from tests.small import SETTINGS
from wavenet_pl.runs.checkpoints import problem
from wavenet_pl.runs.folder import list_checkpoints
from wavenet_pl.shards.index import load_index
from wavenet_pl.tracking.rows import read_metrics

EACH_STEP = ("train.checkpoint_every_n_steps=1", "train.keep_last=20", "trainer.limit_val_batches=0")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shard_set(tmp_path_factory.mktemp("troubles") / "set", train=10, val=3)


def weights_at(folder: Path, step: int) -> torch.Tensor:
    path = the_run(folder).checkpoints / f"step-{step:09d}.ckpt"
    state = torch.load(path, weights_only=True)["state_dict"]
    return torch.cat([state[name].flatten() for name in sorted(state)])


def group_ends(group: int) -> bool:
    """Whether the last process of a group leaves within some time."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.2)
    return False


@pytest.mark.slow
def test_a_loss_that_is_no_number_on_one_rank_skips_the_step_on_both(shards, tmp_path):
    (tmp_path / "two").mkdir(), (tmp_path / "one").mkdir()
    settings = (*EACH_STEP, "trainer.max_steps=9")
    text = train(shards, tmp_path / "two", "trainer.devices=2", *settings, trouble=("nan", 1, "5"))
    assert re.search(r"step 6 was skipped: loss nan", text)
    steps = {
        row["step"]: row for row in read_metrics(the_run(tmp_path / "two").metrics) if "train/loss" in row
    }
    assert [step for step, row in steps.items() if row["train/loss"] != row["train/loss"]] == [6]
    assert torch.equal(weights_at(tmp_path / "two", 5), weights_at(tmp_path / "two", 6))
    assert not torch.equal(weights_at(tmp_path / "two", 6), weights_at(tmp_path / "two", 7))
    [row] = read_metrics(the_run(tmp_path / "two").path / "skipped_steps.jsonl")
    assert row["step"] == 6 and len(row["keys"]) == 4
    # As if one process had skipped it: the ranks stayed together.
    train(shards, tmp_path / "one", *settings, trouble=("nan", 0, "5"))
    torch.testing.assert_close(
        weights_at(tmp_path / "two", 9), weights_at(tmp_path / "one", 9), rtol=1e-4, atol=1e-6
    )


@pytest.mark.slow
def test_some_in_a_row_end_the_run_and_the_count_outlives_a_restart(shards, tmp_path):
    settings = (*EACH_STEP, "train.max_skipped_steps=3")
    trouble = ("nan", 0, "4,6,7,8,9")
    text = train(shards, tmp_path, *settings, "trainer.max_steps=8", trouble=trouble)
    assert "in a row" not in text
    text = train(shards, tmp_path, *settings, "trainer.max_steps=20", trouble=trouble, code=3)
    assert "3 steps in a row had a loss or gradient that is not finite" in text
    assert re.search(r"the newest checkpoint is .*step-000000008.ckpt; the same command goes on", text)
    rows = read_metrics(the_run(tmp_path).path / "skipped_steps.jsonl")
    assert [row["step"] for row in rows] == [5, 7, 8, 9]
    assert all(torch.isfinite(weights_at(tmp_path, step)).all() for step in range(1, 9))


@pytest.mark.slow
def test_a_weight_that_is_no_number_is_never_saved(shards, tmp_path):
    text = train(shards, tmp_path, *EACH_STEP, "trainer.max_steps=9", trouble=("nan-weight", 0, "5"), code=3)
    assert "a weight is not finite at step 6" in text
    assert list_checkpoints(the_run(tmp_path))[-1].name == "step-000000005.ckpt"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("phase", "told"),
    [("data", "waiting for data"), ("forward", "forward"), ("save", "save"), ("clips", "clips")],
)
def test_a_rank_that_sleeps_ends_the_run_on_all_ranks(shards, tmp_path, phase, told):
    settings = (
        "trainer.devices=2", "trainer.max_steps=50", "train.hang_after=6", "train.checkpoint_every_n_steps=2",
        "trainer.limit_val_batches=0", "samples.every_n_steps=6", "samples.count=2", "samples.seconds=0.05",
        "samples.prompt_seconds=0.02", "samples.budget_seconds=5",
    )  # fmt: skip
    sleeper, step = (0, "4") if phase == "save" else (1, "6")
    process = start(shards, tmp_path, *settings, trouble=(phase, sleeper, step))
    _, error = process.communicate(timeout=120)
    assert process.returncode == 85, error[-3000:]
    assert re.search(rf"rank {sleeper} hangs at step {step}: no batch for 6 s, in: {told}", error), error
    assert f"rank {1 - sleeper} hangs at step" in error
    for rank in (0, 1):
        stacks = (the_run(tmp_path).logs / f"hang-rank-{rank}.txt").read_text()
        assert "most recent call first" in stacks and "in: " in stacks
    assert group_ends(process.pid)
    text = train(shards, tmp_path, *settings[:1], "trainer.max_steps=8")
    assert "going on from step-00000000" in text and len(losses(tmp_path)) == 8


@pytest.mark.slow
@pytest.mark.parametrize(("failed_save", "code"), [("go_on", 0), ("stop", 3)])
def test_a_file_too_large_for_the_disk_leaves_the_checkpoints_before(shards, tmp_path, failed_save, code):
    """A limit on the size of a file stands for a full disk: a second model, larger than the limit."""
    settings = ("trainer.max_steps=4", "train.checkpoint_every_n_steps=2", f"train.failed_save={failed_save}")
    train(shards, tmp_path, *settings)
    before = list_checkpoints(the_run(tmp_path))
    sizes = [path.stat().st_size for path in before]
    program = (
        "import resource, signal, sys\n"
        "from wavenet_pl import cli\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({sizes[0] // 2}, {sizes[0] // 2}))\n"
        "sys.exit(cli.main(sys.argv[1:]))\n"
    )
    more = ("trainer.max_steps=7", *settings[1:])
    done = subprocess.run(
        [sys.executable, "-c", program, "train", f"data.path={shards}", *SETTINGS, *more, "--runs", str(tmp_path)],
        capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 3, done.stderr  # its end could not be saved, whatever was to follow at step 6
    assert "Traceback" not in done.stderr
    name = "step-000000006.ckpt"
    assert re.search(rf"{name} could not be written \(File too large\): it takes [\d,]+ bytes", done.stderr)
    assert ("step-000000007.ckpt could not" in done.stderr) == (code == 0)
    assert list_checkpoints(the_run(tmp_path)) == before and [problem(path) for path in before] == [
        None
    ] * len(before)
    assert f"the newest checkpoint is {before[-1]}" in done.stderr
    train(shards, tmp_path, *more)
    assert len(losses(tmp_path)) == 7


def mount(folder: Path, mebibytes: float) -> bool:
    """Put a file system of this size on a folder, where this user may do that."""
    folder.mkdir()
    size = f"size={int(mebibytes * 2**20)}"
    command = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.slow
def test_a_full_disk_loses_nothing_once_there_is_room(shards, tmp_path):
    """A real small disk: it fills up with other files while the run trains, and is cleared before its end."""
    runs, whole = tmp_path / "runs", tmp_path / "whole"
    whole.mkdir()
    if not mount(runs, 8):
        pytest.skip("only root mounts a disk of 8 MiB; the limit of a file's size is tested for everyone")
    try:
        settings = (
            "trainer.max_steps=100000",
            "train.checkpoint_every_n_steps=5",
            "trainer.limit_val_batches=0",
        )
        process = start(shards, runs, *settings, "trainer.devices=2")
        wait_for_step(runs, 12, process)
        filler = runs / "filler"
        with open(filler, "wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:  # until there is no room for another one
                file.write(bytes(1024))
        time.sleep(3)
        done = len(losses(runs))
        filler.unlink()
        wait_for_step(runs, done + 20, process)
        process.send_signal(signal.SIGTERM)
        _, error = process.communicate(timeout=60)
        assert process.returncode == 143, error[-3000:]
        assert "metrics.jsonl could not be written (No space left on device); its rows wait" in error
        assert "is not saved before its rows are" in error or re.search(
            r"ckpt could not be written \(No space", error
        )
        found = losses(runs)  # which has each step once
        train(shards, whole, "trainer.limit_val_batches=0", f"trainer.max_steps={len(found)}")
        assert losses(whole).keys() == found.keys()
        assert all(found[step] == pytest.approx(loss, rel=1e-5) for step, loss in losses(whole).items())
        assert list_checkpoints(the_run(runs))[-1].name == f"step-{len(found):09d}.ckpt"
    finally:
        subprocess.run(["umount", str(runs)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("devices", "trouble", "rank"),
    [(1, "stop", 0), (2, "stop", 1), (1, "stop-clips", 0), (2, "stop-clips", 1)],
)
def test_what_a_stopped_step_owes_is_made_up_for(shards, tmp_path, devices, trouble, rank):
    """Stopped where a validation and clips were due: both are there after it went on, once, and before later ones."""
    (tmp_path / "parts").mkdir(), (tmp_path / "whole").mkdir()
    settings = (
        f"trainer.devices={devices}", "trainer.val_check_interval=4", "trainer.check_val_every_n_epoch=null",
        "samples.every_n_steps=4", "samples.count=2", "samples.seconds=0.05", "samples.prompt_seconds=0.02",
        "train.checkpoint_every_n_steps=100", "optim.ema_decay=0.9",
    )  # fmt: skip
    train(
        shards, tmp_path / "parts", *settings, "trainer.max_steps=20", trouble=(trouble, rank, "8"), code=85
    )
    rows = read_metrics(the_run(tmp_path / "parts").metrics)
    assert [row["step"] for row in rows if "val/bits" in row] == [4]
    assert rows[-1]["step"] == 8
    for folder in ("parts", "whole"):
        train(shards, tmp_path / folder, *settings, "trainer.max_steps=12")
    told = [
        [(row["step"], row["val/bits"]) for row in read_metrics(the_run(folder).metrics) if "val/bits" in row]
        for folder in (tmp_path / "parts", tmp_path / "whole")
    ]
    assert told[0] == told[1] and [step for step, _ in told[0]] == [4, 8, 12]
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    for name in ("step-000000004", "step-000000008", "step-000000012"):
        one, other = (the_run(tmp_path / folder).clips / name for folder in ("parts", "whole"))
        assert (one / "00-free-running.wav").read_bytes() == (other / "00-free-running.wav").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 2])
def test_more_bad_recordings_than_allowed_end_the_run(tmp_path, devices):
    shards, runs = write_shard_set(tmp_path / "set", train=12, val=3), tmp_path / "runs"
    runs.mkdir()
    for shard in load_index(shards).splits["train"][:2]:
        with open(shards / shard.name, "r+b") as file:
            file.seek(shard.recordings[0].audio[1].offset + 100)
            file.write(b"damaged")
    settings = (f"trainer.devices={devices}", "trainer.max_steps=30", "train.checkpoint_every_n_steps=100")
    text = train(shards, runs, *settings, "data.max_bad_fraction=0.1", code=3)
    assert "2 of 12 recordings in split train cannot be read, expected at most a share of" in text
    rows = read_metrics(the_run(runs).path / "bad_recordings.jsonl")
    assert sorted((row["key"], row["kind"]) for row in rows) == [
        ("rec-00000", "changed"),
        ("rec-00004", "changed"),
    ]
    assert f"the newest checkpoint is {the_run(runs).checkpoints}/step-{len(losses(runs)):09d}.ckpt" in text
    train(shards, runs, *settings, "data.max_bad_fraction=0.2")
    assert len(losses(runs)) == 30
    # Each once, whatever the restarts.
    assert read_metrics(the_run(runs).path / "bad_recordings.jsonl") == rows


@pytest.mark.slow
def test_a_second_signal_forces(shards, tmp_path):
    settings = ("trainer.max_steps=50", "train.hang_after=null")
    process = start(shards, tmp_path, *settings, trouble=("forward", 0, "6"))
    wait_for_step(tmp_path, 6, process)
    process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(3)  # it sleeps, and the flag waits for the end of the step
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == -signal.SIGTERM
    process.communicate()


def test_a_signal_before_the_handlers_is_kept(tmp_path):
    """Between the first line of `main` and the handlers a signal waits; without that it would kill the process."""
    program = (
        "import os, signal\n"
        "from wavenet_pl import cli, signals\n"
        "import wavenet_pl.commands.train as train\n"
        "def main(args):\n"
        "    os.kill(os.getpid(), signal.SIGUSR1)\n"
        "    flag = signals.StopFlag()\n"
        "    assert not flag\n"
        "    flag.install()\n"
        "    return flag.code\n"
        "train.main = main\n"
        "raise SystemExit(cli.main(['train']))\n"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=60, check=False).returncode == 85
