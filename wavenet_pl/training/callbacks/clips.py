"""Clips of one set: their prompts, how they are generated on several ranks, and what is measured on them.

Shapes: B clips, T time, K head parameters.
"""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from wavenet_pl.conditioning import Conditioner
from wavenet_pl.config.training import SamplesConfig
from wavenet_pl.data.datamodule import AudioDataModule
from wavenet_pl.errors import BadDataError, UserError
from wavenet_pl.evaluation.costs import sum_by_row
from wavenet_pl.generation.draw import Draw
from wavenet_pl.generation.engines import Engine
from wavenet_pl.inputs.input import Fields
from wavenet_pl.model import Model
from wavenet_pl.shards.damage import Damage

_log = logging.getLogger(__name__)

_CHUNK = 4096  # outputs at a time: K of them per sample are a lot of memory


@dataclass(frozen=True)
class Prompt:
    """The recording that a clip begins like, and is compared to."""

    key: str
    recording: int
    """Position in the validation split."""
    audio: npt.NDArray[np.float32]
    """(T,) from the recording's beginning; as long as the clip, or to the recording's end."""
    condition: Fields
    """What the model is conditioned on with it; see `Conditions`."""

    def describe(self, conditioner: Conditioner | None) -> str:
        """What the model is conditioned on, in a few words; nothing where it has no condition."""
        if conditioner is None:
            return ""
        batch = {name: torch.from_numpy(np.asarray(value)[None]) for name, value in self.condition.items()}
        return conditioner.describe({**batch, "keys": [self.key]}, 0)


@dataclass(frozen=True)
class ClipPair:
    """What the model makes of one prompt."""

    free: npt.NDArray[np.float32]
    """The prompt as the codec gives it back, then samples drawn from what was drawn before."""
    forced: npt.NDArray[np.float32]
    """Teacher-forced: every sample drawn given the recorded ones before it."""
    bits: float
    """Bits per sample that the recording costs under the model."""
    entropy: float
    """Bits per sample that the model expected it to cost."""
    real_time_factor: float
    """Seconds of new audio per second of computing, all clips of a rank together."""
    engine: str
    """What generated."""


def choose_prompts(data: AudioDataModule, config: SamplesConfig) -> list[Prompt]:
    """One prompt for each clip: validation recordings longer than it, in index order.

    One of each speaker comes before a second of any, where the model is conditioned on speakers, and so with other
    tables and with sets. Where there are fewer recordings than clips they are used again, and drawn differently.
    Recordings that cannot be read are passed over with a warning.

    Raises:
        UserError: no recording is long enough.
    """
    wanted = round(config.seconds * data.sample_rate)
    prompt_samples = round(config.prompt_seconds * data.sample_rate)
    prompts: list[Prompt] = []
    split, frames = data.splits["val"], data.splits["val"].frames
    conditions = data.conditions("val", wanted)
    for position in _in_turn(data, np.flatnonzero(frames > prompt_samples).tolist()):
        crop = conditions.crop(position, -1, min(wanted, int(frames[position])))
        if isinstance(crop, Damage):
            _log.warning(f"{split[position].key} is no prompt for clips: {crop}")
            continue
        prompts.append(Prompt(split[position].key, position, *crop))
        if len(prompts) == config.count:
            return prompts
    if not prompts:
        longest = max(frames.tolist(), default=0) / data.sample_rate
        raise UserError(
            f"samples.prompt_seconds is {config.prompt_seconds}, expected less than the longest validation "
            f"recording, {longest:.2f} s; set a shorter one, or samples.every_n_steps=0 for no clips"
        )
    return [prompts[number % len(prompts)] for number in range(config.count)]


def _in_turn(data: AudioDataModule, positions: list[int]) -> list[int]:
    """Recordings of the validation split, so that those with different conditions take turns."""
    split, seen = data.splits["val"], Counter[tuple[Any, ...]]()
    turns = []
    for position in positions:
        recording = split[position]
        group = (split.set_of(position), *(recording.rows.get(each.name) for each in data.inputs))
        turns.append((seen[group], position))
        seen[group] += 1
    return [position for _, position in sorted(turns)]


def make_clips(
    model: Model,
    prompts: list[Prompt],
    config: SamplesConfig,
    *,
    rank: int = 0,
    world_size: int = 1,
    gather: Callable[[Tensor], Tensor] = lambda rows: rows,
    stopping: Callable[[], bool] = lambda: False,
) -> list[ClipPair]:
    """Clips for all prompts, on all ranks: rank r makes clips r, r + world_size, ... in one batch.

    Every rank calls this, and every rank gets all clips. Clip n depends on weights, prompt, seed and n alone,
    unless it is cut short, teacher-forced or free: by the time budget, or as soon as `stopping` says so. Model and
    random generators are left as they were.

    Args:
        model: with the weights to generate with.
        prompts: one for each clip.
        config: how many, how long, how drawn.
        rank: of this process.
        world_size: how many there are.
        gather: rows (R, ...) of this rank -> those of all ranks in their order (world_size * R, ...).
        stopping: whether the clips are to be given up.

    Raises:
        BadDataError: the model's outputs are not finite on some rank; raised on all.
    """
    engine = model.build_engine()
    until = time.monotonic() + config.budget_seconds
    rows = -(-len(prompts) // world_size)
    numbers = range(rank, len(prompts), world_size)
    # Tensors of one shape on all ranks, so that nothing has to be pickled: codes (rows, free and forced, T),
    # padded.
    codes = torch.zeros(
        rows, 2, round(config.seconds * model.sample_rate), dtype=torch.int64, device=model.device
    )
    facts = torch.zeros(rows, 5, dtype=torch.float64, device=model.device)
    if numbers:
        # The other ranks would wait for this one: its rows stay empty, which tells them.
        with suppress(BadDataError):
            made_codes, made_facts = _make(
                [prompts[number] for number in numbers], model, config, tuple(numbers), engine,
                lambda: stopping() or time.monotonic() >= until,
            )  # fmt: skip
            if made_facts.isfinite().all():
                codes[: len(numbers)], facts[: len(numbers)] = made_codes, made_facts
    codes, facts = gather(codes), gather(facts)
    audio, measured = model.codec.decode(codes).cpu().numpy(), facts.cpu().tolist()
    pairs = []
    for number in range(len(prompts)):
        row = number % world_size * rows + number // world_size
        free, forced, bits, entropy, factor = measured[row]
        if not free:
            raise BadDataError("the model's outputs are not finite, expected numbers; lower optim.lr")
        pairs.append(
            ClipPair(
                audio[row, 0, : int(free)], audio[row, 1, : int(forced)], bits, entropy, factor, engine.name
            )
        )
    return pairs


def _make(
    prompts: list[Prompt],
    model: Model,
    config: SamplesConfig,
    numbers: tuple[int, ...],
    engine: Engine,
    cut: Callable[[], bool],
) -> tuple[Tensor, Tensor]:
    """Codes (B, 2, T), free and forced, and the five facts of each clip in the order of `ClipPair`."""
    length = round(config.seconds * model.sample_rate)
    num_prompt = round(config.prompt_seconds * model.sample_rate)
    draw = Draw(temperature=config.temperature, top_p=config.top_p, seed=config.seed, clips=numbers)
    batch = _batch(prompts, length, model.device)
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            recorded_BT, condition = model.codec.encode(batch["audio"]), model.condition(batch, length)
            frames_B = torch.tensor([len(prompt.audio) for prompt in prompts], device=model.device)
            forced_BT, frames_B, bits_B, entropy_B = _force(
                model, recorded_BT, frames_B, condition, draw, cut
            )
            start = time.monotonic()
            free_BT = _run_free(model, engine, recorded_BT, num_prompt, condition, draw, cut)
            new_seconds = free_BT[:, num_prompt:].numel() / model.sample_rate
            factor = new_seconds / max(time.monotonic() - start, 1e-9)
    finally:
        model.train(was_training)
    facts = [
        [free_BT.shape[1], frames, bits, entropy, factor]
        for frames, bits, entropy in torch.stack([frames_B, bits_B, entropy_B], dim=1).tolist()
    ]
    free_BT = nn.functional.pad(free_BT, (0, length - free_BT.shape[1]))
    return torch.stack([free_BT, forced_BT], dim=1), torch.tensor(facts, dtype=torch.float64)


def _batch(prompts: list[Prompt], length: int, device: torch.device) -> dict[str, Any]:
    """What a conditioner may ask for, as in a batch of the datamodule."""
    audio = np.zeros((len(prompts), length), dtype=np.float32)
    for row, prompt in enumerate(prompts):
        audio[row, : len(prompt.audio)] = prompt.audio
    condition = {
        name: torch.from_numpy(np.stack([prompt.condition[name] for prompt in prompts])).to(device)
        for name in prompts[0].condition
    }
    return {"audio": torch.from_numpy(audio).to(device), **condition}


def _force(
    model: Model,
    recorded_BT: Tensor,
    frames_B: Tensor,
    condition: Tensor | None,
    draw: Draw,
    cut: Callable[[], bool],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Codes (B, T) drawn with the recording as the past; how many there are of each (B,), as many as its recording has
    or fewer where they are cut, but never none; means (B,) of bits and entropy over each.
    """
    codes_BT = torch.zeros_like(recorded_BT)
    nats_B, entropy_B = torch.zeros_like(frames_B).double(), torch.zeros_like(frames_B).double()
    silence_B1 = torch.full_like(recorded_BT[:, :1], model.codec.silence_code)
    inputs_BT = torch.cat(
        [silence_B1, recorded_BT[:, :-1]], dim=1
    )  # one silence code precedes each recording
    state, longest, stop = None, int(frames_B.max()), 0
    while stop < longest and not (stop and cut()):
        piece = slice(stop, min(stop + _CHUNK, longest))
        stop = piece.stop
        columns = condition if condition is None or condition.shape[2] == 1 else condition[:, :, piece]
        outputs_BKT, state = model(inputs_BT[:, piece], columns, state)
        uniforms_BT = torch.from_numpy(draw.uniforms(piece.start, piece.stop)).to(recorded_BT.device)
        outputs_NK = outputs_BKT.transpose(1, 2).flatten(0, 1)
        drawn_N = model.head.draw(outputs_NK, uniforms_BT.flatten(), draw.temperature, draw.top_p)
        codes_BT[:, piece] = drawn_N.view_as(uniforms_BT)
        inside_BT = torch.arange(piece.start, piece.stop, device=recorded_BT.device) < frames_B[:, None]
        nats_B += sum_by_row(model.head.nats(outputs_BKT, recorded_BT[:, piece]), inside_BT)
        entropy_B += sum_by_row(model.head.entropy(outputs_BKT), inside_BT)
    frames_B = frames_B.clamp(max=stop)
    return codes_BT, frames_B, nats_B / frames_B / math.log(2), entropy_B / frames_B / math.log(2)


def _run_free(
    model: Model,
    engine: Engine,
    recorded_BT: Tensor,
    num_prompt: int,
    condition: Tensor | None,
    draw: Draw,
    cut: Callable[[], bool],
) -> Tensor:
    """Codes (B, T), prompt first; fewer than the recording has where they are cut, but never none."""
    prompt_BT = recorded_BT[:, :num_prompt]
    pieces = [prompt_BT]
    for piece_BT in model.stream_codes(
        recorded_BT.shape[1] - num_prompt, draw, prompt_BT if num_prompt else None, condition, engine=engine
    ):
        pieces.append(piece_BT.to(prompt_BT.device))
        if cut():
            break
    return torch.cat(pieces, dim=1)
