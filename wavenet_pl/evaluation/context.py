"""How far back a model listens: bits of the same predictions when fewer and fewer samples before them are given.

With context c the network gets the c samples before the predicted one and no past, so inside it there are zeros, as
where a recording begins. No silence code comes before them. A model has seen such beginnings in training only where
recordings begin, so the bits are an upper bound of what a network made for that context would reach. With contexts from
the receptive field on they are those of the whole past, exactly.

Shapes: N recordings, M predictions, B of them in a batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from wavenet_pl.evaluation.costs import nats_by_row
from wavenet_pl.evaluation.sample import BATCH_SAMPLES, choose_slots, draw_predictions, read_batches
from wavenet_pl.evaluation.scoring import OnProgress
from wavenet_pl.model import Model
from wavenet_pl.numbers.intervals import Interval, mean_and_interval
from wavenet_pl.shards.keys import source_key
from wavenet_pl.shards.split import Split

TOLERANCE = 0.01
"""Bits per sample that a context may cost and still count as all that the model uses."""


@dataclass(frozen=True)
class ContextPoint:
    """One point of the curve."""

    context: int
    """Samples before the predicted one that were given."""
    bits: Interval
    lost: Interval
    """Bits above those with the whole receptive field, on the same predictions."""


def list_contexts(receptive_field: int) -> list[int]:
    """Powers of two to the first that is beyond the receptive field, and the receptive field itself."""
    powers = {2**power for power in range(receptive_field.bit_length() + 1)}
    return sorted(powers | {receptive_field})


def measure_context(
    model: Model, split: Split, *, predictions: int, seed: int, progress: OnProgress
) -> list[ContextPoint]:
    """The curve, on predictions drawn from the recordings that are longer than the longest context.

    Returns:
        No points where no recording is long enough, or none can be read.
    """
    receptive_field = model.config.model.network.receptive_field
    contexts = list_contexts(receptive_field)
    frames = split.frames
    chosen = draw_predictions(frames, predictions, earliest=contexts[-1], seed=seed)
    recording_M = np.searchsorted(np.cumsum(frames), chosen, side="right")
    bits_M: dict[int, npt.NDArray[np.float64]] = {}
    for number, context in enumerate(contexts):
        if not len(chosen):
            return []
        before = sum(contexts[:number])

        def part(share: float, before: int = before, context: int = context) -> None:
            progress((before + share * context) / sum(contexts))

        bits_M[context] = bits_with_context(model, split, chosen, context, part)
    known_M = np.isfinite(bits_M[receptive_field])  # the rest is of damaged recordings

    if not known_M.any():
        return []
    recordings_N, row_M, counts_N = np.unique(recording_M[known_M], return_inverse=True, return_counts=True)
    of = [source_key(split.key(position)) for position in recordings_N.tolist()]

    def mean(values_M: npt.NDArray[np.float64]) -> Interval:
        return mean_and_interval(np.bincount(row_M, weights=values_M[known_M]), counts_N, of)

    return [
        ContextPoint(context, mean(bits_M[context]), mean(bits_M[context] - bits_M[receptive_field]))
        for context in contexts
    ]


def bits_with_context(
    model: Model, split: Split, chosen: npt.NDArray[np.int64], context: int, progress: OnProgress
) -> npt.NDArray[np.float64]:
    """Bits (M,) of the chosen predictions, each from a window of its own; NaN where it cannot be read."""
    size = min(len(chosen), max(1, BATCH_SAMPLES // context))
    plan = choose_slots(split.frames, chosen, crop_samples=1, batch_size=size)
    parts = []
    for number, batch in enumerate(read_batches(model, split, plan, context=context), start=1):
        with torch.inference_mode():
            nats_B, counts_B = nats_by_row(model, batch)  # of one prediction, the last
        parts.append(nats_B.double().where(counts_B > 0, math.nan).cpu().numpy() / math.log(2))
        progress(number / plan.num_batches)
    return np.concatenate(parts)[: len(chosen)]


def effective_receptive_field(points: Sequence[ContextPoint]) -> int:
    """The smallest measured context from which on no context costs more than `TOLERANCE`."""
    too_short = [point.context for point in points if point.lost.mean > TOLERANCE]
    return min(point.context for point in points if point.context > max(too_short, default=0))
