"""A base with voices, and a voice that it does not know, in small and made."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.shards.made import write_shard_set
from tests.small import small_config
from wavenet_pl.adaptation.base import Base
from wavenet_pl.config.tree import Config
from wavenet_pl.model import Model
from wavenet_pl.shards.index import load_index

SPEAKERS = ("anna", "ben", "cleo")
NEW = "dora"
SPEAKER_MODEL = ("model.kind=speaker", "model.condition.channels=8")


def make_base(shards: Path, *settings: str) -> Base:
    """An untrained model of the voices in a shard set, whose rows differ."""
    index = load_index(shards)
    torch.manual_seed(0)
    module = Model(
        small_config(shards, *SPEAKER_MODEL, *settings),
        sample_rate=index.sample_rate,
        index_fingerprint=index.fingerprint,
        labels=index.labels,
    )
    return Base("base.ckpt", module.eval())


def write_base_set(folder: Path) -> Path:
    """Shards of three voices."""
    return write_shard_set(folder, train=9, val=6, speakers=SPEAKERS, frames=3_000)


def write_new_set(folder: Path) -> Path:
    """Shards of one other voice."""
    return write_shard_set(folder, train=4, val=2, speakers=(NEW,), frames=2_500, seed=7)


def new_config(shards: Path, *settings: str) -> Config:
    """Of an adaptation to the other voice."""
    return small_config(shards, *SPEAKER_MODEL, *settings)
