"""Stopping a run from outside: signals and the time limit only set a flag; all ranks save and leave together."""

from __future__ import annotations

import time

import lightning.pytorch as L
import torch
from lightning.pytorch.plugins.environments import LightningEnvironment

from wavenet_pl.errors import ExitCode
from wavenet_pl.signals import StopFlag, StopRun
from wavenet_pl.training.callbacks.checkpoints import Checkpoints
from wavenet_pl.training.callbacks.steps import StepCallback
from wavenet_pl.training.module import WaveNetModule


class Preemption(StepCallback):
    """After every step asks whether any rank has a request to stop; then all save, wait for each other and leave.

    Costs one all-reduce of one number per step. Stands behind the clips, which are given up when the run is to stop:
    that has to be at the same step, where they are made up for when the run goes on. A run that is done but for its
    last clips and validation ends as it would have.

    Args:
        flag: what the signal handlers set.
        checkpoints: what saves.
        stop_at: on `time.monotonic`'s clock, when to stop by itself; None for never.
    """

    def __init__(self, flag: StopFlag, checkpoints: Checkpoints, stop_at: float | None) -> None:
        self._flag, self._checkpoints, self._stop_at = flag, checkpoints, stop_at

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Takes the signals back from Lightning, whose handlers do their work inside the handler.

        A run with a request to stop by now takes no step: clips that it owes at this one may have been given up.
        """
        super().on_train_start(trainer, pl_module)
        self._flag.install()
        if code := self._requested_code(trainer):
            raise StopRun(code, "stopped before a step was taken")

    def on_step_end(self, trainer: L.Trainer, module: WaveNetModule) -> None:
        """Stops only here: inside an accumulation there is nothing whole to save."""
        code = self._requested_code(trainer)
        if code and not is_last_step(trainer):
            saved = self._checkpoints.try_to_save(trainer)
            trainer.strategy.barrier()
            raise StopRun(
                code if saved else ExitCode.BAD_DATA,
                "stopped and saved" if saved else "stopped, and could not save",
            )

    def _requested_code(self, trainer: L.Trainer) -> int:
        """The exit code of a request to stop on any rank, the same on all; 0 for none."""
        code = self._flag.code
        if not code and self._stop_at is not None and time.monotonic() >= self._stop_at:
            code = ExitCode.SAVED
        own = torch.tensor(float(code), device=trainer.strategy.root_device)
        return int(trainer.strategy.reduce(own, reduce_op="max"))


def is_last_step(trainer: L.Trainer) -> bool:
    """Whether training ends with the step that was just taken."""
    if 0 < trainer.max_steps <= trainer.global_step:
        return True
    last_batch = trainer.fit_loop.epoch_loop.batch_progress.is_last_batch
    return last_batch and 0 <= (trainer.max_epochs or -1) <= trainer.current_epoch + 1


def exit_code(trainer: L.Trainer, code: int) -> int:
    """What this process exits with.

    The ranks that Lightning started itself leave the code to the first one, which it would kill for any other than 0.
    """
    environment = getattr(trainer.strategy, "cluster_environment", None)
    started_by_lightning = isinstance(environment, LightningEnvironment) and not trainer.is_global_zero
    return 0 if started_by_lightning else code
