"""Where in its loops a training goes on: behind the last whole step, whatever was under way when that was saved."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as L

from wavenet_pl.errors import UserError


class Resumption(L.Callback):
    """Has Lightning's loops go on where the weights and the loader do.

    Those know whole steps only. The loops count batches, of which `trainer.accumulate_grad_batches` make a step: what
    they had counted of a step that was not done, or where so many made one as no longer do, would shift every later
    one. And behind the last epoch of a training they would hand the loader no state, as if nothing could follow.

    Acts when a checkpoint is loaded, on what it says of the loops, before they see it; costs nothing.
    """

    def on_load_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Rewrites the places of the loops.

        Raises:
            UserError: the checkpoint says nothing of them.
        """
        try:
            loops = checkpoint["loops"]["fit_loop"]
            epochs, batches = loops["epoch_progress"], loops["epoch_loop.batch_progress"]
            steps = loops["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"]
            begun = epochs["current"]["started"]
            within = batches["current"]["ready"] > 0 and not batches["is_last_batch"]
            if not within:
                steps["current"] = {"ready": 0, "completed": 0}
            done = begun - within
            for scope in ("total", "current"):
                # What Lightning takes for the middle of an epoch, or for the moment before it begins one.
                epochs[scope] = {"ready": done + 1, "started": begun, "processed": done, "completed": done}
                number = trainer.accumulate_grad_batches * steps[scope]["completed"]
                batches[scope] = dict.fromkeys(("ready", "started", "processed", "completed"), number)
            batches["is_last_batch"] = False
            loops["epoch_loop.state_dict"]["_batches_that_stepped"] = steps["total"]["completed"]
        except (KeyError, TypeError) as error:
            raise UserError(
                f"the checkpoint does not record where in its training it was saved ({error!r:.60}), expected one that "
                "`wavenet-pl train` wrote; use another one"
            ) from None

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Mends Lightning's own number of rows, which counts a validation that it passes over as it begins."""
        trainer.fit_loop.epoch_loop._batches_that_stepped = trainer.global_step
