"""When a run saves, and which of its checkpoints stay."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as L
from lightning.pytorch.callbacks import Checkpoint

from wavenet_pl.checkpoint import checkpoint_path, checkpoint_step, list_checkpoints, validation_bits
from wavenet_pl.config import TrainConfig
from wavenet_pl.run import RunFolder


class Checkpoints(Checkpoint):
    """Saves every `checkpoint_every_n_steps`, after each validation and at the end; keeps the last and the best.

    Costs one write of the weights and the optimizer's state each time, with all ranks waiting. Which are the
    best is read from metrics.jsonl, so a run folder can be moved.
    """

    def __init__(self, run: RunFolder, config: TrainConfig) -> None:
        self._run, self._config = run, config
        self._saved_step = -1

    def save(self, trainer: L.Trainer) -> None:
        """Save now, on all ranks together; nothing where this step is saved already."""
        step = trainer.global_step
        if step == self._saved_step:
            return
        self._saved_step = step
        trainer.save_checkpoint(checkpoint_path(self._run, step), weights_only=False)
        if trainer.is_global_zero:
            self._prune(trainer)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """What was resumed from needs no second save."""
        self._saved_step = trainer.global_step if trainer.ckpt_path else -1

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Saves at multiples of the interval."""
        if trainer.global_step % self._config.checkpoint_every_n_steps == 0 and trainer.global_step > 0:
            self.save(trainer)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Saves what was just validated."""
        if trainer.state.fn == "fit" and trainer.global_step > 0:
            self.save(trainer)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Saves the end."""
        self.save(trainer)

    def _prune(self, trainer: L.Trainer) -> None:
        paths = list_checkpoints(self._run)
        bits = validation_bits(self._run)
        validated = [path for path in paths if checkpoint_step(path) in bits]
        best = sorted(validated, key=lambda path: bits[checkpoint_step(path)])[: self._config.keep_best]
        for path in paths[: -self._config.keep_last]:
            if path not in best:
                trainer.strategy.checkpoint_io.remove_checkpoint(path)
