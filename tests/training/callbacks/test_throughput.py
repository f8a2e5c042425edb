"""Speed and data wait of real trainings, on a clock that only moves when the test says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as L
import pytest
import torch

from tests.small_run import small_config, train
from wavenet_pl.config.training import WandbConfig
from wavenet_pl.tracking.rows import read_metrics
from wavenet_pl.training.callbacks.throughput import Throughput


class Clock(L.Callback):
    """Waiting for a batch takes 1 second and a step 3; a validation takes 100 and a save 1000."""

    def __init__(self) -> None:
        self.now = 0.0
        self.predictions: list[float] = []

    def __call__(self) -> float:
        return self.now

    def on_train_batch_start(self, *args: Any) -> None:
        self.now += 1

    def on_before_backward(self, *args: Any) -> None:
        self.now += 3

    def on_train_batch_end(
        self, trainer: L.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.predictions.append(batch["predictions"] / trainer.accumulate_grad_batches)

    def on_validation_end(self, *args: Any) -> None:
        self.now += 100

    def on_save_checkpoint(self, *args: Any) -> None:
        self.now += 1000


class Save(L.Callback):
    """Saves after each step, as the run's own checkpoints do."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        trainer.save_checkpoint(self.path)


def fit(folder: Path, *callbacks: L.Callback, **options: Any) -> list[dict[str, Any]]:
    train(small_config(folder, wandb=WandbConfig(mode="disabled")), folder / "run", callbacks, **options)
    rows = read_metrics(folder / "run" / "metrics.jsonl")
    return [row for row in rows if "perf/data_wait" in row]


@pytest.mark.parametrize("accumulate", [1, 2])
def test_rate_is_counted_predictions_by_time_and_wait_is_its_share(tmp_path: Path, accumulate: int) -> None:
    clock = Clock()
    rows = fit(tmp_path, clock, Throughput(2, clock), max_steps=4, accumulate_grad_batches=accumulate)
    assert [row["step"] for row in rows] == [2, 4]
    # The very first wait starts the workers and is left out.
    seconds = [2 * 4 * accumulate - 1, 2 * 4 * accumulate]
    for row, batches, time in zip(
        rows, (clock.predictions[: 2 * accumulate], clock.predictions[2 * accumulate :]), seconds, strict=True
    ):
        assert row["perf/samples_per_second"] == pytest.approx(sum(batches) / time)
    assert [row["perf/data_wait"] for row in rows] == pytest.approx([(2 * accumulate - 1) / seconds[0], 0.25])


@pytest.mark.parametrize("throughput_first", [True, False])
def test_validations_and_saves_are_left_out(tmp_path: Path, throughput_first: bool) -> None:
    clock, save = Clock(), Save(tmp_path / "x.ckpt")
    throughput = Throughput(2, clock)
    order = [throughput, save] if throughput_first else [save, throughput]
    rows = fit(tmp_path, clock, *order, max_steps=4, val_check_interval=1, check_val_every_n_epoch=None)
    for row in rows:
        # Every wait follows a save and a validation, and so does every step where the save comes before.
        assert row["perf/data_wait"] == 0
        assert row["perf/samples_per_second"] > 100
    assert len(rows) == (2 if throughput_first else 0)


def test_only_rows_that_are_due_are_written(tmp_path: Path) -> None:
    assert fit(tmp_path, Throughput(50)) == []


def test_a_real_clock_gives_shares(tmp_path: Path) -> None:
    throughput = Throughput(2)
    (_, row) = fit(tmp_path, throughput)
    assert 0 < row["perf/data_wait"] < 1
    assert row["perf/samples_per_second"] > 0
    assert 0.05 < row["perf/peak_memory"] < 50, "GiB of a process that has torch"
    assert throughput.last.items() <= row.items()
    assert "perf/mfu" not in row, "nobody knows what a CPU can do at best"


def test_mfu_is_what_the_predictions_take_of_what_all_devices_have(tmp_path: Path) -> None:
    asked = []

    def peak(device: torch.device, precision: str) -> float:
        asked.append((device.type, precision))
        return 1e9

    clock = Clock()
    (_, row) = fit(tmp_path, clock, Throughput(2, clock, peak), precision="bf16-mixed")
    # Four layers of 8 channels and gates of 4 each; the last has no residual; then 8 x 8 and 8 x 256.
    multiplications = 4 * (2 * 8 * 8 + 4 * 8 + 4 * 8) - 4 * 8 + 8 * 8 + 8 * 256
    assert row["perf/mfu"] == pytest.approx(row["perf/samples_per_second"] * 6 * multiplications / 1e9)
    assert asked == [("cpu", "bf16-mixed")]


def test_an_interval_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="every_n_steps is 0, expected 1 or more"):
        Throughput(0)
