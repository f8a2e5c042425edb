"""The base of an adaptation: a trained model with a speaker table, which gets one more row."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch

from wavenet_pl.config.tree import Config
from wavenet_pl.errors import UserError
from wavenet_pl.model import Model
from wavenet_pl.runs.checkpoints import best_checkpoint
from wavenet_pl.runs.delta import SPEAKER_TABLE, find_delta, model_hash
from wavenet_pl.runs.folder import RunFolder
from wavenet_pl.runs.loading import load
from wavenet_pl.runs.weights import is_export
from wavenet_pl.shards.labels import Labels


@dataclass(frozen=True)
class Base:
    """A trained model, and where it is."""

    path: str
    """A checkpoint, an export or a delta: what the model was loaded from."""
    model: Model

    @cached_property
    def hash(self) -> str:
        """See `model_hash`."""
        return model_hash(self.model)

    @property
    def speakers(self) -> tuple[str, ...]:
        """Names by row."""
        return self.model.labels.speakers

    def labels_with(self, speaker: str) -> Labels:
        """The model's labels; with one row more where the name is a new one."""
        names = self.speakers if speaker in self.speakers else (*self.speakers, speaker)
        return replace(self.model.labels, speakers=names)

    def with_row(self, config: Config, index_fingerprint: str, speaker: str, start_row: int) -> Model:
        """The model with a row for the speaker, which begins as a copy of another's; one that is there stays as it is.

        Args:
            config: of the adaptation; its model is the base's.
            index_fingerprint: of the new voice's shard set.
            speaker: its name.
            start_row: which row a new one is copied from.
        """
        labels, state = self.labels_with(speaker), dict(self.model.state_dict())
        model = Model(
            config, sample_rate=self.model.sample_rate, index_fingerprint=index_fingerprint, labels=labels
        )
        if labels != self.model.labels:
            rows = state[SPEAKER_TABLE]
            state[SPEAKER_TABLE] = torch.cat([rows, rows[start_row : start_row + 1]])
        model.load_state_dict(state)
        return model


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
    model = load(found)
    if "speaker" not in model.inputs:
        told = " and ".join(model.inputs) or "nothing"
        raise UserError(
            f"{path} has no speaker table: it is told {told}, expected a model that is told the speaker, as of "
            "`wavenet-pl train speaker`"
        )
    return Base(str(found.absolute()), model)


def train_row_only(model: Model, row: int) -> None:
    """Freezes every weight but one row of the speaker table, which is as it was, bit for bit, in all other rows."""
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    table = model.get_parameter(SPEAKER_TABLE)
    others = torch.arange(len(table))[:, None] != row
    table.requires_grad_(True)
    table.register_hook(lambda gradient: gradient.masked_fill(others.to(gradient.device), 0.0))
