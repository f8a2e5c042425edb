"""Mixtures of logistics: a density that sums to 1, gradients everywhere, and draws that follow it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from wavenet_pl.codec import Codec, LinearCodec, MuLawCodec, codes_alike
from wavenet_pl.config.model import HeadConfig
from wavenet_pl.heads import LogisticsHead, build_head
from wavenet_pl.numbers import counter

LEVELS = 2**16
HEAD = LogisticsHead(3, LEVELS)
NUMBERS_OF_LEVELS = (2, 3, 15, 16, 17, 255, 256, 257, 1000, 1024, LEVELS)
SPREADS = [(0.1, -4), (0.3, -1), (0.01, -8), (0.001, -10), (0.05, -12), (1.5, -3), (0.5, 2)]
"""Spread of the means, and middle of the log scales: audio as it is, near silence, and far off."""


def outputs(
    rows: int = 4,
    mean: float = 0.1,
    log_scale: float = -4,
    *,
    mixtures: int = 3,
    num_levels: int = LEVELS,
    seed: int = 0,
) -> Tensor:
    """(rows, 3 * mixtures, 1) for mixtures that overlap and differ, with means and scales of about this size."""
    noise = torch.randn(rows, 3, mixtures, generator=torch.Generator().manual_seed(seed))
    means = mean * noise[:, 0] / stride(num_levels)
    return torch.cat([means, log_scale + noise[:, 1], noise[:, 2]], dim=1)[:, :, None]


def stride(num_levels: int) -> float:
    """What an output of 1 moves a mean by."""
    return 2 / math.sqrt(num_levels)


def one(mean: float, log_scale: float) -> Tensor:
    """(1, 3, 1): one logistic over all levels."""
    return torch.tensor([[[mean / stride(LEVELS)], [log_scale], [0.0]]])


def all_levels(outputs_BK1: Tensor, head: LogisticsHead = HEAD) -> Tensor:
    """Nats of every level (B, Q)."""
    codes_BQ = torch.arange(head.quantization_channels).expand(len(outputs_BK1), -1)
    return head.nats(outputs_BK1.expand(-1, -1, codes_BQ.shape[1]), codes_BQ)


def by_the_formula(outputs_K: np.ndarray, num_levels: int, temperature: float = 1) -> np.ndarray:
    """Probability of every level (Q,) as differences of distribution functions, one logistic after the other."""
    means, log_scales, logits = np.split(outputs_K.astype(np.float64), 3)
    weights = np.exp(logits / temperature) / np.exp(logits / temperature).sum()
    edges = np.linspace(-1, 1, num_levels + 1)
    edges[[0, -1]] = -np.inf, np.inf
    density = np.zeros(num_levels)
    for mean, log_scale, weight in zip(means, log_scales, weights, strict=True):
        mean, scale = mean * stride(num_levels), temperature * (math.exp(log_scale - 1) + 2 / num_levels / 20)
        density += weight * np.diff(0.5 + 0.5 * np.tanh((edges - mean) / scale / 2))
    return density


def uniforms(count: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(counter.uniforms(counter.stream_key("test", seed), np.arange(count)))


# --- the density ---


@pytest.mark.parametrize(("mean", "log_scale"), SPREADS)
def test_density_sums_to_one(mean: float, log_scale: float) -> None:
    nats_BQ = all_levels(outputs(4, mean, log_scale, mixtures=10), LogisticsHead(10, LEVELS))
    assert nats_BQ.dtype == torch.float32 and nats_BQ.isfinite().all()
    sums_B = (-nats_BQ).double().exp().sum(dim=1)
    torch.testing.assert_close(sums_B, torch.ones(4, dtype=torch.float64), rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [10.0, 1e3, 1e6])
@pytest.mark.parametrize("seed", range(3))
def test_density_of_extreme_outputs_sums_to_one(size: float, seed: int) -> None:
    outputs_BK1 = size * torch.randn(8, 9, 1, generator=torch.Generator().manual_seed(seed))
    nats_BQ = all_levels(outputs_BK1)
    assert nats_BQ.isfinite().all()
    sums_B = (-nats_BQ).double().exp().sum(dim=1)
    torch.testing.assert_close(sums_B, torch.ones(8, dtype=torch.float64), rtol=0, atol=1e-4)


@pytest.mark.parametrize("num_levels", NUMBERS_OF_LEVELS)
@pytest.mark.parametrize(("mean", "log_scale"), SPREADS[:3])
def test_density_is_that_of_the_formula(num_levels: int, mean: float, log_scale: float) -> None:
    outputs_BK1 = outputs(1, mean, log_scale, num_levels=num_levels)
    nats_Q = all_levels(outputs_BK1.double(), LogisticsHead(3, num_levels))[0]
    expected = by_the_formula(outputs_BK1[0, :, 0].numpy(), num_levels)
    np.testing.assert_allclose((-nats_Q).exp().numpy(), expected, rtol=1e-6, atol=1e-12)


def test_a_narrow_logistic_is_certain_of_its_level() -> None:
    level = 40_000
    mean = (2 * level + 1) / LEVELS - 1
    nats = LogisticsHead(1, LEVELS).nats(one(mean, -50), torch.tensor([[level]]))
    assert nats.item() < 1e-3


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_outputs_are_widened(dtype: torch.dtype) -> None:
    outputs_BK1 = outputs().to(dtype)
    codes_BT = torch.tensor([[0], [30_000], [33_000], [LEVELS - 1]])
    with torch.autocast("cpu", torch.bfloat16):
        nats_BT, entropy_BT = HEAD.nats(outputs_BK1, codes_BT), HEAD.entropy(outputs_BK1)
    assert torch.equal(nats_BT, HEAD.nats(outputs_BK1.float(), codes_BT))
    assert torch.equal(entropy_BT, HEAD.entropy(outputs_BK1.float()))


def test_an_untrained_network_is_near_uniform() -> None:
    nats_BQ = all_levels(torch.zeros(1, 9, 1))
    assert nats_BQ.mean().item() == pytest.approx(math.log(LEVELS), abs=0.3)


# --- its gradient ---


@pytest.mark.parametrize("size", [0.1, 1.0, 10.0, 1e3])
def test_gradients_are_finite_for_every_code(size: float) -> None:
    outputs_BK1 = (size * torch.randn(64, 9, 1, generator=torch.Generator().manual_seed(0))).requires_grad_()
    for code in (0, 1, LEVELS // 2, LEVELS - 2, LEVELS - 1):
        [gradient] = torch.autograd.grad(HEAD.nats(outputs_BK1, torch.full((64, 1), code)).sum(), outputs_BK1)
        assert gradient.isfinite().all()


@pytest.mark.parametrize("num_levels", [2, 16, LEVELS])
@pytest.mark.parametrize(("mean", "log_scale"), [(0.3, -1), (0.1, -4), (3.0, -2)])
def test_gradients_are_those_of_finite_differences(num_levels: int, mean: float, log_scale: float) -> None:
    head = LogisticsHead(3, num_levels)
    codes_BT = torch.tensor([[0], [num_levels // 2], [num_levels - 1]])
    outputs_BK1 = outputs(3, mean, log_scale, num_levels=num_levels).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda inputs: head.nats(inputs, codes_BT), outputs_BK1)


def test_far_from_the_code_the_mean_is_drawn_to_it() -> None:
    for mean, code, sign in [(-0.9, LEVELS - 1, -1), (0.9, 0, 1), (0.9, 100, 1)]:
        outputs_1K1 = one(mean, -8).requires_grad_()
        nats = LogisticsHead(1, LEVELS).nats(outputs_1K1, torch.tensor([[code]]))
        [gradient_1K1] = torch.autograd.grad(nats.sum(), outputs_1K1)
        assert gradient_1K1[0, 0, 0].sign() == sign
        assert gradient_1K1[0, 0, 0].abs() > 1


def test_a_scale_at_its_lower_bound_can_grow_again() -> None:
    outputs_1K1 = one(0.5, -30).requires_grad_()
    nats = LogisticsHead(1, LEVELS).nats(outputs_1K1, torch.tensor([[0]]))
    [gradient_1K1] = torch.autograd.grad(nats.sum(), outputs_1K1)
    assert gradient_1K1[0, 1, 0] < -1e-3


# --- merged codes ---


@pytest.mark.parametrize(("mean", "log_scale"), SPREADS)
def test_nats_of_merged_codes_are_brute_force_sums(mean: float, log_scale: float) -> None:
    codec, coarse = LinearCodec(LEVELS), MuLawCodec(256)
    outputs_BK1 = outputs(2, mean, log_scale, seed=1)
    probability_BQ = (-all_levels(outputs_BK1.double())).exp()
    merged_Q = coarse.encode(torch.arange(-LEVELS // 2, LEVELS // 2) / 32768)
    sums_BC = torch.zeros(2, 256, dtype=torch.float64).index_add(1, merged_Q, probability_BQ)
    codes_BT = torch.tensor([0, 1, 999, 30_000, 32_767, 32_768, 32_769, 33_333, 65_534, 65_535]).expand(2, -1)
    first_BT, last_BT = codes_alike(codec, coarse, codes_BT)
    found = HEAD.nats_between(outputs_BK1.expand(-1, -1, 10), first_BT, last_BT)
    expected = -sums_BC.log().gather(1, merged_Q[codes_BT])
    sums_are_exact = expected < 25  # below, differences of what is near 1 have lost their digits
    torch.testing.assert_close(found.double()[sums_are_exact], expected[sums_are_exact], rtol=1e-4, atol=1e-4)


def test_all_codes_together_are_certain() -> None:
    nats = HEAD.nats_between(outputs(), torch.zeros(4, 1).long(), torch.full((4, 1), LEVELS - 1))
    torch.testing.assert_close(nats, torch.zeros(4, 1))


# --- its entropy ---


@pytest.mark.parametrize("num_levels", [2, 3, 16, 256, 1024])
def test_entropy_over_few_codes_is_the_sum(num_levels: int) -> None:
    head, outputs_BK1 = LogisticsHead(3, num_levels), outputs(4, 0.3, -2, num_levels=num_levels).double()
    nats_BQ = all_levels(outputs_BK1, head)
    torch.testing.assert_close(head.entropy(outputs_BK1)[:, 0], (nats_BQ * (-nats_BQ).exp()).sum(dim=1))


@pytest.mark.parametrize("mixtures", [1, 4])
@pytest.mark.parametrize(("mean", "log_scale"), [*SPREADS, (0.2, -20), (1.1, -9), (0.1, 20)])
def test_entropy_over_many_codes_is_just_above_the_sum(mixtures: int, mean: float, log_scale: float) -> None:
    head, outputs_BK1 = LogisticsHead(mixtures, LEVELS), outputs(3, mean, log_scale, mixtures=mixtures)
    nats_BQ = all_levels(outputs_BK1.double(), head)
    excess_B = head.entropy(outputs_BK1)[:, 0].double() - (nats_BQ * (-nats_BQ).exp()).sum(dim=1)
    assert excess_B.min() > -1e-3
    assert excess_B.max() < 0.05


# --- draws ---


@given(
    st.sampled_from(NUMBERS_OF_LEVELS),
    st.sampled_from(SPREADS),
    st.integers(0, 100),
    st.floats(0, 1, exclude_max=True),
)
def test_draw_inverts_the_distribution_function(
    num_levels: int, spread: tuple[float, float], seed: int, uniform: float
) -> None:
    head, outputs_BK1 = (
        LogisticsHead(3, num_levels),
        outputs(1, *spread, num_levels=num_levels, seed=seed).double(),
    )
    sums_Q = by_the_formula(outputs_BK1[0, :, 0].numpy(), num_levels).cumsum()
    [code] = head.draw(outputs_BK1[..., 0], torch.tensor([uniform], dtype=torch.float64)).tolist()
    below = sums_Q[code - 1] if code else 0.0
    assert below - 1e-9 <= uniform < (1.0 if code == num_levels - 1 else sums_Q[code]) + 1e-9


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("num_levels", [16, 256])
def test_draws_follow_the_density(num_levels: int, temperature: float) -> None:
    head, outputs_K = (
        LogisticsHead(3, num_levels),
        outputs(1, 0.4, -1, num_levels=num_levels, seed=2)[0, :, 0].double(),
    )
    count = 100_000
    codes = head.draw(outputs_K.expand(count, -1), uniforms(count), temperature)
    expected = by_the_formula(outputs_K.numpy(), num_levels, temperature) * count
    observed = np.bincount(codes.numpy(), minlength=num_levels)
    common = expected > 10
    chi_square = ((observed - expected)[common] ** 2 / expected[common]).sum()
    degrees = common.sum() - 1
    assert abs(chi_square - degrees) < 5 * math.sqrt(2 * degrees)
    assert abs((observed - expected)[~common].sum()) <= 5 * math.sqrt(expected[~common].sum()) + 1


@pytest.mark.parametrize("spread", SPREADS)
def test_draws_of_many_codes_follow_the_distribution(spread: tuple[float, float]) -> None:
    """Kolmogorov and Smirnov's largest distance between the drawn and the computed distribution function."""
    outputs_K, count = outputs(1, *spread, seed=3)[0, :, 0], 20_000
    codes = HEAD.draw(outputs_K.expand(count, -1), uniforms(count, seed=1))
    drawn = np.bincount(codes.numpy(), minlength=LEVELS).cumsum() / count
    distance = np.abs(drawn - by_the_formula(outputs_K.numpy(), LEVELS).cumsum()).max()
    assert distance < 1.95 / math.sqrt(count)  # exceeded once in a thousand seeds


@pytest.mark.parametrize("temperature", [0.0, 1e-6])
def test_cold_draws_are_the_mean_of_the_heaviest_logistic(temperature: float) -> None:
    outputs_BK1 = outputs(50, 0.5, -3).double()
    means_BM, _, logits_BM = outputs_BK1[..., 0].chunk(3, dim=1)
    means_B = means_BM[torch.arange(50), logits_BM.argmax(dim=1)] * stride(LEVELS)
    expected = ((means_B + 1) / 2 * LEVELS).floor().clamp(0, LEVELS - 1).long()
    assert torch.equal(HEAD.draw(outputs_BK1[..., 0], uniforms(50), temperature), expected)


@pytest.mark.parametrize("mean", [-1.5, -1.0, 1.0, 1.5, 1e6, -1e6])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_means_out_of_range_draw_the_outer_codes(mean: float, temperature: float) -> None:
    code = LogisticsHead(1, LEVELS).draw(
        one(mean, -12)[..., 0], torch.tensor([0.6 if mean > 0 else 0.4]), temperature
    )
    assert abs(code.item() - (LEVELS - 1 if mean > 0 else 0)) <= 1


@pytest.mark.parametrize("uniform", [0.0, 1 - 2**-53])
def test_extreme_uniforms_draw_codes(uniform: float) -> None:
    code = HEAD.draw(outputs(1)[..., 0], torch.tensor([uniform], dtype=torch.float64)).item()
    assert 0 <= code < LEVELS


def test_rows_are_drawn_independently_of_the_batch() -> None:
    outputs_BK, uniforms_B = outputs(8)[..., 0], uniforms(8)
    rows = [HEAD.draw(outputs_BK[row : row + 1], uniforms_B[row : row + 1], 0.9).item() for row in range(8)]
    assert HEAD.draw(outputs_BK, uniforms_B, 0.9).tolist() == rows


def test_top_p_raises() -> None:
    with pytest.raises(ValueError, match="top_p is 0.9, expected 1, as the head is a mixture .* temperature"):
        HEAD.draw(outputs(1)[..., 0], uniforms(1), top_p=0.9)


@pytest.mark.parametrize(("temperature", "top_p"), [(-1.0, 1.0), (1.0, 0.0)])
def test_values_out_of_range_raise(temperature: float, top_p: float) -> None:
    with pytest.raises(ValueError, match="is (-1.0|0.0), expected a (number|share)"):
        HEAD.draw(outputs(1)[..., 0], uniforms(1), temperature, top_p)


# --- the configured head ---


@pytest.mark.parametrize("codec", [MuLawCodec(256), LinearCodec(LEVELS)])
def test_built_head_covers_the_codec(codec: Codec) -> None:
    head = build_head(HeadConfig(kind="logistics", mixtures=4), codec)
    assert head == LogisticsHead(4, codec.quantization_channels)
    assert head.num_parameters == 12
    assert build_head(HeadConfig(kind="logistics"), codec).num_parameters == 30
