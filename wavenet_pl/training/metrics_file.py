"""metrics.jsonl: every number of a run, one row for each time that something was logged."""

from __future__ import annotations

import logging
import os
import time
from argparse import Namespace
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as L
from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from typing_extensions import override

from wavenet_pl.files.line_file import LineFile
from wavenet_pl.tracking.rows import encode_row

_log = logging.getLogger(__name__)

NAME = "metrics.jsonl"


class MetricsFile(Logger):
    """Appends one row to metrics.jsonl for each call, on rank 0.

    A row is ``{"step": 12, "epoch": 0, "time": 1700000000.123, "train/loss": 3.25, ...}``. ``step`` counts
    the optimizer steps that are done, so the first training row has step 1; ``time`` is in seconds since
    1970. Several rows may have the same step: what training, validation and callbacks log is not merged. JSON
    has no word for numbers that are not finite: they are null, and the row's ``not_finite`` says which
    (``{"train/loss": "nan"}``).

    No row is lost by kill -9 (see `LineFile`), and none by a disk that is full: rows wait in memory until there is
    room, and as long as they do nothing is saved that goes on after them (see `write_waiting`). The file is opened at
    the first row, so `cut_back` goes before training.

    Args:
        path: the file, usually RUN/metrics.jsonl; created with its folder when the first row comes.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__()
        self.path = Path(path)
        self._file = LineFile(path)
        self._waiting: deque[bytes] = deque()
        self._trainer: L.Trainer | None = None

    def attach(self, trainer: L.Trainer) -> None:
        """Take step and epoch of each row from the trainer.

        Lightning numbers the rows of training by batches before this one, so step 1 would be 0. Without a
        trainer the step is whatever the caller says, and the epoch what its metrics say.
        """
        self._trainer = trainer

    @override
    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        values = dict(metrics)
        epoch = values.pop("epoch", None)
        if self._trainer is not None:
            step, epoch = self._trainer.global_step, self._trainer.current_epoch
        row = {"step": step, "epoch": None if epoch is None else int(epoch), "time": round(time.time(), 3)}
        self._waiting.append(encode_row({**row, **values}))
        if failure := self.write_waiting():
            log = _log.warning if len(self._waiting) == 1 else _log.debug  # once, and not at every step
            log(f"{failure}; its rows wait in memory until there is room")

    def write_waiting(self) -> str:
        """Write what waits; returns why that did not succeed, empty where nothing waits any more."""
        try:
            while self._waiting:
                self._file.append(self._waiting[0])
                self._waiting.popleft()
        except OSError as error:
            return f"{self.path} could not be written ({error.strerror or error})"
        return ""

    @override
    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Nothing: the run's settings are in its config.yaml."""

    @override
    @rank_zero_only
    def finalize(self, status: str) -> None:
        self._file.close()  # a later row opens it again

    @property
    @override
    def name(self) -> str:
        return self.path.parent.name

    @property
    @override
    def version(self) -> str:
        return ""

    @property
    @override
    def save_dir(self) -> str:
        return str(self.path.parent)
