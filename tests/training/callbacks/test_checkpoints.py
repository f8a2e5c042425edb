"""What a run saves and keeps, and that no save gets slower as a run gets longer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import pytest
import torch

from tests.small_run import small_config, train
from wavenet_pl.config.model import NetworkConfig
from wavenet_pl.config.training import OptimConfig, TrainConfig, WandbConfig
from wavenet_pl.data.datamodule import AudioDataModule
from wavenet_pl.runs.checkpoints import newest_valid, validation_bits
from wavenet_pl.runs.folder import RunFolder, checkpoint_path, checkpoint_step, list_checkpoints
from wavenet_pl.signals import StopRun
from wavenet_pl.tracking.rows import read_metrics
from wavenet_pl.training.briefing import say_lost_rows
from wavenet_pl.training.callbacks import checkpoints
from wavenet_pl.training.callbacks.checkpoints import Checkpoints
from wavenet_pl.training.callbacks.resumption import Resumption
from wavenet_pl.training.checkpoint_io import AtomicCheckpointIO
from wavenet_pl.training.metrics_file import MetricsFile

NONSENSE = b"whoever reads this line says so\n"


class Scribble(L.Callback):
    """Writes a line into metrics.jsonl that no reader takes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        with open(self.path, "ab") as file:
            file.write(NONSENSE)


def test_saves_read_nothing_of_what_was_logged_and_keep_the_best_and_the_last(tmp_path: Path) -> None:
    """Also after a restart, for which the best is one of an earlier start."""
    run = RunFolder(tmp_path / "run")
    config = small_config(
        tmp_path,
        wandb=WandbConfig(mode="disabled"),
        optim=OptimConfig(lr=1000.0, warmup_steps=1000),  # soon it gets worse
        train=TrainConfig(checkpoint_every_n_steps=1, keep_last=1, keep_best=1),
        trainer={"val_check_interval": 1, "limit_val_batches": 1},
    )
    resume = None
    for last in (5, 7):
        train(
            config, run.path, [Resumption(), Scribble(run.metrics), Checkpoints(run, config.train)], ckpt_path=resume,
            enable_checkpointing=True, plugins=[AtomicCheckpointIO()], max_steps=last,
        )  # fmt: skip
        run.metrics.write_bytes(run.metrics.read_bytes().replace(NONSENSE, b""))
        bits, resume = validation_bits(run), checkpoint_path(run, last)
        assert list(bits) == list(range(1, last + 1))
        best = min(bits, key=bits.__getitem__)
        assert best < 5, "or nothing is shown"
        assert [checkpoint_step(path) for path in list_checkpoints(run)] == [best, last]


@pytest.mark.parametrize(("validation", "validated"), [({"val_check_interval": 2}, [2, 4, 5]), ({}, [])])
def test_the_last_step_is_validated_where_others_were(
    tmp_path: Path, validation: dict[str, int], validated: list[int]
) -> None:
    """Also where those were before a restart; and it is validated once."""
    run = RunFolder(tmp_path / "run")
    config = small_config(
        tmp_path,
        wandb=WandbConfig(mode="disabled"),
        trainer={"check_val_every_n_epoch": None, "val_check_interval": 100, **validation},
    )
    resume = None
    for last in (4, 5):
        train(
            config, run.path, [Resumption(), Checkpoints(run, config.train)], ckpt_path=resume,
            enable_checkpointing=True, plugins=[AtomicCheckpointIO()], max_steps=last,
        )  # fmt: skip
        resume = checkpoint_path(run, last)
    assert list(validation_bits(run)) == validated
    assert checkpoint_step(list_checkpoints(run)[-1]) == 5


def test_the_last_step_of_the_last_epoch_is_validated_where_others_were(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    config = small_config(tmp_path, wandb=WandbConfig(mode="disabled"))
    number = AudioDataModule.from_config(config).num_batches["train"]
    interval = next(steps for steps in range(2, number) if number % steps)
    train(
        config, run.path, [Checkpoints(run, config.train)], enable_checkpointing=True, plugins=[AtomicCheckpointIO()],
        check_val_every_n_epoch=None, val_check_interval=interval, max_epochs=1, max_steps=-1,
    )  # fmt: skip
    assert list(validation_bits(run)) == [*range(interval, number, interval), number]


def test_a_step_saved_within_an_accumulation_goes_on_with_the_same_steps(tmp_path: Path) -> None:
    """A validation comes behind 6 batches, of which 4 make a step: so step 4 is saved behind half of the next one."""
    config = small_config(
        tmp_path,
        wandb=WandbConfig(mode="disabled"),
        model=replace(small_config(tmp_path).model, network=NetworkConfig(
            stacks=1, layers_per_stack=4, residual_channels=8, gate_channels=8, skip_channels=8, dropout=0.1,
        )),
        train=TrainConfig(keep_last=20),
        trainer={"accumulate_grad_batches": 4, "val_check_interval": 6, "check_val_every_n_epoch": None},
    )  # fmt: skip
    runs = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "parts")
    for run, resume in zip(runs, (None, checkpoint_path(runs[0], 4)), strict=True):
        train(
            config, run.path, [Resumption(), Checkpoints(run, config.train)], ckpt_path=resume,
            enable_checkpointing=True, plugins=[AtomicCheckpointIO()], max_steps=8,
        )  # fmt: skip
    within = torch.load(checkpoint_path(runs[0], 4), weights_only=True)["loops"]["fit_loop"]
    assert within["epoch_loop.batch_progress"]["current"]["ready"] == 18, "or nothing is shown"
    numbers = [
        [(row["step"], row["train/loss"]) for row in read_metrics(run.metrics) if "train/loss" in row]
        for run in runs
    ]
    assert numbers[1] == numbers[0][4:] and len(numbers[1]) == 4
    validated = [validation_bits(run) for run in runs]
    assert validated[1].items() <= validated[0].items() and max(validated[1]) == 8
    weights = [torch.load(checkpoint_path(run, 8), weights_only=True)["state_dict"] for run in runs]
    assert all(weight.equal(weights[1][name]) for name, weight in weights[0].items())


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        (range(1, 11), ""),
        (range(1, 8), "expected one for each of 10 steps, and 3 have none (step 8 to 10)."),
        ([1, 3, 5, 7, 9, 10], "and 4 have none (step 2, 4, 6, and others)."),
    ],
)
def test_rows_that_were_lost_are_said_when_a_run_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kept: list[int], said: str
) -> None:
    run = RunFolder(tmp_path)
    rows = MetricsFile(run.metrics)
    for step in kept:
        rows.log_metrics({"train/loss": 1.0}, step=step)
    say_lost_rows(run, 10)
    error = capsys.readouterr().err
    assert (said in error and "has lost rows" in error and error.count("\n") == 1) if said else not error


def test_a_checkpoint_that_was_passed_over_takes_no_place_of_a_good_one(tmp_path: Path) -> None:
    """Neither as long as it is newer than the run, nor when the run comes beyond it; then it goes."""
    run = RunFolder(tmp_path / "run")

    def go_on(last: int, every: int, keep_last: int) -> list[int]:
        config = small_config(
            tmp_path,
            wandb=WandbConfig(mode="disabled"),
            train=TrainConfig(checkpoint_every_n_steps=every, keep_last=keep_last),
            trainer={"limit_val_batches": 0},
        )
        resume, _ = newest_valid(run)
        train(
            config, run.path, [Resumption(), Checkpoints(run, config.train)], ckpt_path=resume,
            enable_checkpointing=True, plugins=[AtomicCheckpointIO()], max_steps=last,
        )  # fmt: skip
        return [checkpoint_step(path) for path in list_checkpoints(run)]

    assert go_on(6, 1, 6) == [1, 2, 3, 4, 5, 6]
    checkpoint_path(run, 3).unlink(), checkpoint_path(run, 4).unlink()
    for step in (5, 6):
        checkpoint_path(run, step).write_bytes(b"damaged")
    assert go_on(4, 1, 2) == [3, 4, 5, 6]
    assert newest_valid(run)[0] == checkpoint_path(run, 4)
    assert go_on(7, 100, 2) == [4, 7]


def test_rows_that_another_rank_cannot_write_are_its_own_to_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As if rank 0 said that they wait."""
    run = RunFolder(tmp_path / "run")
    config = small_config(tmp_path, wandb=WandbConfig(mode="disabled"), trainer={"limit_val_batches": 0})
    monkeypatch.setattr(checkpoints, "any_rank", lambda trainer, here: True)
    with pytest.raises(StopRun, match="could not be saved"):
        train(
            config, run.path, [Checkpoints(run, config.train)], enable_checkpointing=True,
            plugins=[AtomicCheckpointIO()], max_steps=1,
        )  # fmt: skip
    assert not list_checkpoints(run)
    assert "is not saved before" not in caplog.text
