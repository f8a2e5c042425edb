"""What callbacks write beside checkpoints, where the disk refuses it: said, and no end of a training."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import pytest

from tests.full_disk import full_disk
from tests.small_run import small_config, train
from wavenet_pl.config.training import SamplesConfig, TrainConfig, WandbConfig
from wavenet_pl.model import Model
from wavenet_pl.runs.folder import RunFolder
from wavenet_pl.shards.damage import Damage
from wavenet_pl.tracking.rows import read_metrics
from wavenet_pl.training.callbacks import bad_numbers, bad_recordings, samples
from wavenet_pl.training.callbacks.bad_numbers import BadNumbers
from wavenet_pl.training.callbacks.bad_recordings import BadRecordings
from wavenet_pl.training.callbacks.checkpoints import Checkpoints
from wavenet_pl.training.callbacks.samples import SampleLogger

OFF = WandbConfig(mode="disabled")


def messages(caplog: pytest.LogCaptureFixture, module: Any) -> list[str]:
    """What a module warned of."""
    return [record.message for record in caplog.records if record.name == module.__name__]


@pytest.mark.slow
@pytest.mark.parametrize("size", [500, 5_000], ids=["no room for audio", "no room for pictures"])
def test_clips_that_a_full_disk_refuses_are_said_once_and_end_no_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, size: int
) -> None:
    class OnFullDisk(SampleLogger):
        """Finds room again at the last step."""

        def _write(self, step: int, *arguments: Any) -> Path | None:
            with full_disk(size if step < 4 else 10**9):
                return super()._write(step, *arguments)

    every = SamplesConfig(every_n_steps=1, count=1, seconds=0.05, prompt_seconds=0.02)
    config = small_config(tmp_path, wandb=OFF, samples=every)
    trainer = train(config, tmp_path / "run", [OnFullDisk(every, tmp_path / "clips")])
    assert trainer.global_step == 4
    [said] = messages(caplog, samples)
    assert said.startswith(f"clips of step 1 could not be written to {tmp_path / 'clips'} (")
    assert [path.name for path in (tmp_path / "clips").iterdir()] == ["step-000000004"]


@pytest.mark.slow
def test_skipped_steps_that_a_disk_refuses_are_in_the_log_and_written_when_it_takes_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, nats = tmp_path / "folder", Model.nats
    folder.touch()  # no folder yet: nothing can be written there

    def no_number(self: Model, batch: dict[str, Any]) -> Any:
        total, count = nats(self, batch)
        return total * float("nan"), count

    class Mend(L.Callback):
        def on_train_batch_end(self, trainer: L.Trainer, *batch: Any) -> None:
            if trainer.global_step == 2:
                folder.unlink()

    monkeypatch.setattr(Model, "nats", no_number)
    config = small_config(tmp_path, wandb=OFF)
    train(config, tmp_path / "run", [BadNumbers(folder, max_in_a_row=9), Mend()], limit_val_batches=0)
    rows = read_metrics(folder / bad_numbers.NAME)
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    refused = [text for text in messages(caplog, bad_numbers) if "could not be written" in text]
    assert len(refused) == 2 and all(key in refused[0] for key in rows[0]["keys"])


def test_bad_recordings_that_a_disk_refuses_are_written_when_it_takes_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "folder"
    folder.touch()
    checkpoints = Checkpoints(RunFolder(folder), TrainConfig())
    callback = BadRecordings(folder, 0.5, checkpoints)
    for number in range(2):
        callback._write(number, "train", [Damage("a.tar", f"rec-{number}", "audio", "is no audio")])
        if folder.is_file():
            folder.unlink()
    assert [row["key"] for row in read_metrics(folder / bad_recordings.NAME)] == ["rec-0", "rec-1"]
    assert sum("could not be written" in text for text in messages(caplog, bad_recordings)) == 1


def test_a_save_does_not_fail_where_earlier_checkpoints_cannot_be_listed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = RunFolder(tmp_path)
    run.checkpoints.symlink_to("checkpoints")
    trainer = L.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    with caplog.at_level(logging.WARNING):
        Checkpoints(run, TrainConfig())._prune(trainer)
    assert "earlier checkpoints stay until the next save" in caplog.text
