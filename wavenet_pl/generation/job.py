"""A job of an engine: clips of any lengths, each with prompt and condition; checked here for all engines.

Shapes: B clips, T time, N new samples, H condition.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from wavenet_pl.generation.condition import Condition, GivenCondition
from wavenet_pl.generation.draw import Draw
from wavenet_pl.heads import Head
from wavenet_pl.network import WaveNet

CHUNK = 200
"""Samples that are handed out at a time by default."""


@dataclass(frozen=True, eq=False)
class Job:
    """Clips to generate in one batch. `build_job` makes one."""

    draw: Draw
    """With a clip number for each row of the batch."""
    lengths: tuple[int, ...]
    """New samples of each clip."""
    inputs: tuple[Tensor, ...]
    """(T,) int64 for each clip: one silence code, as before every recording, and its prompt."""
    condition: Condition | None
    """Of each clip, from its prompt's beginning on."""
    chunk: int
    """Samples to hand out at a time."""

    @property
    def num_samples(self) -> int:
        """New samples of the longest clip."""
        return max(self.lengths)

    @property
    def silence_code(self) -> int:
        """The code that precedes every recording."""
        return int(self.inputs[0][0])

    @property
    def chunks(self) -> Iterator[tuple[int, int]]:
        """First sample of each chunk, and the one after its last."""
        for start in range(0, self.num_samples, self.chunk):
            yield start, min(start + self.chunk, self.num_samples)

    def unfinished(self, sample: int) -> list[int]:
        """The rows that are longer than this."""
        return [row for row, length in enumerate(self.lengths) if length > sample]

    def columns(self, begin: int, end: int, rows: Sequence[int]) -> Tensor | None:
        """The condition of the new samples begin to end - 1 of some rows: (B, H, end - begin), or (B, H, 1) of one that
        is constant.

        What goes with samples after a clip's end means nothing.
        """
        if self.condition is None:
            return None
        prompts = [len(self.inputs[row]) - 1 for row in rows]
        return torch.stack(
            [
                self.condition.columns(row, begin + prompt, end + prompt)
                for row, prompt in zip(rows, prompts, strict=True)
            ]
        )

    def ended(self, start: int, codes_BN: Tensor) -> Tensor:
        """Codes of the new samples from `start` on, with silence after each clip's end."""
        ends_B = torch.tensor(self.lengths, device=codes_BN.device) - start
        number_N = torch.arange(codes_BN.shape[1], device=codes_BN.device)
        return codes_BN.where(number_N < ends_B[:, None], self.silence_code)


def build_job(
    network: WaveNet,
    head: Head,
    draw: Draw,
    num_samples: int | Sequence[int],
    *,
    silence_code: int,
    prompts: Sequence[Tensor] | Tensor | None = None,
    condition: Condition | Tensor | None = None,
    chunk: int = CHUNK,
) -> Job:
    """A job that fits the network.

    Args:
        network: what it is for.
        head: what the network's outputs mean.
        draw: temperature, top_p, seed, and a clip number for each clip.
        num_samples: how many to generate after the prompt, of all clips or of each.
        silence_code: the codec's code of silence.
        prompts: codes (T,) that each clip begins with, such as a recording's. They are not handed out again.
        condition: (B, H, 1), or (B, H, T) with a column for each sample of the longest clip, prompt included; or
            something that has these columns when they are asked for.
        chunk: how many samples to hand out at a time.

    Raises:
        ValueError: the arguments do not fit each other or the network.
    """
    head.check_draw(draw.temperature, draw.top_p)
    batch = len(draw.clips)
    lengths = (num_samples,) * batch if isinstance(num_samples, int) else tuple(num_samples)
    if len(lengths) != batch:
        raise ValueError(f"num_samples has {len(lengths)} numbers, expected {batch}: one for each clip")
    for name, value in (("num_samples", min(lengths)), ("chunk", chunk)):
        if value < 1:
            raise ValueError(f"{name} is {value}, expected 1 or more")
    silence_T = torch.tensor([silence_code])
    inputs = (silence_T,) * batch
    if prompts is not None:
        _check_prompts(prompts, batch, network.quantization_channels)
        inputs = tuple(torch.cat([silence_T, prompt_T.cpu()]) for prompt_T in prompts)
    if isinstance(condition, Tensor):
        columns = max(len(inputs_T) - 1 + length for inputs_T, length in zip(inputs, lengths, strict=True))
        _check_condition(condition, batch, network.condition_channels, columns)
        condition = GivenCondition(condition)
    if (condition is None) != (network.condition_channels == 0):
        actual, expected = ("missing", "one") if condition is None else ("given", "none")
        raise ValueError(
            f"condition is {actual}, expected {expected}: the network has condition_channels "
            f"{network.condition_channels}; use what the model tells it"
        )
    return Job(draw, lengths, inputs, condition, chunk)


def _check_condition(condition: Tensor, batch: int, channels: int, columns: int) -> None:
    shapes = {(batch, channels, 1), (batch, channels, columns)}
    if channels and tuple(condition.shape) not in shapes:
        raise ValueError(
            f"condition has shape {tuple(condition.shape)}, expected ({batch}, {channels}, 1) or ({batch}, "
            f"{channels}, {columns}): a row for each clip, a column for each sample, prompt included"
        )


def _check_prompts(prompts: Sequence[Tensor] | Tensor, batch: int, quantization_channels: int) -> None:
    kinds = {(prompt_T.dtype, prompt_T.ndim) for prompt_T in prompts}
    if len(prompts) != batch or any(ndim != 1 or dtype.is_floating_point for dtype, ndim in kinds):
        kinds_text = ", ".join(sorted(f"{dtype} of {ndim} dimensions" for dtype, ndim in kinds))
        raise ValueError(
            f"prompts are {len(prompts)} times {kinds_text}, expected {batch} times codes of shape (time,); encode the "
            "audio, and give one row for each clip"
        )
    for prompt_T in prompts:
        # Here and not only in the network: on an accelerator it would be too late for a message.
        if prompt_T.numel() and (prompt_T.min() < 0 or prompt_T.max() >= quantization_channels):
            raise ValueError(
                f"a prompt has codes from {int(prompt_T.min())} to {int(prompt_T.max())}, "
                f"expected 0 to {quantization_channels - 1}; encode it with the model's codec"
            )
