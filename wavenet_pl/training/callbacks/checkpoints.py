"""When a run saves, and which of its checkpoints stay."""

from __future__ import annotations

import logging
import math
import time
from typing import Any

import lightning.pytorch as L
import torch
from lightning.pytorch.callbacks import Checkpoint

from wavenet_pl.config.training import TrainConfig
from wavenet_pl.errors import ExitCode, UserError
from wavenet_pl.runs.checkpoints import CHECKPOINT_KEY, validation_bits
from wavenet_pl.runs.folder import RunFolder, checkpoint_path, checkpoint_step, list_checkpoints
from wavenet_pl.signals import StopRun
from wavenet_pl.tracking.rows import SAVE_SECONDS
from wavenet_pl.training.callbacks.ranks import any_rank, gather
from wavenet_pl.training.callbacks.steps import is_last_step
from wavenet_pl.training.checkpoint_io import AtomicCheckpointIO
from wavenet_pl.training.metrics_file import MetricsFile

_log = logging.getLogger(__name__)


class Checkpoints(Checkpoint):
    """Saves every `checkpoint_every_n_steps`, after each validation and at the end; keeps the last and the best.

    Costs one write of the weights and the optimizer's state each time, with all ranks waiting. Which are the best is
    read from metrics.jsonl when training starts, so a run folder can be moved. From then on it is remembered, so that a
    save costs the same at the end of a long run as at its start.

    A step that is to be validated is saved after that, and not before: a run that is killed in between goes on from
    the checkpoint before, and validates. One that has to stop in between saves all the same, and what it owes is made
    up for when it goes on.

    The last step is validated where others were: else the best of them would pass for the best of all.
    """

    def __init__(self, run: RunFolder, config: TrainConfig) -> None:
        self._run, self._config = run, config
        self._began = 0  # at which step this start did
        self._saved: set[int] = set()  # by this start, or what it began with
        self._validation_due = self._validating = False
        self._bits: dict[int, float] = {}  # by step, on rank 0

    def state_dict(self) -> dict[str, Any]:
        """Whether a validation was still to come when this was saved."""
        return {"validation_due": self._validation_due}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keeps until training starts whether a validation is still to come."""
        self._validation_due = bool(state_dict["validation_due"])

    def save(self, trainer: L.Trainer) -> None:
        """Save now, on all ranks together; nothing where this step is saved already.

        Raises:
            StopRun: the weights are not finite, or they cannot be written and `train.failed_save` says stop.
        """
        if not self.try_to_save(trainer) and self._config.failed_save == "stop":
            raise StopRun(
                ExitCode.BAD_DATA, "a checkpoint could not be written, and train.failed_save is stop"
            )

    def try_to_save(self, trainer: L.Trainer) -> bool:
        """As `save`, and returns whether the step is saved; if not, the reason was logged."""
        step = trainer.global_step
        if step in self._saved:
            return True
        _check_weights(trainer)
        self._validation_due = self._validating or (trainer.training and _is_validation_due(trainer))
        # Rows that are not on disk would be lost for a run that goes on from here.
        failures = [logger.write_waiting() for logger in trainer.loggers if isinstance(logger, MetricsFile)]
        failure = "; ".join(filter(None, failures))
        if failure:  # rank 0 has rows
            _log.error(f"step {step} is not saved before its rows are: {failure}; make room")
        if any_rank(trainer, bool(failure)):
            return False
        began = time.monotonic()
        trainer.save_checkpoint(checkpoint_path(self._run, step), weights_only=False)
        seconds = round(time.monotonic() - began, 3)
        writer = trainer.strategy.checkpoint_io
        assert isinstance(writer, AtomicCheckpointIO)
        if trainer.is_global_zero and writer.failure:
            _log.error(writer.failure)
        if any_rank(trainer, bool(writer.failure)):
            return False
        self._saved.add(step)
        for logger in trainer.loggers:
            logger.log_metrics({SAVE_SECONDS: seconds}, step)
        if trainer.is_global_zero:
            self._prune(trainer)
        return True

    def on_save_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Adds the run's id to the checkpoint."""
        checkpoint.setdefault(CHECKPOINT_KEY, {})["run_id"] = self._run.run_id

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """What was resumed from needs no second save; a validation that it owes is done first."""
        _check_agreement(trainer)
        self._began = trainer.global_step
        self._saved = {self._began} if trainer.ckpt_path else set()
        if trainer.is_global_zero:
            self._bits = validation_bits(self._run)
        owed = self._validation_due and trainer.global_step not in self._bits
        if any_rank(trainer, owed and trainer.is_global_zero):
            # As the training loop does it between two steps; all of it, and not where an earlier one ended.
            validation = trainer.fit_loop.epoch_loop.val_loop
            validation.restarting = False
            trainer.validating = True
            validation.run()
            trainer.training = True

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Saves at multiples of the interval, unless a validation comes first; the last step may ask for one."""
        step = trainer.global_step
        if is_last_step(trainer) and any_rank(trainer, bool(self._bits)):
            trainer.should_stop = True  # it does, and the training loop validates before it stops
        if step > 0 and step % self._config.checkpoint_every_n_steps == 0 and not _is_validation_due(trainer):
            self.save(trainer)

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """What is saved before its end owes it."""
        self._validating = True

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Saves the step that was just validated."""
        self._validating = False
        if trainer.state.fn == "fit" and trainer.global_step > 0:
            bits = float(trainer.callback_metrics["val/bits"])
            if math.isfinite(bits):
                self._bits[trainer.global_step] = bits
            self.save(trainer)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Saves the last step, where that was not done yet."""
        if not self.try_to_save(trainer):
            raise StopRun(ExitCode.BAD_DATA, "the end of the training could not be saved")

    def _prune(self, trainer: L.Trainer) -> None:
        """Removes what is neither among the last nor the best.

        What this start passed over at its beginning stands for none of them: it stays until the run is beyond it.
        """
        try:
            paths = {checkpoint_step(path): path for path in list_checkpoints(self._run)}
            trusted = [step for step in paths if step <= self._began or step in self._saved]
            best = sorted(self._bits.keys() & trusted, key=lambda step: (self._bits[step], step))
            kept = {*trusted[-self._config.keep_last :], *best[: self._config.keep_best]}
            for step, path in paths.items():
                if step <= trainer.global_step and step not in kept:
                    trainer.strategy.checkpoint_io.remove_checkpoint(path)
        except (UserError, OSError) as error:  # on this rank alone, for which the others would wait
            _log.warning(f"earlier checkpoints stay until the next save: {error}")


def _is_validation_due(trainer: L.Trainer) -> bool:
    """Whether the training loop validates before its next step; it has no public word for that."""
    fit_loop = trainer.fit_loop
    assert fit_loop._data_fetcher is not None
    return fit_loop.epoch_loop._should_check_val_fx(fit_loop._data_fetcher)


def _check_agreement(trainer: L.Trainer) -> None:
    """Ranks that start at different steps would train to the end, and to nothing.

    Raises:
        UserError: they do, on all ranks.
    """
    steps = gather(trainer, [trainer.global_step])
    if len(set(steps)) > 1:
        raise UserError(
            f"ranks go on from different steps, {', '.join(map(str, steps))} by rank, expected one; do all nodes see "
            "the same run folder? Put --runs on a file system that they share"
        )


def _check_weights(trainer: L.Trainer) -> None:
    """No weight that is not finite is ever saved; all ranks have the same weights.

    Raises:
        StopRun: one is not.
    """
    weights = [weight.detach() for weight in trainer.lightning_module.parameters()]
    if not bool(torch.stack([weight.isfinite().all() for weight in weights]).all()):
        raise StopRun(
            ExitCode.BAD_DATA,
            f"a weight is not finite at step {trainer.global_step}, expected numbers; lower optim.lr",
        )
