"""An epoch of crops from a set behind a slow server, read by us and by plain webdataset, in processes of their own.

python -m benchmarks.data_readers ours|webdataset URL CACHE CROP_SAMPLES WORKERS EPOCHS

Each prints, for each epoch, the seconds to its first batch and to its last one, and how many batches it had. The
shards' names come in.
"""

from __future__ import annotations

import io
import json
import os
import sys
import time
import urllib.request
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile
import torch
from torch.utils.data import IterableDataset
from webdataset import filters, tariterators

from wavenet_pl.config.training import DataConfig
from wavenet_pl.data.workers import Workers, read_ahead
from wavenet_pl.signals import interrupts_wait

if TYPE_CHECKING:
    from wavenet_pl.data.datamodule import AudioDataModule

BATCH = 16
WINDOW = 1
CONTEXT = 512
"""Samples before a crop, those of the `small` config."""
BUFFER = 1_000


def ours(url: str, cache: str, crop_samples: int, workers: int) -> AudioDataModule:
    """The data of a training in lanes."""
    from wavenet_pl.data.datamodule import AudioDataModule  # which no worker needs

    config = DataConfig(
        path=url, cache=cache, window=WINDOW, crop_samples=crop_samples, num_workers=workers, batch_size=BATCH
    )
    return AudioDataModule(config, receptive_field=CONTEXT, seed=0)


class Plain(IterableDataset[Any]):
    """Shards from their beginning to their end, each worker its own; a shuffle buffer of crops."""

    def __init__(self, names: list[str], crop_samples: int) -> None:
        self._names, self._crop_samples = names, crop_samples

    def __iter__(self) -> Iterator[Any]:
        info = torch.utils.data.get_worker_info()
        own = self._names[info.id :: info.num_workers] if info else self._names
        opened = ({"url": name, "stream": urllib.request.urlopen(name)} for name in own)
        recordings = tariterators.group_by_keys(tariterators.tar_file_expander(opened))
        crops = filters.shuffle(BUFFER)(self._crops(recordings))
        batch = []
        for crop in crops:
            batch.append(crop)
            if len(batch) == BATCH:
                yield {"audio": torch.from_numpy(np.stack(batch))}
                batch = []

    def _crops(self, recordings: Iterable[dict[str, Any]]) -> Iterator[Any]:
        for recording in recordings:
            with interrupts_wait():
                audio, _ = soundfile.read(io.BytesIO(recording["flac"]), dtype="float32")
            padded = np.pad(audio, (CONTEXT, -len(audio) % self._crop_samples))
            for start in range(0, len(audio), self._crop_samples):
                yield padded[start : start + CONTEXT + self._crop_samples]


def plain(url: str, crop_samples: int, workers: int, shards: list[str]) -> Iterable[Any]:
    """The same crops as a plain pipeline gives them."""
    pipeline = Plain([f"{url}/{name}" for name in shards], crop_samples)
    return read_ahead(pipeline, Workers(workers))


if __name__ == "__main__":
    who, url, cache, *numbers = sys.argv[1:]
    crop_samples, workers, epochs = map(int, numbers)
    torch.set_num_threads(1)
    shards = json.load(sys.stdin)
    loader = ours(url, cache, crop_samples, workers).train_dataloader() if who == "ours" else None
    for _ in range(epochs):
        batches, first, began = 0, 0.0, time.monotonic()
        for _ in plain(url, crop_samples, workers, shards) if loader is None else loader:
            batches, first = batches + 1, first or time.monotonic() - began
        print(json.dumps([first, time.monotonic() - began, batches]), flush=True)
    os._exit(0)  # the workers' end is not measured
