"""Averaged weights: what validation, clips and export use where optim.ema_decay is set."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import lightning.pytorch as L
import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor


class AveragedWeights(WeightAveraging):
    """Exponential average of the weights with a warmed decay, min(decay, (1 + n) / (10 + n)) after n updates.

    Acts after every step, at the cost of one pass over the weights and a second copy of them; validation sees
    the average. Mends two things: a fixed decay would drag the first weights along for 1 / (1 - decay) steps,
    and at the end of training the average would overwrite the weights that a longer run goes on from.
    """

    def __init__(self, decay: float) -> None:
        def average(averaged: Tensor, current: Tensor, updates: Tensor | int) -> Tensor:
            return torch.lerp(averaged, current, 1 - min(decay, (1 + int(updates)) / (10 + int(updates))))

        super().__init__(avg_fn=average)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Leaves the weights as they are: checkpoints hold both."""

    @contextmanager
    def averaged(self, pl_module: L.LightningModule) -> Iterator[None]:
        """The module has the averaged weights in here, and its own again afterwards."""
        self._swap_models(pl_module)
        try:
            yield
        finally:
            self._swap_models(pl_module)
