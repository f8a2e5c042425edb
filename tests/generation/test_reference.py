"""The reference engine draws what one full forward over the growing clip would draw."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from wavenet_pl.codec import LinearCodec
from wavenet_pl.errors import BadDataError
from wavenet_pl.generation.draw import Draw
from wavenet_pl.generation.job import build_job
from wavenet_pl.generation.reference import Reference
from wavenet_pl.heads import Head, LogisticsHead, SoftmaxHead
from wavenet_pl.network import NetworkConfig, WaveNet

CODES, SILENCE, CHANNELS = 16, 8, 3
HEAD, MANY = SoftmaxHead(CODES), LogisticsHead(4, 65_536)
HEADS = pytest.mark.parametrize("head", [HEAD, LogisticsHead(4, CODES), MANY], ids=str)
TINY = NetworkConfig(stacks=2, layers_per_stack=3, residual_channels=4, gate_channels=6, skip_channels=5)
WIDE_KERNEL = replace(TINY, stacks=1, kernel_size=3)
DRAWS = [Draw(temperature=0, clips=(0, 1)), Draw(temperature=0.8, top_p=0.9, seed=5, clips=(0, 1))]
NO_TOP_P = [DRAWS[0], replace(DRAWS[1], top_p=1)]


def codes_of(head: Head) -> int:
    return head.quantization_channels if isinstance(head, LogisticsHead) else head.num_parameters


def build(config: NetworkConfig = TINY, condition_channels: int = 0, head: Head = HEAD) -> WaveNet:
    """A float64 network whose predictions differ from sample to sample: the draws then show every error."""
    torch.manual_seed(0)
    network = WaveNet(
        config,
        quantization_channels=codes_of(head),
        decode=LinearCodec(codes_of(head)).decode,
        num_parameters=head.num_parameters,
        condition_channels=condition_channels,
    ).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.7)
    return network.eval()


def stream(
    network: WaveNet, head: Head, draw: Draw, num_samples: int, silence_code: int = SILENCE, **arguments: Any
) -> Iterator[Tensor]:
    job = build_job(network, head, draw, num_samples, silence_code=silence_code, **arguments)
    return Reference(network, head).stream(job)


def generate(
    network: WaveNet, draw: Draw, num_samples: int = 40, head: Head = HEAD, **arguments: Any
) -> Tensor:
    return torch.cat(list(stream(network, head, draw, num_samples, **arguments)), dim=1)


@torch.no_grad()
def generate_by_full_forwards(
    network: WaveNet,
    draw: Draw,
    num_samples: int = 40,
    prompts: Tensor | None = None,
    condition: Tensor | None = None,
    head: Head = HEAD,
) -> Tensor:
    """The slow way: for each new sample one forward over silence, prompt and all samples so far; no state."""
    batch = len(draw.clips)
    inputs_BT = torch.full((batch, 1), SILENCE)
    if prompts is not None:
        inputs_BT = torch.cat([inputs_BT, prompts], dim=1)
    known = inputs_BT.shape[1]
    uniforms_BN = torch.from_numpy(draw.uniforms(0, num_samples))
    for sample in range(num_samples):
        time = inputs_BT.shape[1]
        local = condition if condition is None or condition.shape[2] == 1 else condition[..., :time]
        outputs_BKT, _ = network(inputs_BT, local)
        codes_B = head.draw(outputs_BKT[..., -1], uniforms_BN[:, sample], draw.temperature, draw.top_p)
        inputs_BT = torch.cat([inputs_BT, codes_B[:, None]], dim=1)
    return inputs_BT[:, known:]


def random_prompt(time: int, batch: int = 2, head: Head = HEAD) -> Tensor:
    return torch.randint(codes_of(head), (batch, time), generator=torch.Generator().manual_seed(time))


@pytest.mark.parametrize("config", [TINY, WIDE_KERNEL], ids=["kernel 2", "kernel 3"])
@pytest.mark.parametrize("draw", DRAWS, ids=["greedy", "seeded"])
def test_state_passing_agrees_with_full_forwards(config: NetworkConfig, draw: Draw) -> None:
    network = build(config)
    clips = generate(network, draw)
    assert torch.equal(clips, generate_by_full_forwards(network, draw))
    if draw.temperature:
        assert clips.unique().numel() > 5  # or the test would prove nothing


@HEADS
@pytest.mark.parametrize("draw", NO_TOP_P, ids=["greedy", "seeded"])
@pytest.mark.parametrize("kind", ["none", "global", "local"])
def test_every_head_agrees_with_full_forwards(head: Head, draw: Draw, kind: str) -> None:
    network = build(condition_channels=0 if kind == "none" else CHANNELS, head=head)
    arguments: dict[str, Any] = {"head": head, "prompts": random_prompt(20, head=head)}
    if kind != "none":
        columns = 1 if kind == "global" else 60
        arguments["condition"] = torch.randn(2, CHANNELS, columns, dtype=torch.float64)
    clips = generate(network, draw, **arguments)
    assert torch.equal(clips, generate_by_full_forwards(network, draw, **arguments))
    if draw.temperature:
        assert clips.unique().numel() > 5  # or the test would prove nothing


@pytest.mark.parametrize("draw", DRAWS, ids=["greedy", "seeded"])
@pytest.mark.parametrize("extra", [-10, -2, -1, 0, 1, 2, 30])
def test_prompt_of_any_length_agrees_with_full_forwards(draw: Draw, extra: int) -> None:
    network, prompt_BT = build(), random_prompt(TINY.receptive_field + extra)
    clips = generate(network, draw, prompts=prompt_BT)
    assert torch.equal(clips, generate_by_full_forwards(network, draw, prompts=prompt_BT))


class RememberingHead(SoftmaxHead):
    """Keeps the outputs that the first sample is drawn from: draws alone would hide small differences."""

    first: Tensor | None = None

    def draw(self, outputs_BK: Tensor, *arguments: Any) -> Tensor:
        if self.first is None:
            object.__setattr__(self, "first", outputs_BK)
        return super().draw(outputs_BK, *arguments)


@pytest.mark.parametrize("config", [TINY, WIDE_KERNEL], ids=["kernel 2", "kernel 3"])
@pytest.mark.parametrize("extra", [-10, -2, -1, 0, 1, 2, 30])
@torch.no_grad()
def test_no_sample_of_a_prompt_is_lost(config: NetworkConfig, extra: int) -> None:
    network, head = build(config), RememberingHead(CODES)
    prompt_BT = random_prompt(config.receptive_field + extra)
    next(stream(network, head, DRAWS[0], 1, prompts=prompt_BT))
    whole_BKT, _ = network(torch.cat([torch.full((2, 1), SILENCE), prompt_BT], dim=1))
    assert head.first is not None
    torch.testing.assert_close(head.first, whole_BKT[..., -1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("length", [1, 7, 25])
@torch.no_grad()
def test_prompt_by_one_forward_is_the_prompt_sample_by_sample(length: int) -> None:
    network, prompt_BT = build(), random_prompt(length)
    inputs_BT = torch.cat([torch.full((2, 1), SILENCE), prompt_BT], dim=1)
    whole_BKT, whole_state = network(inputs_BT)
    state = None
    for sample in range(length + 1):
        outputs_BKT, state = network(inputs_BT[:, sample : sample + 1], None, state)
    torch.testing.assert_close(outputs_BKT[..., -1], whole_BKT[..., -1], rtol=0, atol=1e-12)
    for past, whole_past in zip(state, whole_state, strict=True):
        torch.testing.assert_close(past, whole_past, rtol=0, atol=1e-12)


def test_empty_prompt_is_no_prompt() -> None:
    network = build()
    assert torch.equal(generate(network, DRAWS[1], prompts=random_prompt(0)), generate(network, DRAWS[1]))


@pytest.mark.parametrize("prompt_length", [0, 5, 50])
@pytest.mark.parametrize("kind", ["global", "local"])
def test_condition_agrees_with_full_forwards(kind: str, prompt_length: int) -> None:
    network, prompt_BT = build(condition_channels=CHANNELS), random_prompt(prompt_length)
    columns = 1 if kind == "global" else prompt_length + 40
    condition = torch.randn(2, CHANNELS, columns, dtype=torch.float64)
    clips = generate(network, DRAWS[1], prompts=prompt_BT, condition=condition)
    expected = generate_by_full_forwards(network, DRAWS[1], prompts=prompt_BT, condition=condition)
    assert torch.equal(clips, expected)


def test_clips_do_not_depend_on_the_batch() -> None:
    network = build()
    together = generate(network, Draw(seed=1, clips=(0, 1, 2)))
    alone = [generate(network, Draw(seed=1, clips=(clip,))) for clip in (0, 1, 2)]
    assert torch.equal(together, torch.cat(alone))
    assert len({tuple(clip.tolist()) for clip in together}) == 3


@settings(max_examples=10)
@given(st.integers(1, 60))
def test_chunks_do_not_change_the_clip(chunk: int) -> None:
    network = build()
    pieces = list(stream(network, HEAD, DRAWS[1], 40, chunk=chunk))
    assert [piece.shape[1] for piece in pieces[:-1]] == [chunk] * (len(pieces) - 1)
    assert 0 < pieces[-1].shape[1] <= chunk
    assert torch.equal(torch.cat(pieces, dim=1), generate(network, DRAWS[1]))


def test_longer_clip_begins_with_the_shorter_one() -> None:
    network = build()
    assert torch.equal(generate(network, DRAWS[1], 60)[:, :40], generate(network, DRAWS[1], 40))


def test_codes_are_integers_that_training_can_use() -> None:
    network = build()
    clips = generate(network, DRAWS[1])
    assert clips.dtype == torch.int64
    network(clips)[0].sum().backward()  # a tensor of inference mode would be refused


@pytest.mark.parametrize("training", [True, False])
def test_network_runs_in_eval_mode_and_gets_its_own_back(training: bool) -> None:
    network = build(replace(TINY, dropout=0.5))
    expected = generate(network, DRAWS[1])
    network.train(training)
    pieces: Iterator[Tensor] = stream(network, HEAD, DRAWS[1], 40, chunk=20)
    first = next(pieces)
    assert all(module.training is training for module in network.modules())
    assert not torch.is_inference_mode_enabled()
    assert torch.equal(torch.cat([first, *pieces], dim=1), expected)


@pytest.mark.parametrize("draw", DRAWS, ids=["greedy", "seeded"])
def test_damaged_weights_stop_the_generation(draw: Draw) -> None:
    network = build()
    with torch.no_grad():
        network.hidden.weight[0, 0] = float("nan")
    with pytest.raises(BadDataError, match=r"outputs are not finite .* use an earlier checkpoint"):
        generate(network, draw)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_samples": 0}, "num_samples is 0, expected 1 or more"),
        ({"chunk": 0}, "chunk is 0, expected 1 or more"),
        (
            {"prompts": torch.zeros(3, 5, dtype=torch.int64)},
            r"prompts are 3 times torch.int64 of 1 dimensions, expected 2 times codes",
        ),
        (
            {"prompts": torch.zeros(5, dtype=torch.int64)},
            r"prompts are 5 times torch.int64 of 0 dim.* expected 2 times codes of shape",
        ),
        ({"prompts": torch.zeros(2, 5)}, r"prompts are 2 times torch.float32 .*; encode the audio"),
        (
            {"prompts": torch.full((2, 5), CODES)},
            "a prompt has codes from 16 to 16, expected 0 to 15; encode it",
        ),
        (
            {"condition": torch.zeros(2, CHANNELS, 39)},
            r"condition has shape .* expected \(2, 3, 1\) or \(2, 3, 40\)",
        ),
        ({"condition": torch.zeros(1, CHANNELS, 1)}, r"condition has shape .*: a row for each clip"),
    ],
)
def test_mistakes_raise_before_anything_is_generated(arguments: dict, message: str) -> None:
    network = build(condition_channels=CHANNELS if "condition" in arguments else 0)
    with pytest.raises(ValueError, match=message):
        stream(network, HEAD, DRAWS[1], **{"num_samples": 40, **arguments})


def test_what_a_head_cannot_draw_with_raises_before_anything_is_generated() -> None:
    with pytest.raises(ValueError, match="top_p is 0.9, expected 1, as the head is a mixture of logistics"):
        stream(build(head=MANY), MANY, DRAWS[1], 40, silence_code=32_768)
