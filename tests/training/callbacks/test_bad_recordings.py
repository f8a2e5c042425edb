"""Recordings that cannot be read: what becomes of the numbers that they have no part in."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.shards.made import spoil
from tests.small_run import small_config, train
from wavenet_pl.config.training import WandbConfig
from wavenet_pl.errors import ExitCode
from wavenet_pl.runs.checkpoints import validation_bits
from wavenet_pl.runs.folder import RunFolder, list_checkpoints
from wavenet_pl.signals import StopRun
from wavenet_pl.tracking.rows import read_metrics
from wavenet_pl.training.callbacks.bad_recordings import NAME, BadRecordings
from wavenet_pl.training.callbacks.checkpoints import Checkpoints
from wavenet_pl.training.callbacks.resumption import Resumption
from wavenet_pl.training.checkpoint_io import AtomicCheckpointIO


def test_a_validation_of_too_few_recordings_leaves_no_number_and_is_made_when_they_are_back(
    tmp_path: Path,
) -> None:
    run = RunFolder(tmp_path / "run")
    config = small_config(
        tmp_path, wandb=WandbConfig(mode="disabled"), trainer={"max_steps": 4, "val_check_interval": 3}
    )
    shard = tmp_path / "data" / "val/shard-000000.tar"
    sound = shard.read_bytes()

    def go_on(resume: Path | None) -> None:
        checkpoints = Checkpoints(run, config.train)
        train(
            config, run.path, [Resumption(), BadRecordings(run.path, 0.1, checkpoints), checkpoints], ckpt_path=resume,
            enable_checkpointing=True, plugins=[AtomicCheckpointIO()],
        )  # fmt: skip

    spoil(tmp_path / "data", "val/shard-000000.tar")
    resume = None
    for _ in range(2):  # it is owed as long as they cannot be read
        with pytest.raises(StopRun, match="1 of 2 recordings in split val cannot be read") as stopped:
            go_on(resume)
        assert stopped.value.code == ExitCode.BAD_DATA
        assert not any(key.startswith("val/") for row in read_metrics(run.metrics) for key in row)
        assert [row["split"] for row in read_metrics(run.path / NAME)] == ["val"]
        [resume] = list_checkpoints(run)
    shard.write_bytes(sound)
    go_on(resume)
    assert list(validation_bits(run)) == [3, 4]
    losses = [row["step"] for row in read_metrics(run.metrics) if "train/loss" in row]
    assert losses == [1, 2, 3, 4]
