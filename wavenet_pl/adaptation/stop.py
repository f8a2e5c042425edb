"""When an adaptation ends: a few minutes of audio are soon learned by heart."""

from __future__ import annotations

import lightning.pytorch as L
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason


class HeldOutStop(EarlyStopping):
    """Ends the training when held-out bits no longer fall; acts after each validation and costs nothing.

    Mends two things of Lightning's own: a run that is started again after it had stopped would go on until its next
    validation, and a number that rises at once would be waited for as long as one that rests.

    Args:
        patience: validations without a new minimum.
        rise: share of the minimum by which bits may be above it.
    """

    def __init__(self, patience: int, rise: float) -> None:
        super().__init__(monitor="val/bits", patience=patience, check_on_train_epoch_end=False)
        self._rise = rise

    @property
    def stopped(self) -> bool:
        """Whether it has ended the training."""
        return self.stopping_reason != EarlyStoppingReason.NOT_STOPPED

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """What had stopped stays so."""
        trainer.should_stop = trainer.should_stop or self.stopped

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
