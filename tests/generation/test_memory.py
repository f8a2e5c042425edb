"""A batch that has no room is refused before it is begun."""

from __future__ import annotations

import pytest
import torch

from tests.generation.test_reference import HEAD, SILENCE, TINY, build
from wavenet_pl.errors import UserError
from wavenet_pl.generation.draw import Draw
from wavenet_pl.generation.engines import stream
from wavenet_pl.generation.job import build_job
from wavenet_pl.generation.memory import bytes_of_clip, free_bytes
from wavenet_pl.generation.reference import Reference
from wavenet_pl.network import NetworkConfig


def test_too_many_clips_are_refused_and_how_many_fit_is_said() -> None:
    far = NetworkConfig(
        stacks=1, layers_per_stack=24, residual_channels=64, gate_channels=2, skip_channels=1, dropout=0.0
    )
    network = build(far)  # 2 ** 24 samples of 64 channels are past of each clip
    draw = Draw(clips=tuple(range(1_000)))
    job = build_job(network, HEAD, draw, 1, silence_code=SILENCE)
    with pytest.raises(
        UserError, match=r"1000 clips at a time take about .* GB of memory, and .* GB are free; make"
    ):
        stream(Reference(network, HEAD), network, job)


def test_the_state_is_counted_at_least_once() -> None:
    network = build(TINY)
    _, state = network(torch.zeros(1, 1, dtype=torch.int64))
    held = sum(past.numel() * past.element_size() for past in state)
    assert held <= bytes_of_clip(network, 1) <= 20 * held
    free = free_bytes(torch.device("cpu"))
    assert free is None or 2**20 < free < 2**50
