"""When an optimizer step is done, which is the last, and one row of numbers for every one."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as L

from wavenet_pl.data.datamodule import AudioDataModule
from wavenet_pl.training.module import WaveNetModule


class StepCallback(L.Callback):
    """Acts when an optimizer step is done, and not within an accumulation.

    Who overrides the hooks below calls them, too; `on_step_end` is what subclasses are for.
    """

    step = 0
    """The newest step that is done."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Counts from here: a resumed run has done the steps up to this one."""
        self.step = trainer.global_step

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Calls `on_step_end` where the batch ended an optimizer step."""
        if trainer.global_step != self.step:
            self.step = trainer.global_step
            assert isinstance(pl_module, WaveNetModule)
            self.on_step_end(trainer, pl_module)

    def on_step_end(self, trainer: L.Trainer, module: WaveNetModule) -> None:
        """Called after each optimizer step, when `step` is its number."""
        raise NotImplementedError


class StepMetrics(StepCallback):
    """Hands the module's `step_metrics` to every logger after each step, at the cost of writing them.

    With them goes train/hours_seen, the hours of audio that the steps so far have learned to predict: the same for a
    step whether the run was stopped before it or not.

    Stands before all that saves: Lightning itself writes the row after the callbacks, so a run that is saved and ends
    there would lack its last step for good.
    """

    def on_step_end(self, trainer: L.Trainer, module: WaveNetModule) -> None:
        """Gives every logger the numbers of the step."""
        data = trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(data, AudioDataModule)
        metrics = {**module.step_metrics, "train/hours_seen": self.step * data.hours_per_step}
        for logger in trainer.loggers:
            logger.log_metrics(metrics, step=self.step)


def is_last_step(trainer: L.Trainer) -> bool:
    """Whether training ends with the step that was just taken."""
    if 0 < trainer.max_steps <= trainer.global_step:
        return True
    last_batch = trainer.fit_loop.epoch_loop.batch_progress.is_last_batch
    return 0 <= (trainer.max_epochs or -1) <= trainer.current_epoch + last_batch
