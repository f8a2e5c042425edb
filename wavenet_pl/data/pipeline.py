"""From a plan of an epoch to batches: a webdataset.DataPipeline of plain stages, each from iterator to iterator.

Shapes: N batches, B crops of a batch or of one rank, T = receptive_field + crop_samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import webdataset

from wavenet_pl.data.ahead import in_order
from wavenet_pl.data.conditions import Conditions
from wavenet_pl.data.order import EpochPlan, Windows
from wavenet_pl.inputs.input import Fields
from wavenet_pl.shards.damage import Damage

_PLANNED = 16
"""Batches that are planned at once, which takes little longer than one."""


@dataclass(frozen=True)
class Share:
    """Which part of every global batch is ours."""

    rank: int = 0
    world_size: int = 1
    parts: int = 1
    """Accumulated batches per optimizer step."""


@dataclass(frozen=True)
class Slot:
    """One planned crop: samples start to stop - 1 of a recording are to be predicted."""

    recording: int
    """Position in the split, -1 for padding."""
    start: int
    stop: int
    batch_predictions: int
    """Predictions of the whole global batch that it belongs to."""


@dataclass(frozen=True)
class Crop:
    """One slot with its audio."""

    slot: Slot
    audio: npt.NDArray[np.float32]
    """(T,) the samples up to the slot's stop, so that all crops end together."""
    begin: int
    """Where in it the recording begins, with one silent sample before its first; what is before that is nothing."""
    count: int
    """How many of the last predictions count."""
    key: str
    condition: Fields
    """See `Conditions`."""
    bad: Damage | None = None
    """What is wrong with the recording; then nothing counts."""


def build_pipeline(
    conditions: Conditions, plan: EpochPlan, share: Share, *, first_batch: int = 0, receptive_field: int
) -> webdataset.DataPipeline:
    """Batches of one rank, from global batch number `first_batch` to the end of the epoch.

    Worker processes take turns, so that the batches come in the same order for any number of them.
    """
    size = plan.batch_size // (share.world_size * share.parts)
    return webdataset.DataPipeline(
        partial(planned, plan, share, first_batch),
        partial(cropped, conditions, receptive_field, plan.crop_samples),
        partial(batched, size, plan.crop_samples, len(conditions.split)),
    )


def planned(plan: EpochPlan, share: Share, first_batch: int) -> Iterator[Slot]:
    """The slots of this rank and worker process, in order."""
    info = torch.utils.data.get_worker_info()
    worker, num_workers = (info.id, info.num_workers) if info else (0, 1)
    turns = ((number, part) for number in range(first_batch, plan.num_batches) for part in range(share.parts))
    rows = plan.rows(range(share.rank, share.rank + 1), parts=share.parts, world_size=share.world_size)
    own_turns = islice(turns, worker, None, num_workers)
    while some := list(islice(own_turns, _PLANNED)):
        numbers = [*dict.fromkeys(number for number, _ in some)]
        columns = plan.windows(plan.batches(numbers).ravel())
        columns_NB = [column.reshape(len(numbers), -1) for column in columns]
        for number, part in some:
            windows = Windows(*(column_NB[numbers.index(number)] for column_NB in columns_NB))
            predictions = windows.predictions
            own = (column[rows[part]].tolist() for column in windows)
            for recording, start, stop in zip(*own, strict=True):
                yield Slot(recording, start, stop, predictions)


def cropped(
    conditions: Conditions, receptive_field: int, crop_samples: int, slots: Iterable[Slot]
) -> Iterator[Crop]:
    """Reads what each slot needs: its samples, and the true context before them. What is far away is asked for ahead.

    Before a recording comes one silence code: amplitude 0 at position -1. Where a crop would begin earlier, the network
    is told where that one is, and knows the same as at the start of a clip.
    """
    nothing = conditions.read(-1, 0)
    assert not isinstance(nothing, Damage)
    make = partial(_crop, conditions, nothing, receptive_field + crop_samples)
    requests = conditions.split.in_flight
    return map(make, slots) if requests == 1 else in_order(make, slots, requests)


def _crop(conditions: Conditions, nothing: Fields, length: int, slot: Slot) -> Crop:
    audio = np.zeros(length, dtype=np.float32)
    if slot.recording < 0:
        return Crop(slot, audio, 0, 0, "", nothing)
    split = conditions.split
    begin = slot.stop - length  # the position of the crop's first sample
    key = split.key(slot.recording)
    samples = split.try_read(slot.recording, max(begin, 0), slot.stop)
    condition = conditions.read(slot.recording, begin + 1)  # the first output predicts the second code
    if isinstance(samples, Damage) or isinstance(condition, Damage):
        bad = samples if isinstance(samples, Damage) else condition
        assert isinstance(bad, Damage)
        return Crop(slot, audio, 0, 0, key, nothing, bad)
    audio[length - len(samples) :] = samples
    return Crop(slot, audio, max(0, -1 - begin), slot.stop - slot.start, key, condition)


def batched(
    size: int, crop_samples: int, num_recordings: int, crops: Iterable[Crop]
) -> Iterator[dict[str, Any]]:
    """Batches of `size` crops.

    Yields:
        audio (B, T) float32; begin (B,): where in it the recording begins; counted (B, crop_samples): which of the last
        predictions count; recording (B,): position in the split, -1 for padding; num_recordings: of the split;
        predictions: how many count in the whole global batch, all ranks and accumulations; keys; bad: the damage of
        each crop whose recording could not be used; and the fields of `Conditions`, (B, ...).
    """
    crops = iter(crops)
    ago = torch.arange(crop_samples, 0, -1)
    while batch := list(islice(crops, size)):
        yield {
            "audio": torch.from_numpy(np.stack([crop.audio for crop in batch])),
            "begin": torch.tensor([crop.begin for crop in batch]),
            "counted": ago <= torch.tensor([[crop.count] for crop in batch]),
            "recording": torch.tensor([crop.slot.recording for crop in batch]),
            "num_recordings": num_recordings,
            "predictions": batch[0].slot.batch_predictions,
            "keys": [crop.key for crop in batch],
            "bad": [crop.bad for crop in batch if crop.bad is not None],
            **{
                name: torch.from_numpy(np.stack([crop.condition[name] for crop in batch]))
                for name in batch[0].condition
            },
        }
