"""The average of the weights, of the steps that changed them."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import pytest
import torch

from tests.small_run import small_config, train
from wavenet_pl.config.training import TrainConfig, WandbConfig
from wavenet_pl.model import Model
from wavenet_pl.runs.folder import RunFolder, checkpoint_path
from wavenet_pl.training.callbacks.checkpoints import Checkpoints
from wavenet_pl.training.callbacks.ema import AveragedWeights
from wavenet_pl.training.callbacks.resumption import Resumption
from wavenet_pl.training.checkpoint_io import AtomicCheckpointIO

SKIPPED = 2


def average_of(run: RunFolder, step: int) -> dict[str, Any]:
    """Averaged weights and how many they are of; a checkpoint's weights are the average."""
    checkpoint = torch.load(checkpoint_path(run, step), weights_only=True)
    return {**checkpoint["state_dict"], **checkpoint["averaging_state"]}


def test_a_skipped_step_leaves_the_average_as_it_is_also_for_a_run_that_goes_on_behind_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_thread: None
) -> None:
    nats, steps = Model.nats, [0]

    class Count(L.Callback):
        def on_train_batch_start(self, trainer: L.Trainer, *batch: Any) -> None:
            steps[0] = trainer.global_step + 1

    def no_number(self: Model, batch: dict[str, Any]) -> Any:
        total, count = nats(self, batch)
        return total * (math.nan if steps[0] == SKIPPED else 1.0), count

    monkeypatch.setattr(Model, "nats", no_number)
    config = small_config(
        tmp_path,
        wandb=WandbConfig(mode="disabled"),
        train=TrainConfig(checkpoint_every_n_steps=1, keep_last=9),
        trainer={"accumulate_grad_batches": 2, "limit_val_batches": 0, "max_steps": 4},
    )
    whole, rest = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "rest")
    for run, resume in ((whole, None), (rest, checkpoint_path(whole, SKIPPED))):
        train(
            config, run.path, [Resumption(), Count(), AveragedWeights(0.9), Checkpoints(run, config.train)],
            ckpt_path=resume, enable_checkpointing=True, plugins=[AtomicCheckpointIO()],
        )  # fmt: skip
    averages = [average_of(whole, step) for step in range(1, 5)]
    same = [all(one[name].equal(two[name]) for name in one) for one, two in pairwise(averages)]
    assert same == [True, False, False]
    resumed = average_of(rest, 4)
    assert all(resumed[name].equal(value) for name, value in averages[-1].items())
