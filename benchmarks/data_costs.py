"""What reading costs on this machine: a process that has one core, which it shares with all that it starts.

python -m benchmarks.data_costs FOLDER CACHE CROP_SAMPLES

Prints the `Costs` of a set in a folder, behind a server without any latency. The cache is to be empty.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import IterableDataset

from benchmarks.data_node import Costs
from benchmarks.data_readers import BATCH, CONTEXT, ours
from benchmarks.data_server import slow_server
from wavenet_pl.data.datamodule import AudioDataModule
from wavenet_pl.data.workers import Workers, read_ahead

_MESSAGES, _REQUESTS = 300, 100


class Ready(IterableDataset[Any]):
    """Batches that are there."""

    def __init__(self, crop_samples: int) -> None:
        self._crop_samples = crop_samples

    def __iter__(self) -> Iterator[Any]:
        for _ in range(_MESSAGES):
            yield {"audio": torch.zeros(BATCH, CONTEXT + self._crop_samples)}


def measure(folder: Path, cache: str, crop_samples: int) -> Costs:
    """In some twenty seconds."""
    with slow_server(folder, 0.0, 0.0) as server:
        data = ours(server.url, cache, crop_samples, 0)
        loader = data.train_dataloader()
        far, decoded = (_seconds(loader) for _ in range(2))
        data.teardown("fit")
        near = _seconds(ours(server.url, cache, crop_samples, 0).train_dataloader())
        bytes_sent, _ = server.counts()
        request = _request(data)
    split, plan = data.splits["train"], data.plan("train", 0)
    messages = iter(read_ahead(Ready(crop_samples), Workers(1)))
    next(messages)
    return Costs(
        crop=decoded / plan.num_slots,
        recording=(near - decoded) / len(split),
        batch=_seconds(messages) / (_MESSAGES - 1),
        request=request,
        byte=max(0.0, far - near) / bytes_sent,
    )


def _request(data: AudioDataModule) -> float:
    """Seconds of one for little."""
    [shard, *_] = data.splits["train"].shards
    began = time.monotonic()
    for _ in range(_REQUESTS):
        shard.storage.read_range(shard.name, 0, 512)
    return (time.monotonic() - began) / _REQUESTS


def _seconds(batches: Iterable[Any]) -> float:
    """To go through them."""
    began = time.monotonic()
    for _ in batches:
        pass
    return time.monotonic() - began


if __name__ == "__main__":
    folder, cache, crop_samples = sys.argv[1:]
    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
    torch.set_num_threads(1)
    print(json.dumps(asdict(measure(Path(folder), cache, int(crop_samples)))), flush=True)
    os._exit(0)
