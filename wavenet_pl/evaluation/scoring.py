"""Bits of a model on recordings: of each one, and of groups of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from wavenet_pl.errors import BadDataError
from wavenet_pl.evaluation.sample import BATCH_SAMPLES, every_slot, read_batches
from wavenet_pl.model import Model
from wavenet_pl.numbers.intervals import Interval, mean_and_interval
from wavenet_pl.shards.damage import Damage
from wavenet_pl.shards.split import Split

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
    """The same in codes of the model's comparable codec."""
    extra: dict[str, tuple[int, float]]
    """Input -> samples that were also told a wrong value of it, and the bits that they cost more then."""


@dataclass(frozen=True)
class Group:
    """Recordings that have something in common."""

    name: str
    recordings: int
    samples: int
    bits: Interval
    """Per sample, with an interval over the group's recordings."""
    comparable_bits: Interval


def score(model: Model, split: Split, tell: Tell) -> Iterator[Score | Damage]:
    """Scores recording by recording, every sample once, in crops as in validation.

    Yields:
        The score of each recording as soon as it is whole; once, what is wrong with one that cannot be read.

    Raises:
        BadDataError: the model's numbers are not finite.
    """
    frames, crop = split.frames, model.config.data.crop_samples
    field = model.config.model.network.receptive_field
    plan = every_slot(frames, crop_samples=crop, batch_size=max(1, BATCH_SAMPLES // (crop + field)))
    # Bits, comparable bits, samples; then for each input samples with a wrong value and their extra bits.
    sums = np.zeros((len(frames), 3 + 2 * len(model.inputs)))
    damaged: set[str] = set()
    for number, batch in enumerate(read_batches(model, split, plan, context=field, others=True), start=1):
        for damage in batch["bad"]:
            if damage.key not in damaged:
                damaged.add(damage.key)
                yield damage
        with torch.inference_mode():
            outputs_BKT, codes_BT, counts_BT = model.predict(batch)
            nats_BT = model.head.nats(outputs_BKT, codes_BT)
            same = model.comparable_codec == model.codec
            comparable_BT = nats_BT if same else model.comparable_nats(outputs_BKT, codes_BT)
            columns = [nats_BT / math.log(2), comparable_BT / math.log(2), counts_BT]
            for name in model.inputs:
                changed_B1 = batch[f"changed_{name}"][:, None]
                extra_BT = model.wrong_nats(batch, name, codes_BT) - nats_BT
                columns += [counts_BT * changed_B1, extra_BT / math.log(2) * changed_B1]
        rows_BC = torch.stack(
            [column_BT.double().where(counts_BT, 0.0).sum(dim=1) for column_BT in columns], dim=1
        )
        touched_B = batch["recording"].cpu().numpy()
        np.add.at(sums, touched_B[touched_B >= 0], rows_BC.cpu().numpy()[touched_B >= 0])
        tell(number / plan.num_batches)
        for position in np.unique(touched_B[touched_B >= 0]).tolist():
            if sums[position, 2] == frames[position]:
                bits, comparable, _, *wrong = sums[position].tolist()
                if not math.isfinite(bits):
                    raise BadDataError(
                        f"the bits of recording {split[position].key} are {bits}, expected a number; the model's "
                        "weights are damaged or its training diverged: use an earlier checkpoint"
                    )
                extra = {
                    name: (int(wrong[2 * place]), wrong[2 * place + 1])
                    for place, name in enumerate(model.inputs)
                }
                yield Score(position, int(frames[position]), bits, comparable, extra)


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


def gaps(scores: Sequence[Score]) -> dict[str, Interval]:
    """Input -> bits per sample that a wrong value of it costs more; NaN where there was no wrong one."""
    names = scores[0].extra if scores else {}
    return {
        name: mean_and_interval(
            [score.extra[name][1] for score in scores], [score.extra[name][0] for score in scores]
        )
        for name in names
    }
