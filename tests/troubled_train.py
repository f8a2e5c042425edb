"""A script: `wavenet-pl train` in which one rank meets trouble of a known kind at known steps.

python -m tests.troubled_train TROUBLE RANK STEPS ARGUMENT ...

TROUBLE is nan (its loss is no number), nan-weight (a weight is none), stop (it is told to, after a step) or a phase in
which it says that it is asleep, and is: data, forward, save, clips. stop-clips is stop while clips are made,
stop-validation within a validation. STEPS are numbers of done steps, with commas between.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from wavenet_pl import cli
from wavenet_pl.data.datamodule import CropLoader
from wavenet_pl.model import Model
from wavenet_pl.training.callbacks import samples
from wavenet_pl.training.callbacks.preemption import Preemption
from wavenet_pl.training.checkpoint_io import AtomicCheckpointIO
from wavenet_pl.training.module import WaveNetModule

TROUBLE, RANK, STEPS = sys.argv[1], int(sys.argv[2]), {int(step) for step in sys.argv[3].split(",")}

here: list[WaveNetModule] = []
"""The module, once there is one."""


def meets_trouble() -> bool:
    """Whether this rank is the one, and this step one of those."""
    trainer = here[0].trainer
    stage = trainer.validating if TROUBLE == "stop-validation" else trainer.training
    return trainer.global_rank == RANK and trainer.global_step in STEPS and stage


def sleep() -> None:
    """Say so, and sleep for long."""
    print("asleep", flush=True)
    time.sleep(600)


def asleep_before(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, after a sleep where trouble is met."""

    def call(*args: Any, **options: Any) -> Any:
        if meets_trouble():
            sleep()
        return function(*args, **options)

    call.__name__ = function.__name__
    return call


def told_before(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, after a signal to this process where trouble is met."""

    def call(*args: Any, **options: Any) -> Any:
        if meets_trouble():
            os.kill(os.getpid(), signal.SIGUSR1)
        return function(*args, **options)

    return call


def main() -> int:
    nats, configure = Model.nats, WaveNetModule.configure_optimizers

    def remember(self: WaveNetModule) -> Any:
        here.append(self)
        return configure(self)

    def troubled_nats(self: Model, batch: dict[str, Any]) -> Any:
        total, count = nats(self, batch)
        if not meets_trouble():
            return total, count
        if TROUBLE == "nan-weight":
            self.network.output.weight.data[0, 0] = float("inf")
        if TROUBLE == "forward":
            sleep()
        return total * (float("nan") if TROUBLE == "nan" else 1.0), count

    def troubled_iter(self: CropLoader) -> Any:
        for batch in iterate(self):
            yield batch
            if here and meets_trouble():
                sleep()

    if TROUBLE == "stop":
        Preemption.on_train_batch_end = told_before(Preemption.on_train_batch_end)  # type: ignore[method-assign]
    WaveNetModule.configure_optimizers, Model.nats = remember, troubled_nats  # type: ignore[method-assign]
    iterate = CropLoader.__iter__
    if TROUBLE == "data":
        CropLoader.__iter__ = troubled_iter  # type: ignore[method-assign]
    if TROUBLE == "save":
        AtomicCheckpointIO.save_checkpoint = asleep_before(AtomicCheckpointIO.save_checkpoint)  # type: ignore[method-assign]
    if TROUBLE == "clips":
        samples.make_clips = asleep_before(samples.make_clips)
    if TROUBLE == "stop-validation":
        WaveNetModule.validation_step = told_before(WaveNetModule.validation_step)  # type: ignore[method-assign]
    if TROUBLE == "stop-clips":
        samples.make_clips = told_before(samples.make_clips)
    return cli.main(["train", *sys.argv[4:]])


if __name__ == "__main__":
    sys.exit(main())
