"""One line about the whole run: a bar on a terminal, now and then a plain line in a log."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

import lightning.pytorch as L
from lightning.pytorch.callbacks import ProgressBar

from wavenet_pl.progress import Progress
from wavenet_pl.training.callbacks.throughput import Throughput


class RunProgress(ProgressBar):
    """Steps of the whole run, bits, validation bits, samples per second and time left.

    Acts at every batch, where it looks at the clock; when something is to be shown it reads the loss, which on a GPU
    means waiting for it: four times a second on a terminal, every ``line_seconds`` in a log, and after each validation.
    Rank 0 only. Takes the place of Lightning's own bar, and ``trainer.enable_progress_bar: false`` leaves it out.

    The time left is reckoned from all the time this process has taken since its second step, validations and
    clips included.

    Args:
        stream: where to draw; standard error by default, which leaves standard output to a command's results.
        line_seconds: between two lines in a log.
        clock: seconds from any beginning.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        line_seconds: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._stream, self._line_seconds, self._clock = stream or sys.stderr, line_seconds, clock
        self.is_enabled = True
        self._progress: Progress | None = None
        self._first = self._step = 0
        self._shown_step = -1
        self._val_bits = math.nan
        self._throughput: Throughput | None = None

    def enable(self) -> None:
        """Show the bar; Lightning calls this."""
        self.is_enabled = True

    def disable(self) -> None:
        """Close the bar and show nothing from now on; Lightning calls this on all ranks but 0."""
        self.is_enabled = False
        self._close()

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Write a line above the bar."""
        if self.is_enabled:
            print(*args, file=self._stream, flush=True)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Opens the bar where the run, perhaps resumed, stands."""
        if not self.is_enabled:
            return
        self._first = self._step = trainer.global_step
        callbacks: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]
        self._throughput = next((c for c in callbacks if isinstance(c, Throughput)), None)
        steps = trainer.estimated_stepping_batches
        self._progress = Progress(
            "training", int(steps) if math.isfinite(steps) and steps > 0 else None, done=self._step, unit="steps",
            stream=self._stream, line_seconds=self._line_seconds, clock=self._clock,
        ).__enter__()  # fmt: skip

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Counts the step, and draws when it is time."""
        if self._progress is None:
            return
        if self._step == self._first < trainer.global_step:
            # The first step starts workers and compiles: no measure of the others.
            self._progress.measure_from(trainer.global_step)
        self._step = trainer.global_step
        if self._progress.is_due:
            self._show(trainer)

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Shows how many batches of a validation are done, when it is time."""
        if self._progress is not None and self._progress.is_due:
            stage = f"validation {batch_idx + 1}/{sum(trainer.num_val_batches)}"
            self._progress.update(self._step, *self._facts(trainer), stage=stage)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Shows the bits of the validation at once."""
        if self._progress is None or trainer.sanity_checking or trainer.state.fn != "fit":
            return
        self._val_bits = _number(trainer, "val/bits")
        self._show(trainer)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Shows the last step and closes the bar."""
        if self._progress is not None and self._shown_step != self._step:
            self._show(trainer)
        self._close()

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """Closes the bar, which leaves the terminal as it was."""
        self._close()

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Closes the bar, which leaves the terminal as it was."""
        self._close()

    def _show(self, trainer: L.Trainer) -> None:
        assert self._progress is not None
        self._shown_step = self._step
        self._progress.update(self._step, *self._facts(trainer), at_once=True)

    def _facts(self, trainer: L.Trainer) -> list[str]:
        """``bits 4.21``, ``val 4.32``, ``23,500 samples/s``, as far as they are known."""
        rate = math.nan if self._throughput is None else self._throughput.samples_per_second
        known = (
            (_number(trainer, "train/bits"), "bits {:.3f}"),
            (self._val_bits, "val {:.3f}"),
            (rate, "{:,.0f} samples/s"),
        )
        return [text.format(value) for value, text in known if math.isfinite(value)]

    def _close(self) -> None:
        if self._progress is not None:
            self._progress.close()
            self._progress = None


def _number(trainer: L.Trainer, key: str) -> float:
    value = trainer.callback_metrics.get(key)
    return math.nan if value is None else float(value)
