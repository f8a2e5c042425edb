"""Bits of a voice under rows of the speaker table, the new one's and those of the base.

Shapes: R rows, N recordings, B crops.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from wavenet_pl.adaptation.base import TABLE
from wavenet_pl.evaluation.costs import nats_by_row
from wavenet_pl.evaluation.sample import every_slot, read_batches
from wavenet_pl.model import Model
from wavenet_pl.numbers.intervals import Interval, mean_and_interval
from wavenet_pl.shards.keys import source_key
from wavenet_pl.shards.split import Split

Numbers = npt.NDArray[np.float64]


def bits_of(model: Model, split: Split) -> Interval:
    """Bits per sample of a model on recordings as their own rows say, with the interval over them."""
    bits_RN, counts_N = sums_by_row(model, split, [None])
    return mean_and_interval(bits_RN[0], counts_N, sources_of(split))


def bits_by_row(model: Model, split: Split, rows: Sequence[int]) -> list[Interval]:
    """The same with each of these rows for every recording."""
    bits_RN, counts_N = sums_by_row(model, split, rows)
    return [mean_and_interval(bits_N, counts_N, sources_of(split)) for bits_N in bits_RN]


def sources_of(split: Split) -> list[str]:
    """What each recording is, or is a part of: intervals are over these."""
    return [source_key(key) for key in split.all_keys()]


def sums_by_row(model: Model, split: Split, rows: Sequence[int | None]) -> tuple[Numbers, Numbers]:
    """Bits of each recording under each row (R, N), and how many samples they are of (N,).

    Args:
        model: knows the speaker.
        split: under the model's labels. A recording that cannot be read has no samples.
        rows: of the speaker table; None for the recordings' own.
    """
    bits_RN = torch.zeros(len(rows), len(split), dtype=torch.float64)
    counts_N = torch.zeros(len(split), dtype=torch.float64)
    for batch in read_batches(model, split, every_slot(model, split), context=model.receptive_field):
        recording_B, own_B = batch["recording"].clamp(min=0).cpu(), batch[TABLE]
        for position, row in enumerate(rows):
            batch[TABLE] = own_B if row is None else torch.full_like(own_B, row)
            with torch.inference_mode():
                nats_B, counts_B = nats_by_row(model, batch)
            bits_RN[position].index_add_(0, recording_B, nats_B.double().cpu() / math.log(2))
        counts_N.index_add_(0, recording_B, counts_B.double().cpu())
    return bits_RN.numpy(), counts_N.numpy()
