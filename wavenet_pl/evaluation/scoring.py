"""Bits of a model on recordings: of each one, and of groups of them.

Shapes: B crops, N recordings, C columns of their costs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from wavenet_pl.errors import BadDataError
from wavenet_pl.evaluation.costs import FIXED, costs_of
from wavenet_pl.evaluation.sample import every_slot, read_batches
from wavenet_pl.model import Model
from wavenet_pl.numbers.intervals import Interval, mean_and_interval
from wavenet_pl.shards.damage import Damage
from wavenet_pl.shards.keys import source_key
from wavenet_pl.shards.split import Split

OnProgress = Callable[[float], None]
"""Takes the share that is done, 0 to 1."""


@dataclass(frozen=True)
class Score:
    """What a whole recording costs."""

    position: int
    """Of the recording in its split."""
    source: str
    """What it is, or is a part of; see `source_key`."""
    samples: int
    bits: float
    """Sum over its samples, in the head's own codes."""
    comparable_bits: float
    """The same in codes of the model's comparable codec."""
    extra: dict[str, tuple[int, float]]
    """Input -> samples that were also scored with a wrong value of it, and the bits that they cost more then."""


@dataclass(frozen=True)
class Group:
    """Recordings that have something in common."""

    name: str
    recordings: int
    samples: int
    bits: Interval
    """Per sample, with an interval over the group's recordings, of which parts of one count as one."""
    comparable_bits: Interval


def score(model: Model, split: Split, progress: OnProgress) -> Iterator[Score | Damage]:
    """Scores recording by recording, every sample once, in crops as in validation.

    Yields:
        The score of each recording as soon as it is whole; once, what is wrong with one that cannot be read.

    Raises:
        BadDataError: the model's numbers are not finite.
    """
    frames, plan = split.frames, every_slot(model, split)
    sums_NC = np.zeros((len(frames), FIXED + 2 * len(model.inputs)))
    damaged: set[str] = set()
    batches = read_batches(model, split, plan, context=model.receptive_field, others=True)
    for number, batch in enumerate(batches, start=1):
        for damage in batch["bad"]:
            if damage.key not in damaged:
                damaged.add(damage.key)
                yield damage
        with torch.inference_mode():
            costs_BC = costs_of(model, batch).cpu().numpy()
        touched_B = batch["recording"].cpu().numpy()
        np.add.at(sums_NC, touched_B[touched_B >= 0], costs_BC[touched_B >= 0])
        progress(number / plan.num_batches)
        for position in np.unique(touched_B[touched_B >= 0]).tolist():
            if sums_NC[position, 0] == frames[position]:
                samples, nats, comparable, *wrong = sums_NC[position].tolist()
                if not math.isfinite(nats):
                    raise BadDataError(
                        f"the bits of recording {split[position].key} are {nats}, expected a number; the model's "
                        "weights are damaged or its training diverged: use an earlier checkpoint"
                    )
                extra = {
                    name: (int(wrong[2 * column]), wrong[2 * column + 1] / math.log(2))
                    for column, name in enumerate(model.input_names)
                }
                source = source_key(split.key(position))
                yield Score(
                    position, source, int(samples), nats / math.log(2), comparable / math.log(2), extra
                )


def grouped(name: str, scores: Iterable[Score]) -> Group:
    """The scores of a group, added up."""
    scores = list(scores)
    samples, of = [score.samples for score in scores], [score.source for score in scores]
    return Group(
        name,
        len(scores),
        sum(samples),
        mean_and_interval([score.bits for score in scores], samples, of),
        mean_and_interval([score.comparable_bits for score in scores], samples, of),
    )


def gaps(scores: Sequence[Score]) -> dict[str, Interval]:
    """Input -> bits per sample that a wrong value of it costs more; NaN where there was no wrong one."""
    names = scores[0].extra if scores else {}
    of = [score.source for score in scores]
    return {
        name: mean_and_interval(
            [score.extra[name][1] for score in scores], [score.extra[name][0] for score in scores], of
        )
        for name in names
    }
