"""Stopping a run from outside: signals and the time limit only set a flag; all ranks save and leave together."""

from __future__ import annotations

import sys
from typing import Any

import lightning.pytorch as L
import torch

from wavenet_pl.errors import ExitCode
from wavenet_pl.signals import StopFlag, StopRun
from wavenet_pl.tracking.rows import STOP_SECONDS
from wavenet_pl.training.callbacks.checkpoints import Checkpoints
from wavenet_pl.training.callbacks.steps import StepCallback
from wavenet_pl.training.module import WaveNetModule

_GROWTH, _EVERY = 1.1, 1000
"""The longest wait is logged when it has grown by this factor, and at multiples of so many steps."""


class Entrance(L.Callback):
    """Stands before all others where a training begins, and mends two things that Lightning does there.

    It takes the signals back from Lightning, whose handlers do their work inside the handler. And it has a run that has
    all its steps begin like any other: Lightning would call nothing of it, and a validation or clips that it owes from
    when it was stopped would never be made.

    Args:
        flag: what the signal handlers set.
    """

    def __init__(self, flag: StopFlag) -> None:
        self._flag = flag
        self._limits: tuple[int | None, int] | None = None

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """All ranks are there: a signal that came while they were started is answered now."""
        self._flag.install()

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Puts the limits of a run that goes on out of reach. That there are some, Lightning has to know until then."""
        if trainer.ckpt_path is not None:
            loop = trainer.fit_loop
            self._limits = loop.max_epochs, loop.epoch_loop.max_steps
            if loop.max_epochs != -1:
                loop.max_epochs = sys.maxsize
            if loop.epoch_loop.max_steps != -1:
                loop.epoch_loop.max_steps = sys.maxsize

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Sets the limits again; a run that has reached them ends after this, as any other does."""
        self._flag.install()
        loop = trainer.fit_loop
        if self._limits is not None:
            loop.max_epochs, loop.epoch_loop.max_steps = self._limits


class Preemption(StepCallback):
    """After every step and every batch of a validation asks whether any rank has a request to stop; then all save,
    wait for each other and leave.

    Costs one all-reduce of one number each time. Stands behind the clips, which are given up when the run is to stop:
    that has to be at the same step, where they are made up for when the run goes on.

    Args:
        flag: what the signal handlers set.
        checkpoints: what saves.
    """

    def __init__(self, flag: StopFlag, checkpoints: Checkpoints) -> None:
        self._flag, self._checkpoints = flag, checkpoints
        self._logged_wait = 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """A run with a request to stop by now takes no step: clips that it owes at this one may have been given up."""
        super().on_train_start(trainer, pl_module)
        if code := self._requested_code(trainer):
            raise StopRun(code, "stopped before a step was taken")

    def on_step_end(self, trainer: L.Trainer, module: WaveNetModule) -> None:
        """Stops after a step: inside an accumulation there is nothing whole to save."""
        self._stop_if_requested(trainer)
        self._flag.measure_waits()  # the first step starts workers and compiles: no measure of the others
        longest = self._flag.longest_wait
        if longest > _GROWTH * self._logged_wait or (longest and self.step % _EVERY == 0):
            self._logged_wait = longest
            for logger in trainer.loggers:
                logger.log_metrics({STOP_SECONDS: round(longest, 3)}, self.step)

    def on_validation_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, *indices: Any
    ) -> None:
        """Stops within a validation, which is made up for when the run goes on."""
        self._stop_if_requested(trainer)

    def _stop_if_requested(self, trainer: L.Trainer) -> None:
        if not (code := self._requested_code(trainer)):
            return
        saved = self._checkpoints.try_to_save(trainer)
        trainer.strategy.barrier()
        raise StopRun(
            code if saved else ExitCode.BAD_DATA,
            "stopped and saved" if saved else "stopped, and could not save",
        )

    def _requested_code(self, trainer: L.Trainer) -> int:
        """The exit code of a request to stop on any rank, the same on all; 0 for none."""
        own = torch.tensor(float(self._flag.code), device=trainer.strategy.root_device)
        return int(trainer.strategy.reduce(own, reduce_op="max"))
