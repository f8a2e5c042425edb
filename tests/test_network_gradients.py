"""Gradients of the network are those that autograd finds for another formula of it."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.reference_network import reference_nats, reference_outputs
from tests.shards.made import write_shard_set
from tests.small import small_config
from tests.test_gradients import train
from wavenet_pl.codec import LinearCodec
from wavenet_pl.data.datamodule import AudioDataModule
from wavenet_pl.heads import Head, LogisticsHead, SoftmaxHead
from wavenet_pl.layers import fused
from wavenet_pl.layers.convolution import product_over_rows
from wavenet_pl.model import Model
from wavenet_pl.network import NetworkConfig, WaveNet

CHANNELS, COLUMNS = 3, 60
CONFIGS = st.builds(
    NetworkConfig,
    stacks=st.integers(1, 3),
    layers_per_stack=st.integers(1, 4),
    kernel_size=st.integers(2, 3),
    residual_channels=st.integers(1, 6),
    gate_channels=st.integers(1, 4).map(lambda half: 2 * half),
    skip_channels=st.integers(4, 9),
    bias=st.booleans(),
    residual_scale=st.sampled_from([1.0, math.sqrt(0.5)]),
    skip_scale=st.sampled_from([1.0, 0.3]),
)
WORST = {torch.float64: 1e-9, torch.float32: 1e-4}
"""Largest difference, as a share of the largest gradient of the same tensor."""


def build(config: NetworkConfig, head: Head, codes: int, channels: int, dtype: torch.dtype) -> WaveNet:
    torch.manual_seed(0)
    network = WaveNet(
        config, quantization_channels=codes, decode=LinearCodec(codes).decode, num_parameters=head.num_parameters,
        condition_channels=channels,
    )  # fmt: skip
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.5)
    return network.to(dtype)


def assert_same(found: list[Any], expected: list[Any], dtype: torch.dtype) -> None:
    for one, other in zip(found, expected, strict=True):
        size = other.abs().max().clamp(min=1e-30)
        assert float((one - other).abs().max() / size) < WORST[dtype]


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("num_rows", [1, 2, 3, 100, 101])
def test_gradient_of_a_matrix_is_that_of_all_its_rows_however_threads_share_them(
    threads: int, num_rows: int
) -> None:
    d_ND, read_NC = torch.randn(2, num_rows, 4, dtype=torch.float64).unbind()
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        product_DC = product_over_rows(d_ND, read_NC)
    finally:
        torch.set_num_threads(before)
    expected_DC = (d_ND[:, :, None] * read_NC[:, None]).sum(0)
    torch.testing.assert_close(product_DC, expected_DC, rtol=1e-12, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(
    config=CONFIGS,
    head=st.sampled_from([SoftmaxHead(16), LogisticsHead(2, 16), LogisticsHead(2, 65_536)]),
    kind=st.sampled_from(["none", "global", "local"]),
    dtype=st.sampled_from([torch.float64, torch.float32]),
    last=st.integers(1, COLUMNS),
    begins=st.lists(st.integers(0, COLUMNS - 1), min_size=3, max_size=3),
    recompute=st.booleans(),
)
def test_gradients_are_those_of_another_formula(
    config: NetworkConfig,
    head: Any,
    kind: str,
    dtype: torch.dtype,
    last: int,
    begins: list[int],
    recompute: bool,
) -> None:
    codes, channels = head.quantization_channels, 0 if kind == "none" else CHANNELS
    network = build(config, head, codes, channels, dtype)
    network.recompute = recompute
    generator = torch.Generator().manual_seed(1)
    codes_BT = torch.randint(codes, (3, COLUMNS + 1), generator=generator)
    condition = None
    if channels:
        columns = COLUMNS if kind == "local" else 1
        condition = torch.randn(3, channels, columns, generator=generator, dtype=dtype).requires_grad_()
    leaves = [*network.parameters(), *([] if condition is None else [condition])]

    outputs_BKU, _ = network(codes_BT[:, :-1], condition, last=last, begins_B=torch.tensor(begins))
    counted = [min(last, COLUMNS - begin) for begin in begins]
    ago_U = torch.arange(last, 0, -1)
    counts_BU = ago_U <= torch.tensor(counted)[:, None]
    nats_BU = head.nats(outputs_BKU, codes_BT[:, -last:])
    found = torch.autograd.grad(nats_BU.where(counts_BU, 0.0).sum(), leaves)

    total = torch.zeros((), dtype=dtype)
    for row, (begin, count) in enumerate(zip(begins, counted, strict=True)):
        own: Tensor | None = None if condition is None else condition[row : row + 1]
        if own is not None and kind == "local":
            own = own[:, :, begin:]
        outputs_1KT = reference_outputs(network, codes_BT[row : row + 1, begin:-1], own)
        total = total + head.nats(outputs_1KT, codes_BT[row : row + 1, begin + 1 :])[:, -count:].sum()
    assert_same(list(found), list(torch.autograd.grad(total, leaves)), dtype)


@settings(max_examples=20, deadline=None)
@given(
    config=CONFIGS,
    kind=st.sampled_from(["none", "global", "local"]),
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=3),
    begins=st.lists(st.integers(0, 20), min_size=2, max_size=2),
    last=st.integers(1, 30),
)
def test_a_network_with_hooks_computes_the_same(
    config: NetworkConfig, kind: str, sizes: list[int], begins: list[int], last: int
) -> None:
    """Its layers go step by step, each part by its own module, so that hooks are called."""
    channels = 0 if kind == "none" else CHANNELS
    plain, hooked = (build(config, SoftmaxHead(16), 16, channels, torch.float64) for _ in range(2))
    calls: list[str] = []
    for name, module in hooked.layers.named_modules():
        if isinstance(module, torch.nn.Conv1d):
            module.register_forward_hook(lambda *_, name=name: calls.append(name))
    states: list[Any] = [None, None]
    for number, size in enumerate(sizes):
        codes_BT = torch.randint(16, (2, size), generator=torch.Generator().manual_seed(number))
        condition = torch.ones(2, CHANNELS, size if kind == "local" else 1).double() if channels else None
        begins_B = torch.tensor(begins).clamp(max=size - 1) if not number else None
        outputs, gradients = [], []
        for place, network in enumerate((plain, hooked)):
            made, states[place] = network(
                codes_BT, condition, states[place], last=min(last, size), begins_B=begins_B
            )
            outputs.append(made)
            gradients.append(list(torch.autograd.grad(made.square().sum(), list(network.parameters()))))
        torch.testing.assert_close(*outputs, rtol=1e-10, atol=1e-10)
        assert_same(gradients[0], gradients[1], torch.float64)
        for one, other in zip(*states, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)
    assert len(set(calls)) == len(calls) / len(sizes), "each once in every call"
    assert set(calls) == {
        name for name, each in hooked.layers.named_modules() if isinstance(each, torch.nn.Conv1d)
    }


@pytest.mark.parametrize("recompute", [False, True])
def test_no_two_gradients_share_memory(recompute: bool) -> None:
    """They are accumulated and clipped in place."""
    network = build(NetworkConfig(stacks=2, layers_per_stack=3), SoftmaxHead(16), 16, CHANNELS, torch.float32)
    network.recompute = recompute
    codes_BT = torch.randint(16, (2, 50), generator=torch.Generator().manual_seed(1))
    network(codes_BT, torch.ones(2, CHANNELS, 1), last=20)[0].square().sum().backward()
    memory = [
        parameter.grad.untyped_storage().data_ptr()
        for parameter in network.parameters()
        if parameter.grad is not None
    ]
    assert len(memory) == len(list(network.parameters())) == len(set(memory))


def test_what_is_recomputed_is_what_was_kept() -> None:
    network = build(
        NetworkConfig(stacks=2, layers_per_stack=3, residual_channels=8),
        SoftmaxHead(16),
        16,
        0,
        torch.float32,
    )
    codes_BT = torch.randint(16, (2, 50), generator=torch.Generator().manual_seed(1))
    gradients = []
    for network.recompute in (False, True):
        outputs, _ = network(codes_BT, last=20)
        gradients.append(torch.autograd.grad(outputs.square().sum(), list(network.parameters())))
    assert all(torch.equal(kept, again) for kept, again in zip(*gradients, strict=True))


@pytest.mark.slow  # the compiler takes seconds to load
@pytest.mark.filterwarnings("default")  # it hides those of its own parts by itself
@pytest.mark.parametrize("columns", [pytest.param(1, marks=pytest.mark.soak), 1100])
def test_one_compiled_layer_stands_for_all(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its dilation and its columns; but for a dilation of 1, and for the last layer, which has no residual."""
    from torch._dynamo.testing import CompileCounterWithBackend

    counter = CompileCounterWithBackend("aot_eager")
    monkeypatch.setattr(fused, "compiled_layer", partial(fused.compiled_layer, counter))
    torch.compiler.reset()
    config = NetworkConfig(
        stacks=2, layers_per_stack=9, residual_channels=4, gate_channels=8, skip_channels=6
    )
    network = build(config, SoftmaxHead(16), 16, CHANNELS, torch.float32)
    codes_BT = torch.randint(16, (2, 1100), generator=torch.Generator().manual_seed(1))
    condition, begins_B = torch.randn(2, CHANNELS, columns), torch.tensor([0, 7])
    gradients = []
    for network.compiled in (False, True):
        for last in (40, 50):
            outputs, _ = network(codes_BT, condition, last=last, begins_B=begins_B)
        gradients.append(list(torch.autograd.grad(outputs.square().sum(), list(network.parameters()))))
    assert_same(gradients[1], gradients[0], torch.float32)
    assert counter.frame_count == 3
    with torch.no_grad():  # as a validation and clips go
        network(codes_BT[:, :9], condition[:, :, :9])
    assert counter.frame_count == 3


@pytest.mark.slow
@pytest.mark.parametrize("setting", [(1, ()), (1, ("trainer.accumulate_grad_batches=2",)), (2, ())])
def test_a_step_has_the_gradients_of_another_formula(
    tmp_path: Path, setting: tuple[int, tuple[str, ...]]
) -> None:
    """Of crops at the beginning of their recordings and of others, on one rank and on two."""
    devices, settings_ = setting
    data = write_shard_set(tmp_path / "set", train=4, frames=2_500)
    size = "data.batch_size=12"  # all crops of the set
    trained = train(tmp_path, "found", data, devices, "64-true", size, *settings_, steps=1)
    config = small_config(data, size)
    torch.manual_seed(0)
    model = Model(config, sample_rate=8_000)
    batch = next(iter(AudioDataModule.from_config(config).train_dataloader()))
    assert (batch["begin"] > 0).any(), "no crop is at a recording's beginning"
    assert (batch["begin"] == 0).any(), "all crops are"
    loss = reference_nats(model.double(), batch) / batch["predictions"]
    names = [name for name, _ in model.named_parameters()]
    expected = dict(zip(names, torch.autograd.grad(loss, list(model.parameters())), strict=True))
    found = {name.removeprefix("model."): gradient for name, gradient in trained[0]["gradients"].items()}
    assert found.keys() == expected.keys()
    assert_same([found[name] for name in names], [expected[name] for name in names], torch.float64)
