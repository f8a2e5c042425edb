"""When an adaptation ends: a few minutes of audio are soon learned by heart."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import lightning.pytorch as L
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason


class HeldOutStop(EarlyStopping):
    """Ends the training when held-out bits no longer fall, and knows how long it took; costs nothing.

    Acts after each validation, and looks at the clock after each batch.

    Mends two things of Lightning's own: a run that is started again after it had stopped would go on until its next
    validation, and a number that rises at once would be waited for as long as one that rests.

    Args:
        patience: validations without a new minimum.
        rise: share of the minimum by which bits may be above it.
        clock: seconds from any beginning.
    """

    def __init__(self, patience: int, rise: float, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(monitor="val/bits", patience=patience, check_on_train_epoch_end=False)
        self._rise, self._clock, self._began = rise, clock, 0.0
        self.seconds = 0.0
        """From the beginning of each start to its last step, added up; what was lost with a start does not count."""

    @property
    def stopped(self) -> bool:
        """Whether it has ended the training."""
        return self.stopping_reason != EarlyStoppingReason.NOT_STOPPED

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """What had stopped stays so; the clock goes on where it stood."""
        trainer.should_stop = trainer.should_stop or self.stopped
        self._began = self._clock() - self.seconds

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Looks at the clock."""
        self.seconds = self._clock() - self._began

    def state_dict(self) -> dict[str, Any]:
        """With the seconds, for the next start."""
        return {**super().state_dict(), "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """What the starts before took; nothing where a checkpoint does not say it."""
        super().load_state_dict(state_dict)
        self.seconds = float(state_dict.get("seconds", 0.0))

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Ends it; all ranks have the same numbers, and do the same."""
        super().on_validation_end(trainer, pl_module)
        if trainer.state.fn == "fit" and not self.stopped:
            bits, least = float(trainer.callback_metrics["val/bits"]), float(self.best_score)
            if bits > least * (1 + self._rise):
                trainer.should_stop = True
                self.stopping_reason = EarlyStoppingReason.STOPPING_THRESHOLD
                self.stopping_reason_message = (
                    f"{bits:.4f} bits, more than {100 * self._rise:g} % above {least:.4f}"
                )
