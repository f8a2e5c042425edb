"""The network sees the whole receptive field, nothing of the future, and does not mind how time is cut."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from wavenet_pl.codec import LinearCodec
from wavenet_pl.heads import Head, LogisticsHead, SoftmaxHead
from wavenet_pl.layers.convolution import CausalConv1d
from wavenet_pl.layers.residual import ResidualLayer
from wavenet_pl.network import NetworkConfig, State, WaveNet

CODES, MANY, CHANNELS = 16, 65_536, 3
INPUTS = pytest.mark.parametrize("codes", [CODES, MANY], ids=["embedding", "amplitude"])
TINY = NetworkConfig(stacks=2, layers_per_stack=3, residual_channels=4, gate_channels=6, skip_channels=5)


def build(
    config: NetworkConfig = TINY, condition_channels: int = 0, seed: int = 0, codes: int = CODES
) -> WaveNet:
    """A float64 network with weights and biases far from their quiet start, so that errors show."""
    torch.manual_seed(seed)
    network = WaveNet(
        config,
        quantization_channels=codes,
        decode=LinearCodec(codes).decode,
        num_parameters=CODES,
        condition_channels=condition_channels,
    ).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.7)
    return network.eval()


def random_codes(batch: int = 2, time: int = 40, codes: int = CODES) -> Tensor:
    return torch.randint(codes, (batch, time), generator=torch.Generator().manual_seed(1))


def random_condition(batch: int = 2, time: int = 40) -> Tensor:
    return torch.randn(batch, CHANNELS, time, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def random_configs(count: int) -> list[NetworkConfig]:
    draw = random.Random(0)
    return [
        NetworkConfig(
            stacks=draw.randint(1, 3),
            layers_per_stack=draw.randint(1, 4),
            kernel_size=draw.randint(2, 3),
            residual_channels=draw.randint(1, 5),
            gate_channels=2 * draw.randint(1, 4),
            skip_channels=draw.randint(12, 16),  # with few, the ReLUs may all be off at one sample
            bias=draw.random() < 0.5,
            residual_scale=draw.choice([1.0, math.sqrt(0.5)]),
            skip_scale=draw.choice([1.0, 0.3]),
            dropout=draw.choice([0.0, 0.2]),
        )
        for _ in range(count)
    ]


def time_first(x_BCT: Tensor) -> Tensor:
    """As layers have it."""
    return x_BCT.permute(2, 0, 1).contiguous()


def time_last(x_TBC: Tensor) -> Tensor:
    """As everybody else has it."""
    return x_TBC.permute(1, 2, 0)


def by_itself(module: Any, x_BCT: Tensor) -> Tensor:
    """What a module of the network makes of some columns."""
    return time_last(module(time_first(x_BCT)))


def input_gradient(network: WaveNet, codes_BT: Tensor, t: int) -> Tensor:
    """How strongly outputs[..., t] depend on each input sample (T,)."""
    entered: list[Tensor] = []

    def keep(module: Any, inputs: tuple[Tensor, ...]) -> None:
        x_TBC = inputs[0]
        if not x_TBC.requires_grad:  # amplitudes have no weights before them
            x_TBC.requires_grad_()
        x_TBC.retain_grad()
        entered.append(x_TBC)

    with network.first.register_forward_pre_hook(keep):
        outputs_BKT, _ = network(codes_BT)
    # Not the plain sum: a softmax head would not see a change that is the same for all codes.
    outputs_BKT[:, :, t].square().sum().backward()
    assert entered[0].grad is not None
    return entered[0].grad.abs().sum(dim=(1, 2))


# --- one convolution ---


@pytest.mark.parametrize(("kernel_size", "dilation"), [(2, 1), (2, 4), (3, 1), (3, 5)])
def test_causal_convolution_is_a_sum_over_delayed_inputs(kernel_size: int, dilation: int) -> None:
    torch.manual_seed(0)
    conv = CausalConv1d(3, 4, kernel_size, dilation).double()
    x_BCT = torch.randn(2, 3, 20, dtype=torch.float64)
    expected = conv.bias[:, None] * torch.ones(2, 4, 20)
    for tap in range(kernel_size):
        delay = (kernel_size - 1 - tap) * dilation
        delayed = F.pad(x_BCT, (delay, 0))[..., :20]
        expected = expected + torch.einsum("oc,bct->bot", conv.weight[:, :, tap], delayed)
    torch.testing.assert_close(time_last(conv(time_first(x_BCT))[0]), expected)
    made = time_last(conv(time_first(x_BCT), num_made=7)[0])
    torch.testing.assert_close(made, expected[..., -7:])
    assert conv.context == (kernel_size - 1) * dilation


def test_past_of_a_convolution_is_its_last_inputs() -> None:
    conv, x_TBC = CausalConv1d(3, 4, 3, 2), torch.randn(20, 2, 3)
    assert torch.equal(conv(x_TBC)[1], x_TBC[-4:])
    short = conv(x_TBC[:1])[1]
    assert torch.equal(short[-1:], x_TBC[:1]) and short.shape == (4, 2, 3) and not short[:-1].any()
    assert torch.equal(conv(x_TBC[1:3], short)[1], torch.cat([short[-2:], x_TBC[1:3]]))


def test_past_of_a_long_input_does_not_keep_it_alive() -> None:
    _, past = CausalConv1d(1, 1, 2, 8)(torch.randn(1000, 1, 1))
    assert past.untyped_storage().nbytes() == 8 * past.element_size()


# --- the paper's equations ---


def delayed_sum(x_BCT: Tensor, conv: CausalConv1d, dilation: int) -> Tensor:
    """A causal convolution as F.conv1d over an input padded with zeros."""
    return F.conv1d(F.pad(x_BCT, (conv.context, 0)), conv.weight, conv.bias, dilation=dilation)


@INPUTS
@pytest.mark.parametrize("bias", [True, False])
@torch.no_grad()
def test_outputs_are_what_the_equations_of_the_paper_say(bias: bool, codes: int) -> None:
    config = replace(TINY, bias=bias, residual_scale=0.7, skip_scale=0.3)
    network, codes_BT = build(config, CHANNELS, codes=codes), random_codes(codes=codes)
    h_BHT = random_condition()
    weights = dict(network.named_parameters())

    def linear(name: str, x_BCT: Tensor) -> Tensor:
        y_BCT = torch.einsum("oc,bct->bot", weights[f"{name}.weight"][:, :, 0], x_BCT)
        return y_BCT + (weights[f"{name}.bias"][:, None] if bias else 0)

    if codes == CODES:
        x_BCT = (F.one_hot(codes_BT, CODES).double() @ weights["embedding.weight"]).transpose(1, 2)
    else:
        x_BCT = (codes_BT - 32_768).double()[:, None] / 32_768
    x_BRT = delayed_sum(x_BCT, network.first, 1)
    skips_BST = torch.zeros(2, TINY.skip_channels, 40, dtype=torch.float64)
    for number, dilation in enumerate([1, 2, 4, 1, 2, 4]):
        name = f"layers.{number}"
        from_condition = torch.einsum("gh,bht->bgt", weights[f"{name}.condition.weight"][:, :, 0], h_BHT)
        z_BGT = delayed_sum(x_BRT, network.layers[number].dilated, dilation) + from_condition
        z_BGT = z_BGT[:, :3].tanh() * z_BGT[:, 3:].sigmoid()
        skips_BST = skips_BST + linear(f"{name}.skip", z_BGT)
        if number < 5:
            x_BRT = (x_BRT + linear(f"{name}.residual", z_BGT)) * 0.7
    expected_BKT = linear("output", linear("hidden", (skips_BST * 0.3).relu()).relu())
    torch.testing.assert_close(network(codes_BT, h_BHT)[0], expected_BKT, rtol=0, atol=1e-12)


# --- a forward, looked into ---


def assert_same_but_rounding(found: Tensor, expected: Tensor) -> None:
    """A trace adds the same numbers, one part after another."""
    tolerance = 1e-12 if found.dtype is torch.float64 else 1e-5
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


def seen_in_forward(
    network: WaveNet, codes_BT: Tensor, condition: Tensor | None
) -> tuple[Tensor, dict[str, tuple[Any, ...]]]:
    """The outputs of a forward, and what the first convolution and every layer of it gave, by its name."""
    made: dict[str, tuple[Any, ...]] = {}
    kept = [
        module.register_forward_hook(lambda _, __, output, name=name: made.update({name: output}))
        for name, module in network.named_modules()
        if name == "first" or isinstance(module, ResidualLayer)
    ]
    outputs_BKT, _ = network(codes_BT, condition)
    for each in kept:
        each.remove()
    return outputs_BKT, made


@INPUTS
@pytest.mark.parametrize("kind", ["none", "global", "local"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("config", random_configs(12), ids=str)
@torch.no_grad()
def test_a_trace_has_the_numbers_of_a_forward(
    config: NetworkConfig, dtype: torch.dtype, kind: str, codes: int
) -> None:
    network = build(config, 0 if kind == "none" else CHANNELS, codes=codes).to(dtype)
    codes_BT = random_codes(codes=codes)
    condition = None if kind == "none" else random_condition(time=40 if kind == "local" else 1).to(dtype)
    outputs_BKT, made = seen_in_forward(network, codes_BT, condition)
    trace = network.trace(codes_BT, condition)
    assert_same_but_rounding(trace.outputs, outputs_BKT)
    assert torch.equal(trace.layers[0].input, time_last(made["first"][0]))
    assert len(trace.layers) == config.num_layers
    x_BRT, skips_BST = trace.layers[0].input, torch.zeros(())
    for number, layer in enumerate(trace.layers):
        module: Any = network.layers[number]
        assert_same_but_rounding(layer.input, x_BRT)
        z_BGT = delayed_sum(x_BRT, module.dilated, config.dilations[number])
        if condition is not None:
            z_BGT = z_BGT + by_itself(module.condition, condition)
        half = config.gate_channels // 2
        torch.testing.assert_close(layer.filter, z_BGT[:, :half].tanh())
        torch.testing.assert_close(layer.gate, z_BGT[:, half:].sigmoid())
        x_TBR, *_ = made[f"layers.{number}"]
        assert torch.equal(layer.filter * layer.gate, layer.gated)
        torch.testing.assert_close(layer.skip, by_itself(module.skip, layer.gated))
        assert (layer.residual is None) == (x_TBR is None) == (number == config.num_layers - 1)
        if layer.residual is not None:
            torch.testing.assert_close(layer.residual, by_itself(module.residual, layer.gated))
            x_BRT = (x_BRT + layer.residual) * config.residual_scale
            assert_same_but_rounding(x_BRT, time_last(x_TBR))
        skips_BST = skips_BST + layer.skip
    hidden_BST = by_itself(network.hidden, (skips_BST * config.skip_scale).relu()).relu()
    torch.testing.assert_close(by_itself(network.output, hidden_BST), outputs_BKT)


@INPUTS
def test_a_trace_of_a_network_in_training_has_gradients_and_its_dropout(codes: int) -> None:
    network = build(replace(TINY, dropout=0.5), codes=codes).train()
    codes_BT = random_codes(codes=codes)
    torch.manual_seed(5)
    outputs_BKT, _ = network(codes_BT)
    torch.manual_seed(5)
    trace = network.trace(codes_BT)
    assert_same_but_rounding(trace.outputs, outputs_BKT)
    [gradient] = torch.autograd.grad(trace.layers[0].gated.sum(), network.first.weight)
    assert gradient.any()


@pytest.mark.parametrize(
    ("codes_BT", "condition", "message"),
    [
        (torch.zeros(2, 0, dtype=torch.int64), None, "with at least one sample"),
        (torch.full((2, 40), CODES), None, f"codes go from {CODES} to {CODES}, expected 0 to {CODES - 1}"),
        (
            torch.zeros(2, 40, dtype=torch.int64),
            random_condition(),
            "condition is of shape .*, expected none",
        ),
    ],
)
def test_a_trace_refuses_what_a_forward_refuses(
    codes_BT: Tensor, condition: Tensor | None, message: str
) -> None:
    for call in (build().trace, build()):
        with pytest.raises(ValueError, match=message):
            call(codes_BT, condition)


# --- causality and receptive field ---


@INPUTS
@pytest.mark.parametrize("config", random_configs(24), ids=str)
def test_receptive_field_is_what_gradients_say(config: NetworkConfig, codes: int) -> None:
    network = build(config, codes=codes)
    time = config.receptive_field + 5
    gradient_T = input_gradient(network, random_codes(2, time, codes), time - 2)
    first_seen = time - 1 - config.receptive_field
    assert network.receptive_field == config.receptive_field
    assert gradient_T[first_seen] > 0
    assert gradient_T[time - 2] > 0
    assert (gradient_T[:first_seen] == 0).all()
    assert gradient_T[time - 1] == 0


@INPUTS
@pytest.mark.parametrize("config", random_configs(4), ids=str)
def test_outputs_do_not_depend_on_the_future(config: NetworkConfig, codes: int) -> None:
    network, codes_BT = build(config, codes=codes), random_codes(codes=codes)
    changed = codes_BT.clone()
    changed[:, 20:] = (changed[:, 20:] + codes // 16) % codes
    outputs_BKT, changed_BKT = network(codes_BT)[0], network(changed)[0]
    torch.testing.assert_close(outputs_BKT[..., :20], changed_BKT[..., :20], rtol=0, atol=1e-12)
    assert not torch.allclose(outputs_BKT[..., 20], changed_BKT[..., 20])


def test_condition_is_causal_by_gradient() -> None:
    network, condition = build(condition_channels=CHANNELS), random_condition().requires_grad_()
    network(random_codes(), condition)[0][..., 30].square().sum().backward()
    assert condition.grad is not None
    gradient_T = condition.grad.abs().sum(dim=(0, 1))
    # The first convolution takes no condition: the layers alone are in between.
    layers_see = TINY.receptive_field - (TINY.kernel_size - 1) - (TINY.kernel_size - 1) * TINY.dilations[0]
    assert gradient_T[30] > 0
    assert gradient_T[31 - layers_see] > 0
    assert (gradient_T[31:] == 0).all()
    assert (gradient_T[: 31 - layers_see] == 0).all()


# --- one forward for everything ---


def in_chunks(network: WaveNet, codes_BT: Tensor, condition: Tensor | None, sizes: list[int]) -> Tensor:
    """Outputs of one call per chunk, the state handed on."""
    state: State | None = None
    outputs, start = [], 0
    for size in sizes:
        end = start + size
        local = condition if condition is None or condition.shape[2] == 1 else condition[..., start:end]
        outputs_BKT, state = network(codes_BT[:, start:end], local, state)
        outputs.append(outputs_BKT)
        start = end
    return torch.cat(outputs, dim=2)


@st.composite
def chunkings(draw: st.DrawFn, time: int = 40) -> list[int]:
    cuts = sorted(draw(st.sets(st.integers(1, time - 1))))
    return [end - start for start, end in zip([0, *cuts], [*cuts, time], strict=True)]


@settings(max_examples=25)
@given(
    sizes=chunkings(),
    kernel_size=st.sampled_from([2, 3]),
    kind=st.sampled_from(["none", "global", "local"]),
    codes=st.sampled_from([CODES, MANY]),
)
@torch.no_grad()
def test_chunks_agree_with_whole(sizes: list[int], kernel_size: int, kind: str, codes: int) -> None:
    config = replace(TINY, kernel_size=kernel_size, residual_scale=0.7)
    network = build(config, 0 if kind == "none" else CHANNELS, codes=codes)
    condition = {"none": None, "global": random_condition(time=1), "local": random_condition()}[kind]
    codes_BT = random_codes(codes=codes)
    whole, _ = network(codes_BT, condition)
    torch.testing.assert_close(in_chunks(network, codes_BT, condition, sizes), whole, rtol=0, atol=1e-12)


@INPUTS
@torch.no_grad()
def test_chunks_agree_with_whole_under_bfloat16_autocast(codes: int) -> None:
    network, codes_BT = build(codes=codes).float(), random_codes(codes=codes)
    with torch.autocast("cpu", torch.bfloat16):
        whole, _ = network(codes_BT)
        pieces = in_chunks(network, codes_BT, None, [7, 1, 32])
    assert whole.dtype == (torch.bfloat16 if codes == CODES else torch.float32)
    torch.testing.assert_close(pieces.float(), whole.float(), rtol=0.05, atol=0.05 * float(whole.abs().max()))


@torch.no_grad()
def test_bfloat16_autocast_does_not_round_amplitudes() -> None:
    """Neighbouring codes near full scale still differ in what the first convolution makes of them."""
    network = build(codes=MANY).float()
    codes_BT = torch.tensor([[MANY - 1] * 8, [MANY - 2] * 8])
    made: list[Tensor] = []
    with network.first.register_forward_hook(lambda module, inputs, output: made.append(output[0])):
        expected_BKT, _ = network(codes_BT)
        with torch.autocast("cpu", torch.bfloat16):
            network(codes_BT)
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[1][0], made[1][1])


@torch.no_grad()
def test_calling_leaves_the_given_state_as_it_was() -> None:
    network, codes_BT = build(), random_codes()
    _, state = network(codes_BT[:, :30])
    once = network(codes_BT[:, 30:31], None, state)[0]
    again = network(codes_BT[:, 30:31], None, state)[0]
    assert torch.equal(once, again)


@torch.no_grad()
def test_before_the_beginning_is_not_silence() -> None:
    network, codes_BT = build(), random_codes()
    silence = torch.full((2, TINY.receptive_field), CODES // 2)
    after_silence = network(torch.cat([silence, codes_BT], dim=1))[0][..., TINY.receptive_field :]
    assert not torch.allclose(network(codes_BT)[0][..., 0], after_silence[..., 0])


@torch.no_grad()
def test_rows_of_a_batch_do_not_see_each_other() -> None:
    network, codes_BT = build(condition_channels=CHANNELS), random_codes()
    condition = random_condition()
    whole = network(codes_BT, condition)[0]
    torch.testing.assert_close(network(codes_BT[1:], condition[1:])[0], whole[1:], rtol=0, atol=1e-12)


@torch.no_grad()
def test_condition_constant_in_time_is_a_global_one() -> None:
    network, codes_BT = build(condition_channels=CHANNELS), random_codes()
    condition = random_condition(time=1)
    torch.testing.assert_close(
        network(codes_BT, condition)[0],
        network(codes_BT, condition.expand(-1, -1, 40))[0],
        rtol=0,
        atol=1e-12,
    )


@torch.no_grad()
def test_condition_reaches_the_outputs() -> None:
    network, codes_BT = build(condition_channels=CHANNELS), random_codes()
    condition = random_condition(time=1)
    assert not torch.allclose(network(codes_BT, condition)[0], network(codes_BT, condition + 1)[0])


# --- training ---


@pytest.mark.parametrize(
    "head", [SoftmaxHead(CODES), LogisticsHead(4, CODES), LogisticsHead(4, MANY)], ids=str
)
@pytest.mark.parametrize("condition_channels", [0, CHANNELS])
@pytest.mark.parametrize("kernel_size", [2, 3])
def test_every_parameter_gets_a_gradient(head: Head, condition_channels: int, kernel_size: int) -> None:
    config = replace(TINY, kernel_size=kernel_size, skip_channels=16)
    codes = head.quantization_channels if isinstance(head, LogisticsHead) else CODES
    network = WaveNet(
        config,
        quantization_channels=codes,
        decode=LinearCodec(codes).decode,
        num_parameters=head.num_parameters,
        condition_channels=condition_channels,
    )
    condition = random_condition().float() if condition_channels else None
    codes_BT = random_codes(codes=codes)
    outputs_BKT, _ = network(codes_BT[:, :-1], None if condition is None else condition[..., 1:])
    head.nats(outputs_BKT, codes_BT[:, 1:]).mean().backward()
    without = [name for name, p in network.named_parameters() if p.grad is None or p.grad.abs().sum() == 0]
    assert not without


@pytest.mark.parametrize(
    "config",
    [TINY, NetworkConfig(), NetworkConfig(stacks=1, layers_per_stack=1, residual_channels=8)],
    ids=["tiny", "default", "shallow"],
)
@torch.no_grad()
def test_initial_loss_is_near_that_of_uniform_noise(config: NetworkConfig) -> None:
    torch.manual_seed(0)
    codes_BT = torch.randint(256, (2, 500))
    outputs_BKT, _ = WaveNet(config)(codes_BT[:, :-1])
    nats = SoftmaxHead(256).nats(outputs_BKT, codes_BT[:, 1:]).mean().item()
    assert nats == pytest.approx(math.log(256), abs=0.1)


@torch.no_grad()
def test_initial_loss_of_amplitudes_is_near_that_of_uniform_noise_too() -> None:
    torch.manual_seed(0)
    head, codes_BT = LogisticsHead(10, MANY), random_codes(2, 500, MANY)
    network = WaveNet(
        NetworkConfig(), quantization_channels=MANY, decode=LinearCodec(MANY).decode, num_parameters=30
    )
    nats = head.nats(network(codes_BT[:, :-1])[0], codes_BT[:, 1:]).mean().item()
    assert nats == pytest.approx(math.log(MANY), abs=0.5)


def test_a_pattern_can_be_learned() -> None:
    torch.manual_seed(0)
    network, head = WaveNet(TINY, quantization_channels=CODES, num_parameters=CODES), SoftmaxHead(CODES)
    codes_BT = (torch.arange(64) ** 2 // 3 % CODES).expand(2, -1)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(120):
        optimizer.zero_grad()
        nats = head.nats(network(codes_BT[:, :-1])[0], codes_BT[:, 1:]).mean()
        nats.backward()
        optimizer.step()
    assert nats.item() < 0.2 * math.log(CODES)


def test_dropout_acts_in_training_only() -> None:
    network, codes_BT = build(replace(TINY, dropout=0.5)), random_codes()
    with torch.no_grad():
        assert torch.equal(network(codes_BT)[0], network(codes_BT)[0])
        network.train()
        assert not torch.equal(network(codes_BT)[0], network(codes_BT)[0])


def test_options_change_what_they_say() -> None:
    names = [name for name, _ in build(replace(TINY, bias=False)).named_parameters()]
    assert not [name for name in names if "bias" in name]
    codes_BT = random_codes()
    plain = build()(codes_BT)[0]
    for option in ("residual_scale", "skip_scale"):
        assert not torch.allclose(build(replace(TINY, **{option: 0.5}))(codes_BT)[0], plain)


def test_last_layer_has_no_residual_that_nothing_would_read() -> None:
    assert [layer.residual is None for layer in build().layers] == [False] * 5 + [True]


def test_amplitudes_are_no_weights() -> None:
    names = build(codes=MANY).state_dict()
    assert not [name for name in names if "embedding" in name or "decode" in name]
    assert names["first.weight"].shape == (TINY.residual_channels, 1, TINY.kernel_size)


# --- mistakes ---


@pytest.mark.parametrize(
    ("codes_BT", "message"),
    [
        (torch.zeros(2, 5), r"codes are torch.float32 of shape \(2, 5\), expected int64"),
        (torch.zeros(5, dtype=torch.int64), r"of shape \(5,\), expected int64 of shape \(batch, time\)"),
        (torch.zeros(2, 0, dtype=torch.int64), "with at least one sample; encode audio"),
        (torch.tensor([[0, 16]]), "codes go from 0 to 16, expected 0 to 15; encode audio with a codec"),
        (torch.tensor([[-1, 3]]), "codes go from -1 to 3, expected 0 to 15"),
    ],
)
def test_codes_that_do_not_fit_raise(codes_BT: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()(codes_BT)


@pytest.mark.parametrize(
    "shape", [(2, CHANNELS, 39), (2, CHANNELS + 1, 40), (1, CHANNELS, 40), (2, CHANNELS)]
)
def test_condition_of_another_shape_raises(shape: tuple[int, ...]) -> None:
    message = r"condition is of shape \(.*\), expected shape \(2, 3, 40\) or \(2, 3, 1\); make it from"
    with pytest.raises(ValueError, match=message):
        build(condition_channels=CHANNELS)(random_codes(), torch.zeros(shape, dtype=torch.float64))


def test_many_codes_without_their_amplitudes_raise() -> None:
    message = (
        "decode is missing, expected a function from codes to amplitudes for 65536 codes; pass the codec's"
    )
    with pytest.raises(ValueError, match=message):
        WaveNet(TINY, quantization_channels=MANY)


def test_missing_condition_raises() -> None:
    with pytest.raises(ValueError, match=r"condition is missing, expected shape \(2, 3, 40\)"):
        build(condition_channels=CHANNELS)(random_codes())


def test_condition_that_would_be_ignored_raises() -> None:
    with pytest.raises(ValueError, match=r"condition is of shape .*, expected none; leave it out"):
        build()(random_codes(), random_condition())
