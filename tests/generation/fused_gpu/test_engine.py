"""The fused GPU engine by its step in plain torch: what it hands out, what it leaves alone, what stops it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.generation.fused_cpu.test_engine import tamed
from tests.generation.test_reference import CHANNELS, CODES, HEAD, MANY, SILENCE, TINY, build, codes_of
from wavenet_pl.errors import BadDataError
from wavenet_pl.generation.draw import Draw
from wavenet_pl.generation.fused_gpu import buffers
from wavenet_pl.generation.fused_gpu.engine import FusedGpu
from wavenet_pl.generation.job import build_job
from wavenet_pl.heads import Head, LogisticsHead


def stream(
    engine: FusedGpu, draw: Draw, num_samples: int | list[int] = 40, **arguments: Any
) -> Iterator[Tensor]:
    silence = codes_of(engine.head) // 2
    return engine.stream(
        build_job(engine.network, engine.head, draw, num_samples, silence_code=silence, **arguments)
    )


def generate(engine: FusedGpu, draw: Draw, num_samples: int | list[int] = 40, **arguments: Any) -> Tensor:
    return torch.cat(list(stream(engine, draw, num_samples, **arguments)), dim=1)


@pytest.mark.parametrize("kind", ["none", "global", "local"])
@pytest.mark.parametrize("kernel_size", [2, 3])
@torch.no_grad()
def test_outputs_are_the_networks(kind: str, kernel_size: int) -> None:
    network = tamed(build(replace(TINY, kernel_size=kernel_size), 0 if kind == "none" else CHANNELS))
    prompts, clips = torch.randint(CODES, (3, 30)), tuple(range(3))
    columns = {"none": 0, "global": 1, "local": 70}[kind]
    condition = torch.randn(3, CHANNELS, columns) if columns else None
    engine = FusedGpu(network, HEAD)
    codes_BN = generate(engine, Draw(clips=clips), prompts=prompts, condition=condition)
    inputs_BT = torch.cat([torch.full((3, 1), SILENCE), prompts, codes_BN[:, :-1]], dim=1)
    if condition is not None:
        condition = condition.double()
    exact_BKT, _ = network.double()(inputs_BT, condition)
    assert engine.last_outputs is not None
    torch.testing.assert_close(engine.last_outputs.double(), exact_BKT[..., -1], rtol=1e-5, atol=1e-5)


def test_a_chunk_whose_condition_has_no_room_is_made_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    network, condition = tamed(build(condition_channels=CHANNELS)), torch.randn(2, CHANNELS, 40)
    whole = generate(FusedGpu(network, HEAD), Draw(clips=(0, 1)), condition=condition)
    monkeypatch.setattr(buffers, "_LARGEST", 7 * 2 * TINY.num_layers * TINY.gate_channels)
    assert buffers.stretch(network, 2, 200) == 7
    assert torch.equal(whole, generate(FusedGpu(network, HEAD), Draw(clips=(0, 1)), condition=condition))


def test_streams_of_one_engine_do_not_disturb_each_other() -> None:
    engine = FusedGpu(tamed(build()), HEAD)
    alone = [generate(engine, Draw(seed=seed), chunk=10) for seed in (1, 2)]
    pieces = zip(*(stream(engine, Draw(seed=seed), chunk=10) for seed in (1, 2)), strict=True)
    for clip, made in zip(alone, zip(*pieces, strict=True), strict=True):
        assert torch.equal(clip, torch.cat(made, dim=1))
    assert not torch.equal(*alone)


def test_a_stream_may_be_left() -> None:
    engine = FusedGpu(tamed(build()), HEAD)
    pieces = stream(engine, Draw(clips=(0, 1)), chunk=10)
    first = next(pieces)
    pieces.close()  # type: ignore[attr-defined]
    assert torch.equal(first, generate(engine, Draw(clips=(0, 1)))[:, :10])


def test_clips_of_other_lengths_change_none() -> None:
    engine = FusedGpu(tamed(build()), HEAD)
    long, mixed = generate(engine, Draw(clips=(0, 1))), generate(engine, Draw(clips=(0, 1)), [3, 40], chunk=5)
    assert torch.equal(long[1], mixed[1]) and torch.equal(long[0, :3], mixed[0, :3])


@torch.no_grad()
def test_bf16_is_float32_with_rounded_weights() -> None:
    network = tamed(build(condition_channels=CHANNELS))
    rounded, condition = copy.deepcopy(network), torch.randn(1, CHANNELS, 1)
    for name, module in rounded.named_modules():
        if name.endswith((".dilated", ".residual", ".skip")) or name in ("hidden", "output"):
            module.weight.copy_(module.weight.bfloat16())
    engines = FusedGpu(network, HEAD, weights="bf16"), FusedGpu(rounded, HEAD), FusedGpu(network, HEAD)
    half, expected, exact = (
        (generate(each, Draw(), condition=condition), each.last_outputs) for each in engines
    )
    assert torch.equal(half[0], expected[0]) and torch.equal(half[1], expected[1])
    assert not torch.equal(half[1], exact[1])


@pytest.mark.parametrize("head", [HEAD, LogisticsHead(4, CODES), MANY], ids=str)
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_damaged_weights_stop_the_generation(head: Head, temperature: float) -> None:
    network = build(head=head).float()
    with torch.no_grad():
        network.hidden.weight[0, 0] = float("nan")
    with pytest.raises(BadDataError, match=r"outputs are not finite .* use an earlier checkpoint"):
        generate(FusedGpu(network, head), Draw(temperature=temperature))


@pytest.mark.parametrize("training", [True, False])
def test_the_network_and_the_settings_of_torch_are_left_as_they_are(training: bool) -> None:
    network = tamed(build(replace(TINY, dropout=0.5))).train(training)
    torch.set_float32_matmul_precision("high")
    try:
        pieces = stream(FusedGpu(network, HEAD), Draw(), prompts=[torch.full((5,), SILENCE)], chunk=20)
        codes = [next(pieces)]
        assert torch.get_float32_matmul_precision() == "high" and torch.is_grad_enabled()
        codes += pieces
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert all(module.training is training for module in network.modules())
    network(torch.cat(codes, dim=1))[0].sum().backward()  # tensors of inference mode would be refused
