"""The fused engine's outputs are the network's, and a clip is the same bit for bit wherever it is made."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.generation.test_reference import CHANNELS, CODES, HEAD, MANY, SILENCE, TINY, build, codes_of
from wavenet_pl.errors import BadDataError
from wavenet_pl.generation.draw import Draw
from wavenet_pl.generation.fused_cpu.engine import FusedCPU
from wavenet_pl.generation.job import build_job
from wavenet_pl.heads import Head, LogisticsHead, SoftmaxHead
from wavenet_pl.network import NetworkConfig, WaveNet

HEADS: list[Head] = [HEAD, SoftmaxHead(256), LogisticsHead(4, CODES), MANY]


@st.composite
def configs(draw: st.DrawFn) -> NetworkConfig:
    return NetworkConfig(
        stacks=draw(st.integers(1, 2)),
        layers_per_stack=draw(st.integers(1, 4)),
        kernel_size=draw(st.integers(2, 3)),
        residual_channels=draw(st.integers(1, 40)),
        gate_channels=2 * draw(st.integers(1, 40)),
        skip_channels=draw(st.integers(1, 70)),
        bias=draw(st.booleans()),
        residual_scale=draw(st.sampled_from([1.0, 0.7])),
        skip_scale=draw(st.sampled_from([1.0, 0.5])),
    )


def tamed(network: WaveNet) -> WaveNet:
    """Outputs of about 1: weights of wide layers are smaller."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.div_(max(parameter[0].numel(), 1) ** 0.5)
    return network.float()


def stream(
    engine: FusedCPU, draw: Draw, num_samples: int | list[int] = 40, **arguments: Any
) -> Iterator[Tensor]:
    silence = codes_of(engine.head) // 2
    return engine.stream(
        build_job(engine.network, engine.head, draw, num_samples, silence_code=silence, **arguments)
    )


def generate(engine: FusedCPU, draw: Draw, num_samples: int | list[int] = 40, **arguments: Any) -> Tensor:
    return torch.cat(list(stream(engine, draw, num_samples, **arguments)), dim=1)


@settings(max_examples=15, deadline=None)
@given(configs(), st.sampled_from(HEADS), st.sampled_from(["none", "global", "local"]), st.integers(1, 9))
@torch.no_grad()
def test_outputs_are_the_networks(config: NetworkConfig, head: Head, kind: str, batch: int) -> None:
    network = tamed(build(config, 0 if kind == "none" else CHANNELS, head))
    codes_BT = torch.randint(codes_of(head), (batch, 37))
    columns = {"none": 0, "global": 1, "local": 37}[kind]
    condition = torch.randn(batch, CHANNELS, columns) if columns else None
    outputs_BKT = FusedCPU(network, head, threads=2).predict(codes_BT, condition)
    exact_BKT, _ = network.double()(codes_BT, None if condition is None else condition.double())
    torch.testing.assert_close(outputs_BKT.double(), exact_BKT, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_eight_bits_are_near() -> None:
    network = tamed(build(NetworkConfig(stacks=1, layers_per_stack=4), head=SoftmaxHead(256)))
    codes_BT = torch.randint(256, (2, 60))
    exact, coarse = (
        FusedCPU(network, SoftmaxHead(256), weights=weights).predict(codes_BT) for weights in ("float32", "int8")
    )  # fmt: skip
    assert 0 < (exact - coarse).abs().max() < 0.02 * exact.abs().max()


@pytest.mark.slow  # one more number format is one more loop to compile
@torch.no_grad()
def test_bf16_is_float32_with_rounded_weights() -> None:
    network = tamed(build(NetworkConfig(stacks=1, layers_per_stack=4), CHANNELS, SoftmaxHead(256)))
    codes_BT, condition = torch.randint(256, (2, 60)), torch.randn(2, CHANNELS, 60)
    rounded = copy.deepcopy(network)
    for name, module in rounded.named_modules():
        if name.endswith((".dilated", ".residual", ".skip")) or name in ("hidden", "output"):
            module.weight.copy_(module.weight.bfloat16())
    half = FusedCPU(network, SoftmaxHead(256), weights="bf16").predict(codes_BT, condition)
    assert torch.equal(half, FusedCPU(rounded, SoftmaxHead(256)).predict(codes_BT, condition))
    assert not torch.equal(half, FusedCPU(network, SoftmaxHead(256)).predict(codes_BT, condition))


@pytest.mark.parametrize("weights", ["float32", "int8"])
@pytest.mark.parametrize("kind", ["none", "local"])
def test_a_clip_is_the_same_whatever_the_batch_the_chunk_and_the_threads(weights: str, kind: str) -> None:
    network = tamed(build(replace(TINY, kernel_size=3), 0 if kind == "none" else CHANNELS))
    clips = tuple(range(7))
    condition = torch.randn(7, CHANNELS, 49) if kind == "local" else None
    prompts = [torch.randint(CODES, (9,)) for _ in clips]
    whole = generate(
        FusedCPU(network, HEAD, weights=weights, threads=1),
        Draw(clips=clips), prompts=prompts, condition=condition,
    )  # fmt: skip
    parted = generate(
        FusedCPU(network, HEAD, weights=weights, threads=3),
        Draw(clips=clips), prompts=prompts, condition=condition, chunk=7,
    )  # fmt: skip
    assert torch.equal(whole, parted)
    alone = [
        generate(
            FusedCPU(network, HEAD, weights=weights), Draw(clips=(clip,)), prompts=[prompts[clip]],
            condition=None if condition is None else condition[clip : clip + 1],
        )
        for clip in clips
    ]  # fmt: skip
    assert torch.equal(whole, torch.cat(alone))
    assert len({tuple(clip.tolist()) for clip in whole}) == 7


def test_threads_are_free_for_clips_that_go_on() -> None:
    engine = FusedCPU(tamed(build()), HEAD, threads=2)
    long, mixed = generate(engine, Draw(clips=(0, 1))), generate(engine, Draw(clips=(0, 1)), [3, 40], chunk=5)
    assert torch.equal(long[1], mixed[1]) and torch.equal(long[0, :3], mixed[0, :3])


@pytest.mark.parametrize("top_p", [0.05, 0.5, 0.9])
@torch.no_grad()
def test_the_rest_beyond_top_p_is_never_drawn(top_p: float) -> None:
    head, network = SoftmaxHead(256), tamed(build(head=SoftmaxHead(256)))
    draw = Draw(clips=tuple(range(20)), top_p=top_p, temperature=0.9)
    codes_BN = generate(FusedCPU(network, head), draw, 30)
    outputs_BKT, _ = network.double()(torch.cat([torch.full((20, 1), 128), codes_BN[:, :-1]], dim=1))
    uniforms_BN = torch.from_numpy(draw.uniforms(0, 30))
    expected = [head.draw(outputs_BKT[..., n], uniforms_BN[:, n], 0.9, top_p) for n in range(30)]
    assert (torch.stack(expected, dim=1) == codes_BN).float().mean() > 0.995  # what is not was nearly a tie


@pytest.mark.parametrize("head", [HEAD, LogisticsHead(4, CODES), MANY], ids=str)
@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("weights", ["float32", "int8"])
def test_damaged_weights_stop_the_generation(head: Head, temperature: float, weights: str) -> None:
    network = build(head=head).float()
    with torch.no_grad():
        network.hidden.weight[0, 0] = float("nan")
    with pytest.raises(BadDataError, match=r"outputs are not finite .* use an earlier checkpoint"):
        generate(FusedCPU(network, head, weights=weights), Draw(temperature=temperature))


@pytest.mark.parametrize("weights", ["float32", "int8"])
@torch.no_grad()
def test_refreshed_weights_are_the_networks(weights: str) -> None:
    network = tamed(build(condition_channels=CHANNELS))
    engine, condition = FusedCPU(network, HEAD, weights=weights), torch.randn(1, CHANNELS, 1)
    for parameter in network.parameters():
        parameter.add_(torch.randn_like(parameter) / 10)
    codes_BT = torch.arange(16)[None]
    anew = FusedCPU(network, HEAD, weights=weights).predict(codes_BT, condition)
    assert not torch.equal(engine.predict(codes_BT, condition), anew)
    engine.refresh()
    assert torch.equal(engine.predict(codes_BT, condition), anew)


def test_a_stream_may_be_left() -> None:
    engine = FusedCPU(tamed(build()), HEAD, threads=2)
    pieces = stream(engine, Draw(clips=(0, 1)), chunk=10)
    first = next(pieces)
    pieces.close()  # type: ignore[attr-defined]
    assert torch.equal(first, generate(engine, Draw(clips=(0, 1)))[:, :10])


@pytest.mark.parametrize("training", [True, False])
def test_the_network_is_left_as_it_is(training: bool) -> None:
    network = tamed(build(replace(TINY, dropout=0.5))).train(training)
    generate(FusedCPU(network, HEAD), Draw(), prompts=[torch.full((5,), SILENCE)])
    assert all(module.training is training for module in network.modules())
