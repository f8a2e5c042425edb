"""From a plan of an epoch to batches: a webdataset.DataPipeline of plain stages, each from iterator to iterator.

Workers go through the same batches together: each makes the crops of its own recordings, so that a recording is read
and decoded by one process only, and this process puts them together. A stretch is as many batches as there are workers,
which each of them hands over at once.

Shapes: N batches, B crops of a batch or of one rank, M crops of a stretch or of one worker's part of it,
T = receptive_field + crop_samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice, repeat, tee

import numpy as np
import numpy.typing as npt
import torch
import webdataset

from wavenet_pl.data.ahead import in_order
from wavenet_pl.data.conditions import Conditions
from wavenet_pl.data.order import EpochPlan, Windows
from wavenet_pl.data.workers import NO_WORKERS, Batch, Workers, read_ahead
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
    row: int = 0
    """Of the stretch that it is in."""


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
    conditions: Conditions,
    plan: EpochPlan,
    share: Share,
    *,
    first_batch: int = 0,
    receptive_field: int,
    workers: Workers = NO_WORKERS,
) -> webdataset.DataPipeline:
    """Batches of one rank, from global batch number `first_batch` to the end of the epoch; see `batched`.

    They are the same, in the same order, for any number of workers.
    """
    parts = webdataset.DataPipeline(
        partial(planned, plan, share, first_batch),
        partial(cropped, conditions, receptive_field, plan.crop_samples),
        stacked,
    )
    size = plan.batch_size // (share.world_size * share.parts)
    return webdataset.DataPipeline(
        partial(read_ahead, parts, workers),
        partial(batched, size, plan.crop_samples, len(conditions.split), workers),
    )


def planned(plan: EpochPlan, share: Share, first_batch: int) -> Iterator[list[Slot]]:
    """The slots of this rank and worker process, a list for each stretch."""
    info = torch.utils.data.get_worker_info()
    worker, num_workers = (info.id, info.num_workers) if info else (0, 1)
    turns = ((number, part) for number in range(first_batch, plan.num_batches) for part in range(share.parts))
    rows = plan.rows(range(share.rank, share.rank + 1), parts=share.parts, world_size=share.world_size)
    while some := list(islice(turns, -(-_PLANNED // num_workers) * num_workers)):
        numbers = [*dict.fromkeys(number for number, _ in some)]
        columns = plan.windows(plan.batches(numbers).ravel())
        columns_NB = [column.reshape(len(numbers), -1) for column in columns]
        for at in range(0, len(some), num_workers):
            stretch: list[Slot] = []
            for turn, (number, part) in enumerate(some[at : at + num_workers]):
                windows = Windows(*(column_NB[numbers.index(number)] for column_NB in columns_NB))
                own = rows[part][windows.recording[rows[part]] % num_workers == worker]
                facts = (column[own].tolist() for column in windows)
                stretch += map(
                    Slot,
                    *facts,
                    repeat(windows.predictions),
                    (turn * len(rows[part]) + own - rows[part][0]).tolist(),
                )
            yield stretch


def cropped(
    conditions: Conditions, receptive_field: int, crop_samples: int, stretches: Iterable[list[Slot]]
) -> Iterator[list[Crop]]:
    """Reads what each slot needs: its samples, and the true context before them. What is far away is asked for ahead.

    Before a recording comes one silence code: amplitude 0 at position -1. Where a crop would begin earlier, the network
    is told where that one is, and knows the same as at the start of a clip.
    """
    nothing = conditions.read(-1, 0)
    assert not isinstance(nothing, Damage)
    make = partial(_crop, conditions, nothing, receptive_field + crop_samples)
    requests = conditions.split.in_flight
    stretches, ahead = tee(stretches)
    slots = chain.from_iterable(ahead)
    crops = (
        map(make, slots)
        if requests == 1
        else in_order(make, slots, requests, lambda slot: conditions.at_hand(slot.recording))
    )
    for stretch in stretches:
        yield list(islice(crops, len(stretch)))


def _crop(conditions: Conditions, nothing: Fields, length: int, slot: Slot) -> Crop:
    audio = np.zeros(length, dtype=np.float32)
    if slot.recording < 0:
        return Crop(slot, audio, 0, 0, "", nothing)
    begin = slot.stop - length  # the position of the crop's first sample
    key = conditions.split.key(slot.recording)
    crop = conditions.crop(slot.recording, begin, slot.stop)
    if isinstance(crop, Damage):
        return Crop(slot, audio, 0, 0, key, nothing, crop)
    samples, condition = crop
    audio[length - len(samples) :] = samples
    return Crop(slot, audio, max(0, -1 - begin), slot.stop - slot.start, key, condition)


def stacked(stretches: Iterable[list[Crop]]) -> Iterator[Batch]:
    """The crops of each stretch (M, ...), and what else is known of them in lists; nothing where there is no crop."""
    for crops in stretches:
        slots = [crop.slot for crop in crops]
        yield {
            "row": torch.tensor([slot.row for slot in slots]),
            "audio": torch.from_numpy(np.stack([crop.audio for crop in crops])),
            "begin": torch.tensor([crop.begin for crop in crops]),
            "count": torch.tensor([crop.count for crop in crops]),
            "recording": torch.tensor([slot.recording for slot in slots]),
            "predictions": torch.tensor([slot.batch_predictions for slot in slots]),
            "keys": [crop.key for crop in crops],
            "bad": [crop.bad for crop in crops],
            **{
                name: torch.from_numpy(np.stack([crop.condition[name] for crop in crops]))
                for name in crops[0].condition
            },
        } if crops else {}  # fmt: skip


def batched(
    size: int, crop_samples: int, num_recordings: int, workers: Workers, parts: Iterable[Batch]
) -> Iterator[Batch]:
    """Batches of `size` crops, from what the workers make of each stretch.

    Yields:
        audio (B, T) float32; begin (B,): where in it the recording begins; counted (B, crop_samples): which of the last
        predictions count; recording (B,): position in the split, -1 for padding; num_recordings: of the split;
        predictions: how many count in the whole global batch, all ranks and accumulations; keys; bad: the damage of
        each crop whose recording could not be used; and the fields of `Conditions`, (B, ...).
    """
    parts = iter(parts)
    ago = torch.arange(crop_samples, 0, -1)
    while some := list(islice(parts, max(1, workers.number))):
        stretch = _joined([part for part in some if part], pin_memory=workers.pin_memory)
        row, predictions = stretch.pop("row"), stretch.pop("predictions")
        counted = ago <= stretch.pop("count")[:, None]
        stretch["counted"] = counted.pin_memory() if workers.pin_memory else counted
        for at in range(0, len(row), size):
            batch = {name: value[at : at + size] for name, value in stretch.items()}
            bad = [each for each in batch["bad"] if each is not None]
            yield {**batch, "bad": bad, "num_recordings": num_recordings, "predictions": int(predictions[at])}


def _joined(parts: list[Batch], *, pin_memory: bool) -> Batch:
    """The crops of all workers, each in its row of the stretch."""
    if len(parts) == 1 and not pin_memory:
        return parts[0]  # by row
    row = torch.cat([part["row"] for part in parts])
    order = row.argsort().tolist()
    joined: Batch = {}
    for name, value in parts[0].items():
        if isinstance(value, torch.Tensor):
            shape = (len(row), *value.shape[1:])
            joined[name] = torch.empty(shape, dtype=value.dtype, pin_memory=pin_memory)
            for part in parts:
                joined[name].index_copy_(0, part["row"], part[name])
        else:
            together = [*chain.from_iterable(part[name] for part in parts)]
            joined[name] = [together[each] for each in order]
    return joined
