"""Clips of any lengths, prompts and conditions in one batch are what each of them is alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.generation.test_reference import CHANNELS, HEAD, SILENCE, TINY, build, random_prompt
from wavenet_pl.generation.draw import Draw
from wavenet_pl.generation.engines import stream
from wavenet_pl.generation.job import build_job
from wavenet_pl.generation.reference import Reference

LENGTHS, CLIPS = [7, 40, 1, 23], (0, 1, 2, 3)
PROMPTS = [0, 50, 3, TINY.receptive_field]


def generate(lengths: Any, draw: Draw, **arguments: Any) -> Tensor:
    network = build(condition_channels=CHANNELS if "condition" in arguments else 0)
    job = build_job(network, HEAD, draw, lengths, silence_code=SILENCE, **arguments)
    return torch.cat(list(stream(Reference(network, HEAD), network, job)), dim=1)


@pytest.mark.parametrize("chunk", [1, 6, 100])
@pytest.mark.parametrize("told", [False, True], ids=["told nothing", "local condition"])
def test_a_clip_of_a_mixed_batch_is_the_clip_alone(chunk: int, told: bool) -> None:
    prompts = [random_prompt(length, 1)[0] for length in PROMPTS]
    columns = max(prompt + new for prompt, new in zip(PROMPTS, LENGTHS, strict=True))
    generator = torch.Generator().manual_seed(0)
    condition = torch.randn(4, CHANNELS, columns, dtype=torch.float64, generator=generator)
    together = generate(
        LENGTHS, Draw(seed=2, clips=CLIPS), prompts=prompts, chunk=chunk,
        **({"condition": condition} if told else {}),
    )  # fmt: skip
    assert together.shape == (4, 40)
    for clip, (prompt, length) in enumerate(zip(PROMPTS, LENGTHS, strict=True)):
        own = {"condition": condition[clip : clip + 1, :, : prompt + length]} if told else {}
        alone = generate(length, Draw(seed=2, clips=(clip,)), prompts=prompts[clip : clip + 1], **own)
        assert torch.equal(together[clip, :length], alone[0])
        assert (together[clip, length:] == SILENCE).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lengths": [1, 2, 3]}, "num_samples has 3 numbers, expected 4: one for each clip"),
        ({"lengths": [1, 2, 0, 3]}, "num_samples is 0, expected 1 or more"),
        ({"condition": None}, "condition is missing, expected one: the network has condition_channels 3"),
        ({"condition": torch.zeros(4, CHANNELS, 41)}, r"expected \(4, 3, 1\) or \(4, 3, 40\)"),
    ],
)
def test_mistakes_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        generate(**{"lengths": LENGTHS, "draw": Draw(clips=CLIPS), **arguments})


def test_a_condition_that_nobody_reads_is_refused() -> None:
    with pytest.raises(ValueError, match="condition is given, expected none"):
        build_job(build(), HEAD, Draw(), 1, silence_code=SILENCE, condition=torch.zeros(1, 3, 1))
