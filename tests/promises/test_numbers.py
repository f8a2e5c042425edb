"""A number that is none, or a recording that cannot be read, costs no more than itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from tests.processes import EACH_STEP, losses, the_run, train, weights_at
from tests.shards.made import write_shard_set
from wavenet_pl.shards.index import load_index
from wavenet_pl.tracking.rows import read_metrics


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shard_set(tmp_path_factory.mktemp("troubles") / "set", train=10, val=3)


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
