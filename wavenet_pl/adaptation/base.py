"""The base of an adaptation: a trained model with a speaker table, which gets one more row."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cached_property

import torch

from wavenet_pl.config.tree import Config
from wavenet_pl.errors import UserError
from wavenet_pl.inputs.frames import Frames
from wavenet_pl.model import Model
from wavenet_pl.runs.checkpoints import best_checkpoint
from wavenet_pl.runs.delta import SPEAKER_TABLE, find_delta, model_hash
from wavenet_pl.runs.folder import RunFolder
from wavenet_pl.runs.loading import load
from wavenet_pl.runs.released import PREFIX, find_model
from wavenet_pl.runs.weights import is_export
from wavenet_pl.shards.labels import Labels

TABLE = "speaker"
"""The table that gets one more row."""


@dataclass(frozen=True)
class Base:
    """A trained model, and where it is."""

    path: str
    """A checkpoint, an export or a delta: what the model was loaded from; or ``pretrained:NAME``."""
    model: Model

    @cached_property
    def hash(self) -> str:
        """See `model_hash`."""
        return model_hash(self.model)

    @property
    def speakers(self) -> tuple[str, ...]:
        """Names by row."""
        return self.model.labels.tables.get(TABLE, ())

    def labels_with(self, speaker: str) -> Labels:
        """The model's labels; with one row more where the name is a new one."""
        names = self.speakers if speaker in self.speakers else (*self.speakers, speaker)
        labels = self.model.labels
        return replace(labels, tables={**labels.tables, TABLE: names})

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
    source = find_model(path)
    delta = None if is_export(source) else find_delta(source)
    if delta is not None:
        source = delta
    elif source.is_dir() and not is_export(source):
        source = best_checkpoint(RunFolder(source))
    model = load(source)
    if TABLE not in model.input_names:
        inputs = " and ".join(model.input_names) or "nothing"
        raise UserError(
            f"{path} has no speaker table: it is conditioned on {inputs}, expected a model conditioned on speakers, as "
            "of `wavenet-pl train speaker`"
        )
    for each in model.inputs:
        if each.name != TABLE and not (isinstance(each, Frames) and not each.file_suffixes()):
            raise UserError(
                f"{path} is conditioned on {each.name} too, which a folder of recordings does not have, expected a "
                "model of speakers, and at most of frames that are made of audio; train another base"
            )
    is_released = os.fspath(path).startswith(PREFIX)
    return Base(os.fspath(path) if is_released else str(source.absolute()), model)


def train_row_only(model: Model, row: int) -> None:
    """Freezes every weight but one row of the speaker table, which is as it was, bit for bit, in all other rows."""
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    table = model.get_parameter(SPEAKER_TABLE)
    others = torch.arange(len(table))[:, None] != row
    table.requires_grad_(True)
    table.register_hook(lambda gradient: gradient.masked_fill(others.to(gradient.device), 0.0))
