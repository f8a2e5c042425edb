"""What reading costs a core of this machine, and how fast that is at the moment.

python -m benchmarks.data_costs FOLDER CACHE CROP_SAMPLES

Prints the `Costs` of a set in a folder, behind a server without any latency, and what `pace` found meanwhile. The cache
is to be empty.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
import zlib
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.data_node import Costs
from benchmarks.data_readers import ours
from benchmarks.data_server import slow_server
from wavenet_pl.data.datamodule import AudioDataModule
from wavenet_pl.shards.near import NearStorage

_REQUESTS, _REPEATS = 100, 2


def measure(folder: Path, cache: str, crop_samples: int) -> dict[str, float]:
    """In half a minute: on one core, but what workers hand over, for which cores wake each other."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, [min(cores)])
    with slow_server(folder, 0.0, 0.0) as server:
        data = ours(server.url, cache, crop_samples, 0)
        split, plan = data.splits["train"], data.plan("train", 0)
        paces, request, copying = [pace(folder)], _request(data), _copying(data)
        near, decoded, shared = 0.0, 0.0, 0.0
        for _ in range(_REPEATS):
            alone, two = (
                ours(server.url, cache, crop_samples, workers).train_dataloader() for workers in (0, 2)
            )
            near += _seconds(alone) / _REPEATS
            decoded += _seconds(alone) / _REPEATS
            os.sched_setaffinity(0, cores)
            shared += _seconds(two) / _REPEATS
            os.sched_setaffinity(0, [min(cores)])
            paces.append(pace(folder))
    costs = Costs(
        crop=decoded / plan.num_slots,
        recording=(near - decoded) / len(split),
        batch=max(0.0, min(2, len(cores)) * shared - near) / plan.num_batches,
        request=request,
        byte=copying / sum(shard.bytes for shard in split.shards),
    )
    return {**asdict(costs), "pace": float(np.mean(paces))}


def pace(folder: Path) -> float:
    """Seconds that something takes which is always the same: the machine may be slower the next minute."""
    shard = min(folder.glob("train/*.tar")).read_bytes()
    began = time.monotonic()
    for _ in range(_REQUESTS):
        hashlib.sha256(shard).digest()
        zlib.decompress(zlib.compress(shard[: 2**17], 1))
    return time.monotonic() - began


def _copying(data: AudioDataModule) -> float:
    """Seconds to copy all shards."""
    began = time.monotonic()
    for storage, name, size, sha256, _ in data.splits["train"].shards:
        assert isinstance(storage, NearStorage)
        storage.near.fetch(storage, name, size, sha256)
    return time.monotonic() - began


def _request(data: AudioDataModule) -> float:
    """Seconds of one for little."""
    [shard, *_] = data.splits["train"].shards
    began = time.monotonic()
    for _ in range(_REQUESTS):
        shard.storage.read_range(shard.name, 0, 512)
    return (time.monotonic() - began) / _REQUESTS


def _seconds(batches: Iterable[Any]) -> float:
    """From the first to the last."""
    each = iter(batches)
    next(each)
    began = time.monotonic()
    for _ in each:
        pass
    return time.monotonic() - began


if __name__ == "__main__":
    folder, cache, crop_samples = sys.argv[1:]
    torch.set_num_threads(1)
    print(json.dumps(measure(Path(folder), cache, int(crop_samples))), flush=True)
    os._exit(0)
