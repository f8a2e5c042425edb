"""Steps whose loss or gradient is not finite: skipped on all ranks together, counted, and at some number too many."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import lightning.pytorch as L

from wavenet_pl.errors import ExitCode
from wavenet_pl.signals import StopRun
from wavenet_pl.tracking.row_file import RowFile
from wavenet_pl.training.callbacks.ranks import gather
from wavenet_pl.training.callbacks.steps import StepCallback
from wavenet_pl.training.module import WaveNetModule

_log = logging.getLogger(__name__)

NAME = "skipped_steps.jsonl"


class BadNumbers(StepCallback):
    """Writes down the steps that the module skipped, and stops the run after ``max_in_a_row`` of them.

    Acts after skipped steps only; then the ranks tell each other the keys of their recordings, and rank 0 appends a row
    to ``skipped_steps.jsonl``: ``{"step", "loss", "grad_norm", "keys"}``. The count goes on after a restart.

    Args:
        folder: the run folder.
        max_in_a_row: so many skipped steps end the run with exit code 3.
    """

    def __init__(self, folder: str | os.PathLike[str], max_in_a_row: int) -> None:
        self._file, self._max_in_a_row = RowFile(Path(folder) / NAME), max_in_a_row
        self._in_a_row = 0
        self._keys: list[str] = []  # of this rank's recordings in this step

    def state_dict(self) -> dict[str, Any]:
        """How many steps in a row were skipped."""
        return {"in_a_row": self._in_a_row}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting from there."""
        self._in_a_row = int(state_dict["in_a_row"])

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keeps the names of what the step is made of."""
        self._keys += [key for key in batch["keys"] if key]
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def on_step_end(self, trainer: L.Trainer, module: WaveNetModule) -> None:
        """Where the step was skipped, gathers keys over ranks, writes a row, and stops if it was one too many."""
        keys, self._keys = self._keys, []
        if not module.step_skipped:
            self._in_a_row = 0
            return
        self._in_a_row += 1
        keys = gather(trainer, keys)
        loss, norm = (module.step_metrics[name] for name in ("train/loss", "optim/grad_norm"))
        if trainer.is_global_zero:
            path = self._file.path
            recordings = f"in {path}"
            problem = self._file.add([{"step": self.step, "loss": loss, "grad_norm": norm, "keys": keys}])
            if problem:  # on this rank alone: the others would wait for one that stops
                recordings = f"{', '.join(keys)}, as {path} could not be written ({problem})"
            _log.warning(
                f"step {self.step} was skipped: loss {loss}, gradient norm {norm}; its recordings are {recordings}"
            )
        if self._in_a_row >= self._max_in_a_row:
            raise StopRun(
                ExitCode.BAD_DATA,
                f"{self._in_a_row} steps in a row had a loss or gradient that is not finite, expected fewer than "
                f"train.max_skipped_steps={self._max_in_a_row}; lower optim.lr or set trainer.gradient_clip_val, and "
                f"look at the recordings in {self._file.path}",
            )
