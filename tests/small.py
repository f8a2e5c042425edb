"""A model and a config that train in seconds, for tests of what is around them."""

from __future__ import annotations

from pathlib import Path

from wavenet_pl.config.tree import Config, load_config
from wavenet_pl.model import Model
from wavenet_pl.shards.labels import Labels

SETTINGS = (
    "data.crop_samples=1000",
    "data.batch_size=4",
    "data.num_workers=0",
    "model.network.stacks=1",
    "model.network.layers_per_stack=5",
    "model.network.residual_channels=16",
    "model.network.gate_channels=32",
    "model.network.skip_channels=16",
    "optim.warmup_steps=5",
    "samples.every_n_steps=0",
    "wandb.mode=disabled",
    "train.threads=1",
    "trainer.accelerator=cpu",
)
"""33 samples of receptive field, 17 thousand weights."""
SIXTEEN_BITS = (
    "model.head.kind=logistics",
    "model.head.mixtures=4",
    "model.codec.kind=linear",
    "model.codec.quantization_channels=65536",
)
"""The same with amplitudes in, and a mixture of logistics over 65,536 codes out."""


def small_config(path: str | Path, *settings: str) -> Config:
    """The small config on a shard set, with more settings."""
    return load_config(overrides=[f"data.path={path}", *SETTINGS, *settings])


def only_clip(folder: str | Path, suffix: str = ".wav") -> Path:
    """The one file that `generate` left there, whatever it is called."""
    [path] = Path(folder).glob(f"*{suffix}")
    return path


def small_model(*settings: str, sample_rate: int = 8_000, labels: Labels | None = None) -> Model:
    """A small untrained model."""
    return Model(small_config("nowhere", *settings), sample_rate=sample_rate, labels=labels)
