"""One line about the whole run: a bar on a terminal, now and then a plain line in a log."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

import lightning.pytorch as L
from lightning.pytorch.callbacks import ProgressBar
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from wavenet_pl.training.callbacks.throughput import Throughput

_REFRESH = 0.25  # seconds between two looks at the loss, which on a GPU means waiting for it


class RunProgress(ProgressBar):
    """Steps of the whole run, bits, validation bits, samples per second and time left.

    Acts at every batch, where it looks at the clock; four times a second it reads the loss and draws, or,
    where the stream is no terminal, writes a line every ``line_seconds`` and after each validation. Rank 0
    only. Takes the place of Lightning's own bar, and ``trainer.enable_progress_bar: false`` leaves it out.

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
        self._console = Console(file=stream or sys.stderr, soft_wrap=True, highlight=False)
        self._line_seconds = line_seconds
        self._clock = clock
        self.is_enabled = True
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._total: int | None = None
        self._step = 0
        self._written_step = -1
        self._pace_from: tuple[int, float] | None = None  # (step, time) after the first step
        self._bits = self._val_bits = math.nan
        self._throughput: Throughput | None = None
        self._looked = self._wrote = 0.0

    def enable(self) -> None:
        """Show it."""
        self.is_enabled = True

    def disable(self) -> None:
        """Show nothing."""
        self.is_enabled = False
        self._close()

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Write a line above the bar."""
        if self.is_enabled:
            self._console.print(*args, markup=False)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Opens the bar where the run, perhaps resumed, stands."""
        if not self.is_enabled:
            return
        self._step = trainer.global_step
        callbacks: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]
        self._throughput = next((c for c in callbacks if isinstance(c, Throughput)), None)
        steps = trainer.estimated_stepping_batches
        self._total = int(steps) if math.isfinite(steps) and steps > 0 else None
        self._looked = self._wrote = self._clock()
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"), BarColumn(bar_width=None), MofNCompleteColumn(),
                TextColumn("{task.fields[facts]}"), console=self._console, auto_refresh=False, expand=True,
            )  # fmt: skip
            self._task = self._bar.add_task("training", total=self._total, completed=self._step, facts="")
            self._bar.start()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Counts; looks and draws when it is time."""
        if not self.is_enabled:
            return
        now = self._clock()
        if self._pace_from is None and trainer.global_step != self._step:
            # The first step starts workers and compiles: no measure of the others.
            self._pace_from = (trainer.global_step, now)
        self._step = trainer.global_step
        if self._bar is not None:
            if now - self._looked >= _REFRESH:
                self._look(trainer, now)
                self._draw("training", now)
        elif now - self._wrote >= self._line_seconds:
            self._look(trainer, now)
            self._write(now)

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Shows how far a validation is."""
        now = self._clock()
        if self._bar is not None and now - self._looked >= _REFRESH:
            self._looked = now
            self._draw(f"validation {batch_idx + 1}/{sum(trainer.num_val_batches)}", now)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Shows the new bits."""
        if not self.is_enabled or trainer.sanity_checking or trainer.state.fn != "fit":
            return
        self._val_bits = _number(trainer, "val/bits")
        self._show(trainer)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Shows the end."""
        if not self.is_enabled:
            return
        if self._bar is not None or self._written_step != self._step:
            self._show(trainer)
        self._close()

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """Leaves the terminal as it was."""
        self._close()

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Leaves the terminal as it was."""
        self._close()

    def describe(self, now: float) -> str:
        """``bits 4.21   val 4.32   23,500 samples/s   12:34 left``, as far as it is known."""
        facts = []
        if math.isfinite(self._bits):
            facts.append(f"bits {self._bits:.3f}")
        if math.isfinite(self._val_bits):
            facts.append(f"val {self._val_bits:.3f}")
        rate = math.nan if self._throughput is None else self._throughput.samples_per_second
        if math.isfinite(rate):
            facts.append(f"{rate:,.0f} samples/s")
        step, then = self._pace_from or (self._step, now)
        if self._total is not None and self._step > step:
            left = (now - then) / (self._step - step) * max(self._total - self._step, 0)
            facts.append(f"{_clock(left)} left")
        return "   ".join(facts)

    def _show(self, trainer: L.Trainer) -> None:
        now = self._clock()
        self._look(trainer, now)
        if self._bar is not None:
            self._draw("training", now)
        else:
            self._write(now)

    def _look(self, trainer: L.Trainer, now: float) -> None:
        self._bits = _number(trainer, "train/bits")
        self._looked = now

    def _draw(self, description: str, now: float) -> None:
        if self._bar is not None and self._task is not None:
            facts = self.describe(now)
            self._bar.update(self._task, description=description, completed=self._step, facts=facts)
            self._bar.refresh()

    def _write(self, now: float) -> None:
        self._wrote, self._written_step = now, self._step
        share = f" ({100 * self._step / self._total:.0f} %)" if self._total else ""
        of = f"/{self._total:,}" if self._total else ""
        self._console.print(f"step {self._step:,}{of}{share}   {self.describe(now)}", markup=False)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _number(trainer: L.Trainer, key: str) -> float:
    value = trainer.callback_metrics.get(key)
    return math.nan if value is None else float(value)


def _clock(seconds: float) -> str:
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"
