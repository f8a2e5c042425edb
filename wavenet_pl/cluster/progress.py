"""How far a run has come, as its folder says."""

from __future__ import annotations

import itertools
import statistics
from dataclasses import dataclass

from wavenet_pl.config.tree import load_config
from wavenet_pl.runs.folder import RunFolder, checkpoint_step, list_checkpoints
from wavenet_pl.tracking.rows import is_there, newest_rows, pick

_RECENT = 200
"""So many of the newest steps say how fast it is; the pauses of restarts are few among them."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far one run has come."""

    step: int = 0
    """Steps done."""
    last_step: int | None = None
    """Where it ends; None where the config gives no number of steps."""
    loss_bits: float | None = None
    """Of the newest training step."""
    bits: float | None = None
    """Of the newest validation; None where there was none lately."""
    checkpoint: int | None = None
    """Step of the newest checkpoint."""
    seconds_left: float | None = None
    """To the last step, at the pace of the newest ones."""

    @property
    def is_done(self) -> bool:
        """Whether no step is left."""
        return self.last_step is not None and self.step >= self.last_step


def progress_of(run: RunFolder) -> Progress:
    """Reads the run folder, of its numbers the newest; a run that has not begun has made no step.

    Raises:
        UserError: a file in it is damaged.
    """
    path = run.metrics
    steps = newest_rows(path, "train/loss", _RECENT)
    losses, bits, times = (pick(steps, key, path) for key in ("train/loss", "train/bits", "time"))
    validated = pick(newest_rows(path, "val/bits", 1), "val/bits", path)
    step = losses[-1][0] if losses else 0
    config = load_config([run.config]) if is_there(run.config) else None
    limit = config.trainer.get("max_steps") if config else None
    last_step = limit if isinstance(limit, int) and limit > 0 else None
    pauses = [after - before for (_, before), (_, after) in itertools.pairwise(times)]
    checkpoints = list_checkpoints(run)
    return Progress(
        step=step,
        last_step=last_step,
        loss_bits=bits[-1][1] if bits else None,
        bits=validated[-1][1] if validated else None,
        checkpoint=checkpoint_step(checkpoints[-1]) if checkpoints else None,
        seconds_left=(last_step - step) * statistics.median(pauses) if pauses and last_step else None,
    )
