"""Recordings that could not be read while training: named, written down, and past a bound the end of the run."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import lightning.pytorch as L
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from wavenet_pl.data.datamodule import AudioDataModule
from wavenet_pl.errors import ExitCode
from wavenet_pl.shards.damage import Damage
from wavenet_pl.signals import StopRun
from wavenet_pl.tracking.row_file import RowFile
from wavenet_pl.training.callbacks.checkpoints import Checkpoints
from wavenet_pl.training.callbacks.ranks import any_rank, gather
from wavenet_pl.training.callbacks.steps import StepCallback
from wavenet_pl.training.module import WaveNetModule

_log = logging.getLogger(__name__)

NAME = "bad_recordings.jsonl"
_NAMED = 10  # so many are named on the terminal; the file names all


class BadRecordings(StepCallback):
    """Collects what the loader could not read, over all ranks, and stops the run where it is too much.

    Acts after steps in which a slot was bad, which the ranks know from the sums that they form anyway, and at the end
    of validations, at the cost of an all-reduce of one number; where one was bad they talk to each other once more.
    Each recording is counted once, and has one row in ``bad_recordings.jsonl``: ``{"step", "split", "shard", "key",
    "kind", "found"}``. Where more than ``max_fraction`` of a split's recordings were bad since this start, the run
    saves and ends with exit code 3. A validation that ends so leaves no numbers, and is made anew when the run goes on.

    Args:
        folder: the run folder.
        max_fraction: share of a split's recordings, 0 to 1.
        checkpoints: what saves.
    """

    def __init__(self, folder: str | os.PathLike[str], max_fraction: float, checkpoints: Checkpoints) -> None:
        self._file = RowFile(Path(folder) / NAME, same=("split", "key", "kind"))
        self._max_fraction, self._checkpoints = max_fraction, checkpoints
        self._here: dict[str, list[Damage]] = {"train": [], "val": []}  # of this rank, not reported yet
        self._bad: dict[str, dict[str, Damage]] = {"train": {}, "val": {}}  # by key, the same on all ranks

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keeps the damage that the loader met in a training batch, until the step is done."""
        self._here["train"] += batch["bad"]
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def on_step_end(self, trainer: L.Trainer, module: WaveNetModule) -> None:
        """Reports damage of the step; ranks talk to each other only where there was some."""
        if module.bad_slots:
            self._report(trainer, "train")

    def on_validation_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, *indices: Any
    ) -> None:
        """Keeps the damage that the loader met in a validation batch, until the validation ends."""
        self._here["val"] += batch["bad"]

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Reports damage of the validation before its numbers are there: some may be of too few recordings to count."""
        if any_rank(trainer, bool(self._here["val"])):
            self._report(trainer, "val")

    def _report(self, trainer: L.Trainer, split: str) -> None:
        met = {damage.key: damage for damage in gather(trainer, self._here[split])}
        self._here[split] = []
        new = {key: damage for key, damage in met.items() if key not in self._bad[split]}
        self._bad[split].update(new)
        if not new:
            return
        if trainer.is_global_zero:
            self._write(trainer.global_step, split, list(new.values()))
            for logger in trainer.loggers:
                logger.log_metrics({"data/bad_recordings": self.num_bad}, step=trainer.global_step)
        data = trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(data, AudioDataModule)
        self._check(trainer, split, len(data.splits[split]))

    @property
    def num_bad(self) -> int:
        """How many recordings were bad since this start."""
        return sum(map(len, self._bad.values()))

    @rank_zero_only
    def _write(self, step: int, split: str, damages: list[Damage]) -> None:
        """Rows that are not there yet: a run that goes on from an earlier step meets the same recordings again."""
        problem = self._file.add({"step": step, "split": split, **damage._asdict()} for damage in damages)
        if problem:  # on this rank alone: the others would wait for one that stops
            _log.warning(
                f"{self._file.path} could not be written ({problem}); its rows go with the next ones"
            )
        for number, damage in enumerate(damages, start=self.num_bad - len(damages) + 1):
            if number <= _NAMED:
                _log.warning(f"bad recording: {damage}. It counts for nothing")
            if number == _NAMED:
                _log.warning(f"further bad recordings are listed in {self._file.path}")

    def _check(self, trainer: L.Trainer, split: str, total: int) -> None:
        bad = self._bad[split]
        if len(bad) <= self._max_fraction * total:
            return
        self._checkpoints.save(trainer)
        examples = ". ".join(map(str, list(bad.values())[:3]))
        raise StopRun(
            ExitCode.BAD_DATA,
            f"{len(bad)} of {total} recordings in split {split} cannot be read, expected at most a share of "
            f"data.max_bad_fraction={self._max_fraction:g}: {examples}; {self._file.path} lists all. Mend them "
            "(`wavenet-pl index` checks a whole set), or allow more with data.max_bad_fraction",
        )
