"""A checkpoint is there whole or not at all, whatever happens to the process or the disk."""

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

from benchmarks import save_soak
from tests.processes import EACH_STEP, ROOT, losses, start, the_run, train, wait_for_step
from tests.shards.made import write_shard_set
from tests.small import SETTINGS
from tests.started import end_started, ends_with_test
from wavenet_pl.runs import checkpoints
from wavenet_pl.runs.checkpoints import problem
from wavenet_pl.runs.folder import RunFolder, checkpoint_step, list_checkpoints
from wavenet_pl.training.checkpoint_io import AtomicCheckpointIO


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shard_set(tmp_path_factory.mktemp("troubles") / "set", train=10, val=3)


def test_its_bytes_and_its_checksum_are_on_disk_before_it_has_its_name(tmp_path, monkeypatch):
    """What a loss of power would show: the order in which the system is told to make files durable and to rename."""
    told = []
    sync, replace = os.fsync, os.replace

    def record_sync(descriptor):
        told.append(("sync", Path(os.readlink(f"/proc/self/fd/{descriptor}")).name))
        sync(descriptor)

    def record_replace(source, target):
        told.append(("name", Path(source).name, Path(target).name))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", record_sync)
    monkeypatch.setattr(os, "replace", record_replace)
    path = tmp_path / "folder" / "step-000000001.ckpt"
    AtomicCheckpointIO().save_checkpoint({"weights": torch.zeros(3)}, path)
    checksum, whole = (f".{name}.{os.getpid()}.tmp" for name in (f"{path.name}.sha256", path.name))
    assert told == [
        ("sync", checksum), ("name", checksum, f"{path.name}.sha256"), ("sync", "folder"),
        ("sync", whole), ("name", whole, path.name), ("sync", "folder"),
    ]  # fmt: skip


@pytest.mark.slow
def test_a_weight_that_is_no_number_is_never_saved(shards, tmp_path):
    text = train(shards, tmp_path, *EACH_STEP, "trainer.max_steps=9", trouble=("nan-weight", 0, "5"), code=3)
    assert "a weight is not finite at step 6" in text
    assert list_checkpoints(the_run(tmp_path))[-1].name == "step-000000005.ckpt"


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
        end_started()
        subprocess.run(
            ["umount", "--lazy", str(runs)], check=True
        )  # what was killed may still be about to end


@pytest.mark.parametrize(
    "kills", [pytest.param(4, marks=pytest.mark.slow), pytest.param(40, marks=pytest.mark.soak)]
)
def test_a_kill_in_a_save_costs_no_checkpoint(tmp_path, kills):
    if not os.access("/dev/shm", os.W_OK) or os.stat("/dev/shm").st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system here")
    record = save_soak.measure(save_soak.OURS, kills, tmp_path, Path("/dev/shm"))
    assert record["kills"] == kills and record["checked"] > 0
    assert record["corrupt"] == record["missing"] == 0


@pytest.mark.parametrize(
    "kills", [pytest.param(3, marks=pytest.mark.slow), pytest.param(30, marks=pytest.mark.soak)]
)
def test_kill_9_while_saving_leaves_valid_checkpoints_only(tmp_path, kills):
    """Real kills at different moments of a loop that does nothing but save."""
    script = (
        "import sys, itertools, torch\n"
        "from pathlib import Path\n"
        "from wavenet_pl.training.checkpoint_io import AtomicCheckpointIO\n"
        "from wavenet_pl.runs.folder import RunFolder, checkpoint_path\n"
        "run = RunFolder(Path(sys.argv[1])); run.checkpoints.mkdir(exist_ok=True)\n"
        "for step in itertools.count(int(sys.argv[2])):\n"
        "    AtomicCheckpointIO().save_checkpoint({'w': torch.rand(300_000)}, checkpoint_path(run, step))\n"
        "    print(step, flush=True)\n"
    )
    run = RunFolder(tmp_path)
    for trial in range(kills):
        first = 1 + max((checkpoint_step(path) for path in list_checkpoints(run)), default=0)
        process = ends_with_test(
            subprocess.Popen(
                [sys.executable, "-c", script, str(tmp_path), str(first)],
                stdout=subprocess.PIPE,
                text=True,
                cwd=ROOT,
                start_new_session=True,
            )
        )
        assert process.stdout is not None
        for _ in range(2):  # however busy the machine is, something was saved before the kill
            assert process.stdout.readline()
        time.sleep(0.017 * (trial % 10))
        process.kill()
        process.wait()
        process.stdout.close()
    paths = list_checkpoints(run)
    assert len(paths) > kills
    assert [path for path in paths if checkpoints.problem(path)] == []
