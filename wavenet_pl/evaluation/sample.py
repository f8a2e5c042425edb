"""What is evaluated: recordings of a split, drawn by the hash of their keys, and single predictions within them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from wavenet_pl.data.conditions import Conditions
from wavenet_pl.data.order import EpochPlan, Integers
from wavenet_pl.data.pipeline import Share, build_pipeline
from wavenet_pl.model import Model
from wavenet_pl.numbers import counter
from wavenet_pl.shards.split import Split


def draw_recordings(split: Split, *, seed: int, max_samples: int) -> Split:
    """Recordings in the order of their hashes, up to a number of samples; at least one.

    The order says nothing of speakers or lengths, so what was done when a walk through it was stopped is a fair sample
    too. Neither other recordings nor other shards change whether one comes before another.
    """
    hashes = (counter.stream_key("evaluate", seed, key) for key in split.all_keys())
    return split.at(np.argsort(np.fromiter(hashes, np.uint64), kind="stable")).up_to(max_samples)


BATCH_SAMPLES = 2**15
"""Of a batch: enough to keep a processor busy, and small beside a machine's memory for any width of network."""


@dataclass(frozen=True, eq=False)
class ChosenSlots(EpochPlan):
    """Some slots of the grid over a split, in a given order. With crops of one sample each slot is a prediction."""

    chosen: Integers
    """(M,) numbers of slots."""

    @property
    def num_slots(self) -> int:
        """How many were chosen."""
        return len(self.chosen)

    @property
    def order(self) -> Integers:  # type: ignore[override]  # there it is cached
        """As they were given."""
        return self.chosen


def conditions_of(model: Model, split: Split, num_columns: int, *, others: bool = False) -> Conditions:
    """What the model is conditioned on, for so many samples of recordings; see `Conditions`."""
    frame_context = model.config.model.condition.frame_context
    return Conditions(split, model.inputs, num_columns, frame_context, others)


def read_batches(
    model: Model, split: Split, plan: EpochPlan, *, context: int, others: bool = False
) -> Iterator[dict[str, Any]]:
    """The batches of a plan, each slot after `context` samples of its recording, where the model's weights are.

    With their conditions, and with `others` also wrong values of them, as `Conditions`.
    """
    conditions = conditions_of(model, split, context + plan.crop_samples - 1, others=others)
    for batch in build_pipeline(conditions, plan, Share(), receptive_field=context):
        yield model.to_device(batch)


def every_slot(model: Model, split: Split) -> EpochPlan:
    """As in validation: each sample of each recording once, recording by recording, in crops of the model's length."""
    crop = model.config.data.crop_samples
    size = max(1, BATCH_SAMPLES // (crop + model.receptive_field))
    return EpochPlan(split.frames, crop, size, seed=0, epoch=0, fingerprint="", shuffle=False)


def choose_slots(frames: Integers, chosen: Integers, *, crop_samples: int, batch_size: int) -> ChosenSlots:
    """A plan of the chosen slots only."""
    return ChosenSlots(
        frames, crop_samples, batch_size, seed=0, epoch=0, fingerprint="", shuffle=False, chosen=chosen
    )


def draw_predictions(frames: Integers, number: int, *, earliest: int, seed: int) -> Integers:
    """Predictions drawn evenly, with repetition, from all that have `earliest` samples or more before them.

    Returns:
        (number,) slots of a plan with crops of one sample, in rising order; none where no recording is long enough.
    """
    room = np.maximum(frames - earliest, 0)
    ends = np.cumsum(room)
    if not len(ends) or ends[-1] == 0:
        return np.zeros(0, dtype=np.int64)
    draws = counter.uniforms(counter.stream_key("context", seed), np.arange(number))
    drawn = np.sort((draws * ends[-1]).astype(np.int64))
    recording = np.searchsorted(ends, drawn, side="right")
    within = drawn - (ends - room)[recording] + earliest
    return np.asarray((np.cumsum(frames) - frames)[recording] + within, dtype=np.int64)
