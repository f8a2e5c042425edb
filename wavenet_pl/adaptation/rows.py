"""Bits of a voice under rows of the speaker table, the new one's and those of the base."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch

from wavenet_pl.data.split import Split
from wavenet_pl.evaluation.sample import BATCH_SAMPLES, every_slot, read_batches
from wavenet_pl.intervals import Interval, mean_and_interval
from wavenet_pl.modules import WaveNetModule


def bits_of(module: WaveNetModule, split: Split) -> Interval:
    """Bits per sample of a model on recordings as their rows say, with the interval over them."""
    return bits_by_row(module, split, [None])[0]


def bits_by_row(module: WaveNetModule, split: Split, rows: Iterable[int | None]) -> list[Interval]:
    """The same with each of these rows for every recording; None for the recordings' own."""
    rows = list(rows)
    field, crop = module.config.model.network.receptive_field, module.config.data.crop_samples
    plan = every_slot(split.frames, crop_samples=crop, batch_size=max(1, BATCH_SAMPLES // (crop + field)))
    nats_RN = torch.zeros(len(rows), len(split), dtype=torch.float64)
    counts_N = torch.zeros(len(split), dtype=torch.float64)
    for batch in read_batches(module, split, plan, context=field):
        recording_B = batch["recording"].clamp(min=0).cpu()
        own_B = batch["speaker"]
        for place, row in enumerate(rows):
            batch["speaker"] = own_B if row is None else torch.full_like(own_B, row)
            with torch.inference_mode():
                outputs_BKT, codes_BT, counts_BT = module.predict(batch)
                nats_B = module.head.nats(outputs_BKT, codes_BT).double().where(counts_BT, 0.0).sum(dim=1)
            nats_RN[place].index_add_(0, recording_B, nats_B.cpu())
        counts_N.index_add_(0, recording_B, counts_BT.sum(dim=1).double().cpu())
    return [mean_and_interval(nats_N.numpy() / math.log(2), counts_N.numpy()) for nats_N in nats_RN]
