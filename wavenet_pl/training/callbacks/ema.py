"""Averaged weights: what validation, clips and export use where optim.ema_decay is set."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning.pytorch as L
import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor

from wavenet_pl.training.module import WaveNetModule


class AveragedWeights(WeightAveraging):
    """Exponential average of the weights with a warmed decay, min(decay, (1 + n) / (10 + n)) after n updates.

    Acts after every step that was not skipped, at the cost of one pass over the weights and a second copy of them;
    validation sees the average. Mends three things: a fixed decay would drag the first weights along for
    1 / (1 - decay) steps; at the end of training the average would overwrite the weights that a longer run goes on
    from; and a checkpoint within a validation would have the two in each other's place.
    """

    def __init__(self, decay: float) -> None:
        def average(averaged: Tensor, current: Tensor, updates: Tensor | int) -> Tensor:
            return torch.lerp(averaged, current, 1 - min(decay, (1 + int(updates)) / (10 + int(updates))))

        super().__init__(avg_fn=average)
        self._swapped = False

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Averages the weights of a step; one that was skipped has none, also for a run that goes on behind it."""
        assert isinstance(pl_module, WaveNetModule)
        if pl_module.step_skipped:
            self._latest_update_step = trainer.global_step
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Leaves the weights as they are: checkpoints hold both."""

    def on_save_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Adds the average, with the weights that are trained beside it; whichever of them the module has by now."""
        super().on_save_checkpoint(trainer, pl_module, checkpoint)
        if self._swapped:
            trained, averaged = checkpoint["state_dict"], checkpoint["current_model_state"]
            checkpoint["state_dict"], checkpoint["current_model_state"] = averaged, trained

    def _swap_models(self, pl_module: L.LightningModule) -> None:
        super()._swap_models(pl_module)
        self._swapped = not self._swapped

    @contextmanager
    def averaged(self, pl_module: L.LightningModule) -> Iterator[None]:
        """The module has the averaged weights in here, and its own again afterwards."""
        self._swap_models(pl_module)
        try:
            yield
        finally:
            self._swap_models(pl_module)
