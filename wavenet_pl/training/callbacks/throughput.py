"""How fast a run is, and how much of its time it waits for data."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import lightning.pytorch as L
import torch

from wavenet_pl.training.callbacks.steps import StepCallback
from wavenet_pl.training.memory import peak_gib
from wavenet_pl.training.module import WaveNetModule
from wavenet_pl.training.utilization import peak_flops, training_flops


class Throughput(StepCallback):
    """Logs perf/samples_per_second, perf/data_wait, perf/peak_memory and, where it is known, perf/mfu.

    Acts at every batch, with a few additions, and logs one row every ``every_n_steps`` optimizer steps. It
    asks no device to finish its work: on a GPU a single step means little, and the sum over many steps is
    right.

    - perf/samples_per_second: audio predictions that counted in the loss, of all ranks, per second of
      training.
    - perf/data_wait: share of that time, 0 to 1, in which rank 0 waited for its next batch.
    - perf/peak_memory: GiB, the most that rank 0 has had so far (see `peak_gib`).
    - perf/mfu: share, 0 to 1, of what all devices can compute at best (see `peak_flops`) that goes into the
      multiplications of these predictions, forward and backward: not into those of the context before a crop, nor
      into what is computed again.

    Steps next to a validation, a checkpoint or clips are left out (see `leave_out`): their time says nothing
    about the data.

    Args:
        every_n_steps: optimizer steps per row.
        clock: seconds from any beginning.
        peak: FLOP/s of a device at a precision, as `peak_flops`.
    """

    def __init__(
        self,
        every_n_steps: int = 50,
        clock: Callable[[], float] = time.perf_counter,
        peak: Callable[[torch.device, str], float | None] = peak_flops,
    ) -> None:
        if every_n_steps < 1:
            raise ValueError(f"every_n_steps is {every_n_steps}, expected 1 or more")
        self.every_n_steps = every_n_steps
        self._clock, self._peak = clock, peak
        self._used_by_one: float | None = None  # share of all devices that one prediction a second takes
        self.last: dict[str, float] = {}
        """The newest row, empty before the first."""
        self._mark = 0.0
        self._disturbed = True  # until the first batch: starting the workers is no waiting for data
        self._restart()

    @property
    def samples_per_second(self) -> float:
        """Of the steps since the newest row, or that row where they took less than a second; NaN at first."""
        if self._seconds >= 1 or (self._seconds > 0 and not self.last):
            return self._predictions / self._seconds
        return self.last.get("perf/samples_per_second", math.nan)

    def leave_out(self) -> None:
        """Something else than training takes time before the next batch; whoever causes that says so here."""
        self._disturbed = True

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Starts the clock; the first wait begins the workers and is left out."""
        super().on_train_start(trainer, pl_module)
        assert isinstance(pl_module, WaveNetModule)
        if peak := self._peak(trainer.strategy.root_device, str(trainer.precision)):
            self._used_by_one = training_flops(pl_module.model) / (peak * trainer.world_size)
        self._restart()
        self.leave_out()

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Adds the time since the last batch to that spent waiting for data."""
        now = self._clock()
        if not self._disturbed:
            self._waited += now - self._mark
            self._seconds += now - self._mark
        self._disturbed = False
        self._mark = now

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Adds the time and the predictions of the batch."""
        now = self._clock()
        if not self._disturbed:
            self._seconds += now - self._mark
            self._predictions += batch["predictions"] / trainer.accumulate_grad_batches
        self._mark = now
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def on_step_end(self, trainer: L.Trainer, module: WaveNetModule) -> None:
        """Logs a row every `every_n_steps` steps."""
        if self.step % self.every_n_steps == 0:
            self._log(trainer, self.step)

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Leaves the time of the validation out."""
        self.leave_out()

    def on_save_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Leaves the time of the save out."""
        self.leave_out()

    def _log(self, trainer: L.Trainer, step: int) -> None:
        if self._seconds > 0:
            self.last = {
                "perf/samples_per_second": self._predictions / self._seconds,
                "perf/data_wait": self._waited / self._seconds,
                "perf/peak_memory": peak_gib(trainer.strategy.root_device),
            }
            if self._used_by_one is not None:
                self.last["perf/mfu"] = self._used_by_one * self.last["perf/samples_per_second"]
            for logger in trainer.loggers:
                logger.log_metrics(self.last, step=step)
        self._restart()

    def _restart(self) -> None:
        self._seconds, self._waited, self._predictions = 0.0, 0.0, 0.0
        self._mark = self._clock()
