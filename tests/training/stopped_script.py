"""A script: a training on two ranks that is told to stop, and what each of them goes on with.

Run as ``python -m tests.training.stopped_script SHARDS RUNS``; Lightning starts the second rank by the same command.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any

import lightning.pytorch as L

import wavenet_pl
from tests.small import small_config
from wavenet_pl.signals import StopRun
from wavenet_pl.training.callbacks.ranks import is_rank_zero

LONGER_THAN_LIGHTNING_LOOKS_AWAY = 8.0


class Stop(L.Callback):
    """Tells rank 0 to stop, after some steps."""

    def on_train_batch_end(self, trainer: L.Trainer, *batch: Any) -> None:
        """Sends the signal."""
        if trainer.global_step == 3 and trainer.is_global_zero:
            os.kill(os.getpid(), signal.SIGUSR1)


def main(shards: str, runs: str) -> int:
    """Train; returns the exit code."""
    config = small_config(shards, "trainer.devices=2", "trainer.max_steps=50", "trainer.limit_val_batches=0")
    try:
        wavenet_pl.train(config, [Stop()], runs=runs)
    except StopRun as stop:
        print(f"rank {0 if is_rank_zero() else 1} was stopped with {stop.code}", flush=True)
        if is_rank_zero():
            time.sleep(LONGER_THAN_LIGHTNING_LOOKS_AWAY)
            print("rank 0 goes on", flush=True)
        return stop.code
    print("went on as if nothing had happened", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
