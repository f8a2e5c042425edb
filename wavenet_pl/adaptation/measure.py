"""What is measured before and after an adaptation: rows on the new voice, and the speakers of the base."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from wavenet_pl.adaptation.base import TABLE, Base
from wavenet_pl.adaptation.data import AdaptationData, base_split
from wavenet_pl.adaptation.results import Beginning, Forgetting
from wavenet_pl.adaptation.rows import bits_by_row, bits_of
from wavenet_pl.errors import UserError
from wavenet_pl.files.durable import write_durably
from wavenet_pl.model import Model
from wavenet_pl.numbers.intervals import Interval
from wavenet_pl.shards.shard_set import Location, set_name
from wavenet_pl.shards.split import Split

NEAREST_SECONDS, HELD_OUT_SECONDS, FORGETTING_SECONDS = 20, 60, 60
"""Audio that is scored under every row, that held-out bits are of, and of each speaker of the base."""
BEGINNING = "beginning.json"


def measure_beginning(
    base: Base, data: AdaptationData, folder: Path, say: Callable[[str], None]
) -> Beginning:
    """What the base makes of the new voice; kept in the folder, so that it is measured once."""
    path = folder / BEGINNING
    with suppress(OSError, ValueError, KeyError, TypeError):  # else it is measured again
        kept = json.loads(path.read_text(encoding="utf-8"))
        return Beginning(**{**kept, "before": Interval(*kept["before"])})
    rate, number = base.model.sample_rate, len(base.speakers)
    say(f"scoring the new voice under {number} rows")
    # What is held out chooses nothing.
    train = bits_by_row(base.model, data.voice.up_to(NEAREST_SECONDS * rate), range(number))
    nearest = min(range(number), key=lambda row: train[row].mean)
    split = data.splits["val"]
    some = split.up_to(HELD_OUT_SECONDS * rate)
    held_out = bits_by_row(base.model, some, range(number))
    whole = held_out[nearest] if len(some) == len(split) else bits_by_row(base.model, split, [nearest])[0]
    beginning = Beginning(
        base.speakers[nearest],
        held_out[nearest],
        whole.mean,
        {name: bits.mean for name, bits in zip(base.speakers, held_out, strict=True)},
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_durably(path, json.dumps(asdict(beginning)) + "\n")
    return beginning


def measure_rows(model: Model, split: Split, speaker: str) -> tuple[Interval, dict[str, float]]:
    """Held-out bits of the new voice under its own row, and under all."""
    names = model.labels.tables[TABLE]
    split = split.up_to(HELD_OUT_SECONDS * model.sample_rate)
    bits = bits_by_row(model, split, range(len(names)))
    rows = {name: each.mean for name, each in zip(names, bits, strict=True)}
    return bits[names.index(speaker)], rows


def measure_forgetting(base: Base, adapted: Model, path: Location) -> dict[str, Forgetting]:
    """Speaker of the base -> what its validation recordings cost before and after, where it has some that can be read.

    Raises:
        UserError: the data of the base are not at hand.
    """
    inputs = tuple(base.model.input_names)
    split = base_split(path, "val", base.model.sample_rate, inputs, base.model.labels)
    forgetting = {}
    for row, name in enumerate(base.speakers):
        own = split.of_row(TABLE, row)
        own = own.up_to(FORGETTING_SECONDS * base.model.sample_rate)
        before = bits_of(base.model, own).mean if len(own) else math.nan
        if not math.isnan(before):
            forgetting[name] = Forgetting(before, bits_of(adapted, own).mean)
    if not forgetting:
        raise UserError(
            f"{set_name(path)} has no validation recording of the speakers of the base that can be read, expected some"
        )
    return forgetting
