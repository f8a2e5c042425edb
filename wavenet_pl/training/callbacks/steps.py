"""One row of numbers for every optimizer step."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as L

from wavenet_pl.training.module import WaveNetModule


class StepMetrics(L.Callback):
    """Hands the module's `step_metrics` to every logger after each step, at the cost of writing them.

    Stands before all that saves: Lightning itself writes the row after the callbacks, so a run that is saved and ends
    there would lack its last step for good.
    """

    def __init__(self) -> None:
        self._step = -1

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """A resumed run has the rows up to here."""
        self._step = trainer.global_step

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Writes when a step is done, and not within an accumulation."""
        assert isinstance(pl_module, WaveNetModule)
        if trainer.global_step == self._step:
            return
        self._step = trainer.global_step
        for logger in trainer.loggers:
            logger.log_metrics(pl_module.step_metrics, step=trainer.global_step)
