"""A program that reads an epoch with copies of the shards near, and says number and digest of each batch.

python -m tests.data.near_reading URL CACHE
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

from wavenet_pl.config.training import DataConfig
from wavenet_pl.data.datamodule import AudioDataModule


def data_of(location: str | Path, **settings: Any) -> AudioDataModule:
    """The data of a training in lanes."""
    options = {"batch_size": 4, "crop_samples": 400, "num_workers": 0, "window": 1, **settings}
    return AudioDataModule(DataConfig(path=str(location), **options), receptive_field=100, seed=5)


def rows(batch: dict[str, Any]) -> list[tuple[int, bytes]]:
    """Recording and samples of each crop."""
    return [
        (int(each), audio.numpy().tobytes())
        for each, audio in zip(batch["recording"], batch["audio"], strict=True)
    ]


def digest(crops: list[tuple[int, bytes]]) -> str:
    """Of a batch."""
    return hashlib.sha256(repr(crops).encode()).hexdigest()


if __name__ == "__main__":
    url, cache = sys.argv[1:]
    for number, batch in enumerate(data_of(url, cache=cache).train_dataloader()):
        print(number, digest(rows(batch)), flush=True)
