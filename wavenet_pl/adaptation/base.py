"""The base of an adaptation: a trained model with a speaker table, which gets one more row."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch

from wavenet_pl.checkpoint import best_checkpoint, load
from wavenet_pl.config import Config
from wavenet_pl.delta import SPEAKER_TABLE, find_delta, model_hash
from wavenet_pl.errors import UserError
from wavenet_pl.labels import Labels
from wavenet_pl.models import build_module
from wavenet_pl.modules import WaveNetModule
from wavenet_pl.run import RunFolder
from wavenet_pl.weights import is_export


@dataclass(frozen=True)
class Base:
    """A trained model, and where it is."""

    path: str
    """A checkpoint, an export or a delta: what the model was loaded from."""
    module: WaveNetModule

    @cached_property
    def hash(self) -> str:
        """See `model_hash`."""
        return model_hash(self.module)

    @property
    def speakers(self) -> tuple[str, ...]:
        """Names by row."""
        return self.module.labels.speakers

    def labels_with(self, speaker: str) -> Labels:
        """The model's labels; with one row more where the name is a new one."""
        names = self.speakers if speaker in self.speakers else (*self.speakers, speaker)
        return replace(self.module.labels, speakers=names)

    def with_row(self, config: Config, index_fingerprint: str, speaker: str, start_row: int) -> WaveNetModule:
        """The model with a row for the speaker, which begins as a copy of another's; one that is there stays as it is.

        Args:
            config: of the adaptation; its model is the base's.
            index_fingerprint: of the new voice's shard set.
            speaker: its name.
            start_row: which row a new one is copied from.
        """
        labels, state = self.labels_with(speaker), dict(self.module.state_dict())
        module = build_module(
            config, sample_rate=self.module.sample_rate, index_fingerprint=index_fingerprint, labels=labels
        )
        if labels != self.module.labels:
            rows = state[SPEAKER_TABLE]
            state[SPEAKER_TABLE] = torch.cat([rows, rows[start_row : start_row + 1]])
        module.load_state_dict(state)
        return module


def load_base(path: str | os.PathLike[str]) -> Base:
    """The base that a path means, the best checkpoint of a run.

    Raises:
        UserError: there is none, or it has no speaker table.
    """
    found = Path(path)
    delta = None if is_export(found) else find_delta(found)
    if delta is not None:
        found = delta
    elif found.is_dir() and not is_export(found):
        found = best_checkpoint(RunFolder(found))
    module = load(found)
    if "speaker" not in module.inputs:
        told = " and ".join(module.inputs) or "nothing"
        raise UserError(
            f"{path} has no speaker table: it is told {told}, expected a model that is told the speaker, as of "
            "`wavenet-pl train speaker`"
        )
    return Base(str(found.absolute()), module)


def train_row_only(module: WaveNetModule, row: int) -> None:
    """Freezes every weight but one row of the speaker table, which is as it was, bit for bit, in all other rows."""
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    table = module.get_parameter(SPEAKER_TABLE)
    others = torch.arange(len(table))[:, None] != row
    table.requires_grad_(True)
    table.register_hook(lambda gradient: gradient.masked_fill(others.to(gradient.device), 0.0))
