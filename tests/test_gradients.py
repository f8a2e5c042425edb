"""Two real gloo ranks compute what one process computes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.shards.made import write_shard_set
from wavenet_pl.shards.index import load_index

ROOT = Path(__file__).resolve().parents[1]


def train(
    tmp_path: Path, name: str, data: Path, devices: int, precision: str, *settings: str, steps: int = 2
) -> Any:
    """What each rank saw and the gradients of rank 0 after some steps."""
    out = tmp_path / name
    command = [
        sys.executable,
        "-m",
        "tests.gradients",
        str(data),
        str(out),
        str(devices),
        precision,
        str(steps),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, *settings], env=environment, capture_output=True, text=True, timeout=300, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [torch.load(out.with_suffix(f".{rank}")) for rank in range(devices)]


def distance(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """Norm of the difference over norm of the gradients."""
    a, b = (torch.cat([tree[name].flatten().double() for name in sorted(one)]) for tree in (one, other))
    return float((a - b).norm() / a.norm())


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "bound"), [("64-true", 1e-10), ("32-true", 1e-5)])
def test_two_ranks_have_the_gradients_of_one(tmp_path, precision, bound):
    data = write_shard_set(tmp_path / "set", train=8)
    [one] = train(tmp_path, "one", data, 1, precision)
    two = train(tmp_path, "two", data, 2, precision)
    assert distance(one["gradients"], two[0]["gradients"]) < bound
    assert distance(two[0]["gradients"], two[1]["gradients"]) == 0
    assert one["loss"] == pytest.approx(two[0]["loss"], rel=bound)


@pytest.mark.slow
def test_ranks_with_nothing_to_count_agree_too(tmp_path):
    data = write_shard_set(
        tmp_path / "set", train=1, frames=1_500
    )  # two slots in a batch of eight: rank 1 has padding
    settings = ("data.batch_size=8",)
    [one] = train(tmp_path, "one", data, 1, "64-true", *settings)
    two = train(tmp_path, "two", data, 2, "64-true", *settings)
    assert [len(rank["seen"][0]) for rank in two] == [2, 0]
    assert distance(one["gradients"], two[0]["gradients"]) < 1e-10


@pytest.mark.slow
def test_ranks_read_disjoint_slots_that_together_are_the_batch(tmp_path):
    data = write_shard_set(tmp_path / "set", train=8)
    [one] = train(tmp_path, "one", data, 1, "32-true", steps=3)
    ranks = train(tmp_path, "two", data, 2, "32-true", steps=3)
    for step in range(3):
        shares = [rank["seen"][step] for rank in ranks]
        assert not set(shares[0]) & set(shares[1])
        assert sorted(shares[0] + shares[1]) == sorted(one["seen"][step])


@pytest.mark.slow
def test_accumulated_batches_have_the_gradients_of_one_batch(tmp_path):
    data = write_shard_set(tmp_path / "set", train=8)
    [whole] = train(tmp_path, "whole", data, 1, "64-true")
    [parts] = train(tmp_path, "parts", data, 1, "64-true", "trainer.accumulate_grad_batches=2")
    assert distance(whole["gradients"], parts["gradients"]) < 1e-10


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 2])
def test_a_damaged_recording_counts_for_nothing(tmp_path, devices):
    """The gradients are those of the batch without it: not smaller by its share."""
    whole = write_shard_set(tmp_path / "whole", train=2, frames=900)
    damaged = write_shard_set(tmp_path / "damaged", train=2, frames=900)
    shard = load_index(damaged).splits["train"][0]
    _, (offset, size, _) = shard.recordings[1].audio
    with open(damaged / shard.name, "r+b") as file:
        file.seek(offset)
        file.write(bytes(size))
    alone = write_shard_set(tmp_path / "alone", train=1, frames=900)
    settings = ("data.batch_size=2",)
    [expected] = train(tmp_path, "expected", alone, 1, "64-true", *settings, steps=1)
    [full] = train(tmp_path, "full", whole, 1, "64-true", *settings, steps=1)
    found = train(tmp_path, "found", damaged, devices, "64-true", *settings, steps=1)
    assert distance(expected["gradients"], found[0]["gradients"]) < 1e-10
    assert distance(full["gradients"], found[0]["gradients"]) > 1e-3
