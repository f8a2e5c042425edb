"""Clips that a model makes by itself, each beside a recording and with its condition, and what is wrong with them."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from wavenet_pl.errors import BadDataError
from wavenet_pl.evaluation.sample import choose_slots, conditions_of, read_batches
from wavenet_pl.evaluation.scoring import OnProgress
from wavenet_pl.evaluation.screen import screen
from wavenet_pl.generation.choice import Choice
from wavenet_pl.generation.draw import Draw
from wavenet_pl.model import Model
from wavenet_pl.numbers import counter
from wavenet_pl.shards.damage import Damage
from wavenet_pl.shards.split import Split

_log = logging.getLogger(__name__)
Audio = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Clip:
    """A generated clip and its recorded counterpart; they begin alike where there is a prompt."""

    key: str
    """Of the recording."""
    condition: str
    """Of both, in words; empty for a model without one."""
    generated: Audio
    recorded: Audio
    """The beginning of the recording, as long as the clip or as there is."""
    faults: dict[str, str]
    """Kind of fault -> the finding of the screen, for the generated one."""
    recorded_faults: dict[str, str]
    """The same for the recorded one: what the data does, the model may do."""


@dataclass(frozen=True)
class Speed:
    """How fast clips were generated."""

    real_time_factor: float
    """Seconds of audio made per second, over all clips of the batch."""
    clips: int
    """Made in one batch."""
    threads: int
    engine: str
    weights: str
    temperature: float


def make_clips(
    model: Model,
    split: Split,
    *,
    seconds: float,
    count: int,
    seed: int,
    progress: OnProgress,
    temperature: float = 1.0,
    prompt_seconds: float = 0.0,
    choice: Choice | None = None,
) -> tuple[list[Clip], Speed]:
    """Generate from nothing but the condition, or from the beginnings of recordings, in one batch.

    The counterparts are recordings drawn by seed; those that last as long come first, and come again where there are
    fewer than clips. Recordings that cannot be read are passed over with a warning.

    Raises:
        BadDataError: none can be read.
    """
    samples = max(1, round(seconds * model.sample_rate))
    positions = choose_recordings([(model, split)], seconds=seconds, count=count, seed=seed)
    slots = -(-split.frames // samples)
    beginnings = np.resize((np.cumsum(slots) - slots)[positions], count)
    plan = choose_slots(split.frames, beginnings, crop_samples=samples, batch_size=count)
    # One sample of context is the silence code before a recording: then column t of the condition goes with sample t.
    [batch] = read_batches(model, split, plan, context=1)
    begins = batch["begin"].tolist()  # a crop ends with its recording, and a clip begins with it
    with torch.inference_mode():
        condition = model.condition(batch, samples)
        if condition is not None and condition.shape[2] > 1:
            columns = zip(condition, begins, strict=True)
            condition = torch.stack([each_HT.roll(-begin, dims=1) for each_HT, begin in columns])
    draw, engine = (
        Draw(temperature=temperature, seed=seed, clips=tuple(range(count))),
        model.build_engine(choice),
    )
    recorded = [audio[1 + begin :].cpu().numpy() for audio, begin in zip(batch["audio"], begins, strict=True)]
    num_prompt = min([samples - 1, round(prompt_seconds * model.sample_rate), *map(len, recorded)])
    prompts_BT = torch.stack([model.encode(audio[:num_prompt]) for audio in recorded])
    pieces, done, began = [prompts_BT.cpu()], num_prompt, time.monotonic()
    for piece in model.stream_codes(
        samples - num_prompt, draw, prompts_BT if num_prompt else None, condition, engine=engine
    ):
        pieces.append(piece.cpu())
        done += piece.shape[1]
        progress(done / samples)
    seconds_taken = max(time.monotonic() - began, 1e-9)
    generated = np.asarray(model.codec.decode(torch.cat(pieces, dim=1)).cpu().numpy())
    conditions = [
        "" if model.conditioner is None else model.conditioner.describe(batch, row) for row in range(count)
    ]
    clips = [
        _judged(key, words, made, real, model.sample_rate)
        for key, words, made, real in zip(batch["keys"], conditions, generated, recorded, strict=True)
    ]
    made_seconds = count * (samples - num_prompt) / model.sample_rate
    return clips, Speed(
        made_seconds / seconds_taken, count, engine.threads, engine.name, engine.weights, temperature
    )  # fmt: skip


def choose_recordings(
    listeners: Sequence[tuple[Model, Split]], *, seconds: float, count: int, seed: int
) -> npt.NDArray[np.int64]:
    """(count,) positions of recordings to make clips beside, drawn by seed: those that last as long come first.

    Args:
        listeners: models, and the same recordings in the rows of each. What one cannot be given is passed over for all.
        seconds: of a clip.
        count: how many at most.
        seed: of the draw.

    Raises:
        BadDataError: none can be read.
    """
    samples = max(1, round(seconds * listeners[0][0].sample_rate))
    frames, chosen = listeners[0][1].frames, list[int]()
    conditions = [conditions_of(model, split, samples) for model, split in listeners]
    random = counter.random_bits(counter.stream_key("clips", seed), np.arange(len(frames)))
    for position in np.lexsort((random, frames < samples)).tolist():
        end = min(samples, int(frames[position]))
        crops = (each.crop(position, -1, end) for each in conditions)
        if damage := next((crop for crop in crops if isinstance(crop, Damage)), None):
            _log.warning(f"no clip stands beside {listeners[0][1].key(position)}: {damage}")
            continue
        chosen.append(position)
        if len(chosen) == count:
            break
    if not chosen:
        raise BadDataError(
            f"none of {len(frames)} recordings can be read, expected one to make a clip beside; `wavenet-pl index` "
            "says what is wrong with them"
        )
    return np.array(chosen)


def count_faults(faults: Sequence[dict[str, str]]) -> Counter[str]:
    """Kind of fault -> how many clips have it."""
    return Counter(kind for kinds in faults for kind in kinds)


def _judged(key: str, condition: str, made: Audio, real: Audio, sample_rate: int) -> Clip:
    real_faults = screen(real, sample_rate) if len(real) else {}
    return Clip(key, condition, made, real, screen(made, sample_rate), real_faults)
