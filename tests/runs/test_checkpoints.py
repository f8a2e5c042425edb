"""Checkpoints are whole, checked, harmless, and give back the model."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from pathlib import Path

import pytest
import torch

from tests.nobody import not_ours
from tests.small import small_config, small_model
from wavenet_pl.errors import UserError
from wavenet_pl.runs import checkpoints, loading
from wavenet_pl.runs.folder import RunFolder, checkpoint_path, open_run
from wavenet_pl.tracking.rows import encode_row
from wavenet_pl.training.checkpoint_io import AtomicCheckpointIO
from wavenet_pl.training.module import checkpoint_of

IO = AtomicCheckpointIO()


def save(run: RunFolder, step: int, seed: int = 0) -> Path:
    """A checkpoint as the trainer writes it, of an untrained model."""
    torch.manual_seed(seed)
    module = small_model()
    content = checkpoint_of(module, step)
    path = checkpoint_path(run, step)
    path.parent.mkdir(parents=True, exist_ok=True)
    IO.save_checkpoint(content, path)
    return path


def test_a_loaded_model_has_the_same_weights_and_outputs(tmp_path):
    path = save(RunFolder(tmp_path), 7)
    torch.manual_seed(0)
    module, loaded = small_model().eval(), loading.load(path)
    assert loaded.config == small_config("nowhere") and loaded.sample_rate == 8_000 and not loaded.training
    codes = torch.randint(256, (1, 50))
    assert torch.equal(module(codes)[0], loaded(codes)[0])


def test_the_checksum_is_one_that_sha256sum_reads(tmp_path):
    path = save(RunFolder(tmp_path), 7)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert checkpoints.checksum_path(path).read_text() == f"{digest}  step-000000007.ckpt\n"


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "no checksum"])
def test_the_newest_valid_checkpoint_is_taken_and_others_are_named(tmp_path, damage):
    run = RunFolder(tmp_path)
    good, bad = save(run, 10), save(run, 20)
    data = bad.read_bytes()
    if damage == "no checksum":
        checkpoints.checksum_path(bad).unlink()
    else:
        bad.write_bytes({"cut": data[:-100], "flipped": b"\0" + data[1:], "empty": b""}[damage])
    path, passed_over = checkpoints.newest_valid(run)
    assert path == good and len(passed_over) == 1 and "step-000000020" in passed_over[0]


def test_no_valid_checkpoint_is_never_a_silent_start_from_scratch(tmp_path):
    run = RunFolder(tmp_path)
    save(run, 10).write_bytes(b"broken")
    with pytest.raises(UserError, match="none that can be used: .*step-000000010.*--fresh"):
        checkpoints.newest_valid(run)
    assert checkpoints.newest_valid(RunFolder(tmp_path / "other")) == (None, [])


def test_checkpoints_that_cannot_be_listed_are_no_start_from_scratch(tmp_path):
    """As of a file system that does not answer: it says nothing of what is there."""
    run = RunFolder(tmp_path)
    run.checkpoints.symlink_to("checkpoints")
    for look in (checkpoints.newest_valid, checkpoints.best_checkpoint):
        with pytest.raises(
            UserError, match="checkpoints cannot be listed .Too many levels of .* links.*; mend"
        ):
            look(run)


def test_a_checkpoint_whose_bytes_do_not_come_is_passed_over(tmp_path):
    run = RunFolder(tmp_path)
    good, bad = save(run, 10), save(run, 20)
    bad.unlink()
    bad.symlink_to("/proc/self/mem")  # it opens, and reading its beginning fails
    path, passed_over = checkpoints.newest_valid(run)
    assert (path, passed_over) == (good, [f"{bad} cannot be read (Input/output error)"])


def test_a_run_of_somebody_else_is_one_message(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = RunFolder(Path("run"))
    path = save(run, 10)
    loading.load("run")
    with not_ours(run.path):
        for look in (loading.load, open_run):
            with pytest.raises(
                UserError, match="^run/checkpoints cannot be listed .Permission denied., expected"
            ):
                look("run")
    with (
        not_ours(path),
        pytest.raises(
            UserError, match="run has checkpoints, .*000000010.ckpt cannot be read .Permission denied"
        ),
    ):
        loading.load("run")


def test_a_checkpoint_of_any_name_is_looked_at(tmp_path):
    """Its checksum's name may be too long to be one."""
    path = save(RunFolder(tmp_path), 10).rename(tmp_path / f"{'n' * 245}.ckpt")
    assert not loading.load(path).training


def test_a_run_loads_its_best_validation_and_else_its_newest(tmp_path):
    run = RunFolder(tmp_path)
    paths = [save(run, step) for step in (10, 20, 30)]
    assert checkpoints.best_checkpoint(run) == paths[2]
    rows = [{"step": 10, "val/bits": 3.0}, {"step": 20, "val/bits": 2.5}, {"step": 30, "val/bits": 2.75}]
    run.metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert checkpoints.best_checkpoint(run) == paths[1]
    paths[1].write_bytes(b"broken")
    assert checkpoints.best_checkpoint(run) == paths[2]


def test_a_validation_that_is_no_number_is_never_the_best(tmp_path):
    run = RunFolder(tmp_path)
    paths = [save(run, step) for step in (10, 20)]
    encoded = [encode_row({"step": 10, "val/bits": 3.0}), encode_row({"step": 20, "val/bits": float("nan")})]
    run.metrics.write_bytes(b"".join(encoded))
    assert checkpoints.best_checkpoint(run) == paths[0]


def test_a_checkpoint_of_a_step_is_written_once(tmp_path):
    path = save(RunFolder(tmp_path), 10)
    before = os.stat(path)
    save(RunFolder(tmp_path), 10)
    assert os.stat(path).st_mtime_ns == before.st_mtime_ns
    path.write_bytes(b"broken")
    save(RunFolder(tmp_path), 10)
    assert checkpoints.problem(path) is None


def test_a_write_that_fails_leaves_the_earlier_file_and_no_other(tmp_path):
    path = save(RunFolder(tmp_path), 10)
    later = checkpoint_path(RunFolder(tmp_path), 20)
    with pytest.raises((AttributeError, pickle.PicklingError)):
        IO.save_checkpoint({"state": lambda: None}, later)
    assert checkpoints.problem(path) is None
    assert sorted(file.name for file in path.parent.iterdir()) == [
        "step-000000010.ckpt",
        "step-000000010.ckpt.sha256",
    ]


class Hostile:
    """Unpickling it would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_a_checkpoint_cannot_run_code(tmp_path):
    mark, path = tmp_path / "mark", tmp_path / "evil.ckpt"
    torch.save({"wavenet_pl": Hostile(mark)}, path)
    with pytest.raises(UserError, match="cannot be loaded"):
        loading.load(path)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"config": {"model": {"network": {"stacks": 10**9}}}},
            "model.network.stacks is 1000000000, expected 1000 or less",
        ),
        ({"config": "x"}, "its config is 'x', expected a mapping; use another copy of it"),
        ({"sample_rate": "fast"}, "its sample rate is 'fast', expected one in Hz"),
        ({"config": None}, "its config is null, expected a mapping; use another copy of it"),
    ],
)
def test_a_checkpoint_that_describes_nonsense_is_one_message(tmp_path, change, message):
    path = save(RunFolder(tmp_path), 10)
    content = torch.load(path)
    content["wavenet_pl"].update(change)
    changed = tmp_path / "changed.ckpt"
    torch.save(content, changed)
    with pytest.raises(UserError, match=message) as error:
        loading.load(changed)
    assert "\n" not in str(error.value)


def test_other_files_are_refused(tmp_path):
    for name, content in {"text.ckpt": b"hello", "empty.ckpt": b""}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match="cannot be loaded"):
            loading.load(tmp_path / name)
    with pytest.raises(UserError, match="missing.ckpt is not there, .*; the nearest are .*(text|empty).ckpt"):
        loading.load(tmp_path / "missing.ckpt")


def test_weights_of_a_lower_precision_become_what_the_model_computes_with(tmp_path):
    """As a run with trainer.precision=bf16-true keeps them."""
    module = small_model().bfloat16()
    torch.save(checkpoint_of(module, 1), tmp_path / "half.ckpt")
    loaded = loading.load(tmp_path / "half.ckpt").state_dict()
    assert all(tensor.dtype == torch.float32 for tensor in loaded.values())
    assert all(torch.equal(loaded[name].bfloat16(), tensor) for name, tensor in module.state_dict().items())
