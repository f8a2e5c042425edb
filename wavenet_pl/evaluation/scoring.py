"""Bits of a model on recordings: of each one, and of groups of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from wavenet_pl.data.damage import Damage
from wavenet_pl.data.pipeline import Split
from wavenet_pl.errors import BadDataError
from wavenet_pl.evaluation.sample import BATCH_SAMPLES, every_slot, read_batches
from wavenet_pl.intervals import Interval, mean_and_interval
from wavenet_pl.modules import WaveNetModule

Tell = Callable[[float], None]
"""Is told the share that is done, 0 to 1."""


@dataclass(frozen=True)
class Score:
    """What a whole recording costs."""

    position: int
    """Of the recording in its split."""
    samples: int
    bits: float
    """Sum over its samples, in the head's own codes."""
    comparable_bits: float
    """The same in codes of the module's comparable codec."""


@dataclass(frozen=True)
class Group:
    """Recordings that have something in common."""

    name: str
    recordings: int
    samples: int
    bits: Interval
    """Per sample, with an interval over the group's recordings."""
    comparable_bits: Interval


def score(module: WaveNetModule, split: Split, tell: Tell) -> Iterator[Score | Damage]:
    """Scores recording by recording, every sample once, in crops as in validation.

    Yields:
        The score of each recording as soon as it is whole; once, what is wrong with one that cannot be read.

    Raises:
        BadDataError: the model's numbers are not finite.
    """
    frames, crop = split.frames, module.config.data.crop_samples
    field = module.config.model.network.receptive_field
    plan = every_slot(frames, crop_samples=crop, batch_size=max(1, BATCH_SAMPLES // (crop + field)))
    sums = np.zeros((len(frames), 3))  # bits, comparable bits, samples
    damaged: set[str] = set()
    for number, batch in enumerate(read_batches(module, split, plan, context=field), start=1):
        for damage in batch["bad"]:
            if damage.key not in damaged:
                damaged.add(damage.key)
                yield damage
        with torch.inference_mode():
            outputs_BKT, codes_BT, counts_BT = module.predict(batch)
            nats_BT = module.head.nats(outputs_BKT, codes_BT)
            same = module.comparable_codec == module.codec
            comparable_BT = nats_BT if same else module.comparable_nats(outputs_BKT, codes_BT)
        rows = [
            each_BT.double().where(counts_BT, 0.0).sum(dim=1)
            for each_BT in (nats_BT, comparable_BT, counts_BT)
        ]
        rows_B3 = torch.stack(rows, dim=1).cpu().numpy() / [math.log(2), math.log(2), 1]
        touched_B = batch["recording"].cpu().numpy()
        np.add.at(sums, touched_B[touched_B >= 0], rows_B3[touched_B >= 0])
        tell(number / plan.num_batches)
        for position in np.unique(touched_B[touched_B >= 0]).tolist():
            if sums[position, 2] == frames[position]:
                bits, comparable, _ = sums[position].tolist()
                if not math.isfinite(bits):
                    raise BadDataError(
                        f"the bits of recording {split[position].key} are {bits}, expected a number; the model's "
                        "weights are damaged or its training diverged: use an earlier checkpoint"
                    )
                yield Score(position, int(frames[position]), bits, comparable)


def grouped(name: str, scores: Iterable[Score]) -> Group:
    """The scores of a group, added up."""
    scores = list(scores)
    samples = [score.samples for score in scores]
    return Group(
        name,
        len(scores),
        sum(samples),
        mean_and_interval([score.bits for score in scores], samples),
        mean_and_interval([score.comparable_bits for score in scores], samples),
    )
