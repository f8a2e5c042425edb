"""A training that a CPU would take days for is warned of while it has cost seconds."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable

import lightning.pytorch as L

from wavenet_pl.progress import duration
from wavenet_pl.training.callbacks.steps import StepCallback
from wavenet_pl.training.module import WaveNetModule

_log = logging.getLogger(__name__)

_TOO_LONG = 3 * 86400.0
_STEPS, _SECONDS = 5, 10.0
"""What is looked at, at least, behind the first step, which starts workers and compiles."""


class TimeLeft(StepCallback):
    """Says once, some steps after the start, that the rest will take more than three days on a CPU; costs nothing.

    Args:
        clock: seconds from any beginning.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._first: tuple[int, float] | None = None
        self._done = False

    def on_step_end(self, trainer: L.Trainer, module: WaveNetModule) -> None:
        """Looks at the clock until it knows the pace."""
        if self._done or trainer.strategy.root_device.type != "cpu" or not trainer.is_global_zero:
            return
        if self._first is None:
            self._first = self.step, self._clock()
            return
        steps, seconds = self.step - self._first[0], self._clock() - self._first[1]
        if steps < _STEPS or seconds < _SECONDS:
            return
        self._done = True
        left = trainer.estimated_stepping_batches - self.step
        if math.isfinite(left) and (rest := left * seconds / steps) > _TOO_LONG:
            _log.warning(
                f"the other {left:,.0f} steps will take {duration(rest)} at this pace, on a CPU; the config `small` is "
                "meant for one; or set a lower trainer.max_steps, or use a GPU"
            )
