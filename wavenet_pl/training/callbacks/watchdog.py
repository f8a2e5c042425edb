"""A run that hangs: every rank writes down where it is, says so, and leaves so that it can be started again."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from types import FrameType
from typing import Any

import lightning.pytorch as L

from wavenet_pl.errors import ExitCode
from wavenet_pl.training.callbacks.ranks import is_started_by_lightning

_PHASES = {
    "_next_data": "waiting for data",
    "__next__": "waiting for data",
    "training_step": "forward",
    "validation_step": "validation",
    "backward": "backward, which has the all-reduce of the gradients in it",
    "all_reduce": "all-reduce",
    "all_gather": "all-gather",
    "all_gather_object": "all-gather",
    "barrier": "waiting for the other ranks",
    "broadcast": "waiting for the other ranks",
    "save_checkpoint": "save",
    "_make": "clips",
}
"""Name of a function on the main thread's stack -> what the rank is doing. The innermost one that is here counts."""
_OTHERS_SECONDS = 5.0
"""Ranks notice a hang within moments of each other: time for all of them to write before the first one leaves."""


class Watchdog(L.Callback):
    """Ends the process, with exit code 85, when nothing has happened for some time.

    A thread beside the training looks at a clock that every batch of training and validation sets back. When it has
    run out, each rank writes the stacks of all its threads to ``logs/hang-rank-0.txt`` and says in one line what it was
    doing. It leaves whether or not that succeeds: what hangs may be the disk. Costs nothing per step.

    Args:
        seconds: longest time without a batch.
        folder: where the stacks go, usually RUN/logs.
    """

    def __init__(self, seconds: float, folder: str | os.PathLike[str]) -> None:
        self._seconds, self._folder = seconds, Path(folder)
        self._beat = time.monotonic()
        self._over = threading.Event()

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Starts the clock and the thread that looks at it."""
        self._beat = time.monotonic()
        main = threading.main_thread().ident
        assert main is not None
        threading.Thread(target=self._watch, args=(trainer, main), name="watchdog", daemon=True).start()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Sets the clock back: a batch is a sign of life."""
        self._beat = time.monotonic()

    def on_validation_batch_end(self, trainer: L.Trainer, *batch: Any) -> None:
        """Sets the clock back: a batch is a sign of life."""
        self._beat = time.monotonic()

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """Stops the watch: the run ends by itself."""
        self._over.set()

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Stops the watch: the run ends by itself."""
        self._over.set()

    def _watch(self, trainer: L.Trainer, main: int) -> None:
        while (left := self._beat + self._seconds - time.monotonic()) > 0:
            if self._over.wait(left):
                return
        last = threading.Thread(target=self._leave, args=(trainer, 2 * _OTHERS_SECONDS), daemon=True)
        last.start()  # before the disk is touched, which may never answer
        try:
            self._report(trainer, name_phase(sys._current_frames()[main]))
        finally:
            self._leave(trainer, _OTHERS_SECONDS)

    def _report(self, trainer: L.Trainer, phase: str) -> None:
        path = self._folder / f"hang-rank-{trainer.global_rank}.txt"
        stacks = f"its stacks are in {path}"
        try:
            with open(path, "a", encoding="utf-8") as file:
                file.write(f"step {trainer.global_step}, no batch for {self._seconds:g} s, in: {phase}\n")
                file.flush()
                faulthandler.dump_traceback(file, all_threads=True)
        except OSError as error:
            stacks = f"its stacks stand above, as {path} could not be written ({error.strerror})"
            faulthandler.dump_traceback(sys.stderr, all_threads=True)
        print(
            f"\nrank {trainer.global_rank} hangs at step {trainer.global_step}: no batch for {self._seconds:g} s, in: "
            f"{phase}; {stacks}; it exits, and the same command goes on from the newest checkpoint",
            file=sys.stderr,
            flush=True,
        )

    def _leave(self, trainer: L.Trainer, seconds: float) -> None:
        """Ends the process, unless the run does so by itself in this time."""
        if not self._over.wait(seconds):
            _kill_children(trainer)
            # Lightning would kill the process that started this one for any other code than 0, as it writes its stacks.
            os._exit(ExitCode.DONE if is_started_by_lightning(trainer) else ExitCode.SAVED)


def name_phase(frame: FrameType) -> str:
    """What a thread is doing, by the functions that it is in."""
    # The innermost comes first. Summaries of frames would read their sources, and the disk may be what hangs.
    names = [each.f_code.co_name for each, _ in traceback.walk_stack(frame)]
    return next((_PHASES[name] for name in names if name in _PHASES), names[0])


def _kill_children(trainer: L.Trainer) -> None:
    """Ranks that this one started and that did not leave by themselves."""
    for process in getattr(trainer.strategy.launcher, "procs", []):
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
