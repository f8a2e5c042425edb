"""From a plan of an epoch to batches: a webdataset.DataPipeline of plain stages, each from iterator to iterator.

Shapes: B crops of one rank, T = receptive_field + crop_samples.
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

from wavenet_pl.data.damage import Damage, unreadable
from wavenet_pl.data.format import BLOCK, decode_audio, read_member
from wavenet_pl.data.index import Recording, Shard
from wavenet_pl.data.order import EpochPlan
from wavenet_pl.data.storage import Storage
from wavenet_pl.errors import BadDataError


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
    """(T,) from `receptive_field` samples before the slot's start, or from one before the recording's."""
    first: int
    """Outputs first to last - 1 count: output t predicts audio[t + 1]."""
    last: int
    key: str
    bad: Damage | None = None
    """What is wrong with the recording; then nothing counts."""


class Split:
    """The recordings of one split, in index order, and how to read them.

    Args:
        shards: of the split.
        storage: where they lie.
        sample_rate: that every recording has to have, in Hz.
    """

    def __init__(self, shards: Iterable[Shard], storage: Storage, sample_rate: int) -> None:
        self.places = [(shard.name, recording) for shard in shards for recording in shard.recordings]
        self.storage, self.sample_rate = storage, sample_rate

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, position: int) -> Recording:
        return self.places[position][1]

    @property
    def frames(self) -> npt.NDArray[np.int64]:
        """(N,) length of each recording."""
        return np.array([recording.frames for _, recording in self.places], dtype=np.int64)

    def read(self, position: int, start: int = 0, stop: int | None = None) -> npt.NDArray[np.float32]:
        """Samples start to stop - 1 of a recording, float32 in [-1, 1].

        Raises:
            BadDataError: the recording is damaged; the message names it and its shard.
        """
        found = self.try_read(position, start, stop)
        if isinstance(found, Damage):
            raise BadDataError(str(found), found.kind)
        return found

    def try_read(
        self, position: int, start: int = 0, stop: int | None = None
    ) -> npt.NDArray[np.float32] | Damage:
        """As `read`; what is wrong with the recording is returned, not raised."""
        shard, recording = self.places[position]
        extension, place = recording.audio
        try:
            data = self.storage.read_range(shard, place.offset - BLOCK, BLOCK + place.size)
            content = read_member(data, recording.key, extension, place)
            stop = recording.frames if stop is None else stop
            return decode_audio(content, start, stop, sample_rate=self.sample_rate)
        except OSError as error:
            return Damage(shard, recording.key, *unreadable(error))
        except BadDataError as error:
            return Damage(shard, recording.key, error.kind, str(error))


def build_pipeline(
    split: Split, plan: EpochPlan, share: Share, *, first_batch: int = 0, receptive_field: int
) -> webdataset.DataPipeline:
    """Batches of one rank, from global batch number `first_batch` to the end of the epoch.

    Worker processes take turns, so that the batches come in the same order for any number of them.
    """
    size = plan.batch_size // (share.world_size * share.parts)
    return webdataset.DataPipeline(
        partial(planned, plan, share, first_batch),
        partial(cropped, split, receptive_field, plan.crop_samples),
        partial(batched, size),
    )


def planned(plan: EpochPlan, share: Share, first_batch: int) -> Iterator[Slot]:
    """The slots of this rank and worker process, in order."""
    info = torch.utils.data.get_worker_info()
    worker, num_workers = (info.id, info.num_workers) if info else (0, 1)
    turns = ((number, part) for number in range(first_batch, plan.num_batches) for part in range(share.parts))
    for number, part in islice(turns, worker, None, num_workers):
        predictions = plan.windows(plan.batch(number)).predictions
        windows = plan.windows(
            plan.share(number, part, share.rank, parts=share.parts, world_size=share.world_size)
        )
        for row in zip(
            windows.recording.tolist(), windows.start.tolist(), windows.stop.tolist(), strict=True
        ):
            yield Slot(*row, batch_predictions=predictions)


def cropped(split: Split, receptive_field: int, crop_samples: int, slots: Iterable[Slot]) -> Iterator[Crop]:
    """Reads what each slot needs: its samples, and the true context before them.

    Before a recording comes one silence code: amplitude 0 at position -1. Where the context would begin earlier, the
    crop begins there instead, and the network, which gets no past, knows the same as at the start of a clip.
    """
    for slot in slots:
        audio = np.zeros(receptive_field + crop_samples, dtype=np.float32)
        if slot.recording < 0:
            yield Crop(slot, audio, 0, 0, "")
            continue
        begin = max(slot.start - receptive_field, -1)
        skipped = 1 if begin < 0 else 0
        key = split[slot.recording].key
        samples = split.try_read(slot.recording, begin + skipped, slot.stop)
        if isinstance(samples, Damage):
            yield Crop(slot, audio, 0, 0, key, bad=samples)
            continue
        audio[skipped : skipped + len(samples)] = samples
        yield Crop(slot, audio, slot.start - begin - 1, slot.stop - begin - 1, key)


def batched(size: int, crops: Iterable[Crop]) -> Iterator[dict[str, Any]]:
    """Batches of `size` crops.

    Yields:
        audio (B, T) float32; first and last (B,): outputs first to last - 1 of each row count; recording (B,): position
        in the split, -1 for padding; predictions: how many count in the whole global batch, all ranks and
        accumulations; keys; bad: the damage of each crop whose recording could not be used.
    """
    crops = iter(crops)
    while batch := list(islice(crops, size)):
        yield {
            "audio": torch.from_numpy(np.stack([crop.audio for crop in batch])),
            "first": torch.tensor([crop.first for crop in batch]),
            "last": torch.tensor([crop.last for crop in batch]),
            "recording": torch.tensor([crop.slot.recording for crop in batch]),
            "predictions": batch[0].slot.batch_predictions,
            "keys": [crop.key for crop in batch],
            "bad": [crop.bad for crop in batch if crop.bad is not None],
        }
