"""Whether a model listens: a warning where a wrong condition costs it nothing."""

from __future__ import annotations

import logging
import math

import lightning.pytorch as L
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from wavenet_pl.training.module import WaveNetModule

_log = logging.getLogger(__name__)


class ConditionUse(L.Callback):
    """After each validation behind the warm-up, says which inputs make no difference that is sure.

    Args:
        warmup_steps: optimizer steps in which a model may still be deaf.
    """

    def __init__(self, warmup_steps: int) -> None:
        self._warmup_steps = warmup_steps

    @rank_zero_only
    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Warns of each input whose gap may be zero, on rank 0; the gaps were measured anyway."""
        assert isinstance(pl_module, WaveNetModule)
        if trainer.global_step <= self._warmup_steps:
            return
        for name, gap in pl_module.gaps.items():
            if math.isnan(gap.mean):
                _log.warning(
                    f"there is no wrong value of {name} to compare with: validation has only one of it"
                )
            elif not gap.low > 0:
                _log.warning(
                    f"the model may not use its condition: at step {trainer.global_step} a wrong {name} costs "
                    f"{gap.mean:+.4f} bits per sample, {gap.low:+.4f} to {gap.high:+.4f} over recordings (95 %), "
                    "expected more than 0; train longer, or look at the data"
                )
