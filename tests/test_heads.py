"""The softmax head: its loss, its entropy, and draws that follow the density; and what all heads have in common."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from wavenet_pl.codec import LinearCodec, MuLawCodec
from wavenet_pl.config.model import HeadConfig
from wavenet_pl.heads import Head, LogisticsHead, SoftmaxHead, build_head
from wavenet_pl.numbers import counter

HEAD = SoftmaxHead(16)


def outputs(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def uniforms(count: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(counter.uniforms(counter.stream_key("test", seed), np.arange(count)))


def draw_many(
    outputs_K: Tensor, count: int = 50_000, temperature: float = 1.0, top_p: float = 1.0
) -> np.ndarray:
    """How often each code is drawn."""
    codes = HEAD.draw(outputs_K.expand(count, -1), uniforms(count), temperature, top_p)
    return torch.bincount(codes, minlength=len(outputs_K)).numpy()


def nucleus(probabilities: np.ndarray, top_p: float) -> np.ndarray:
    """The smallest set of codes whose probability reaches top_p, renormalised, one code at a time."""
    kept, reached = np.zeros_like(probabilities), 0.0
    for code in sorted(range(len(probabilities)), key=lambda code: -probabilities[code]):
        kept[code], reached = probabilities[code], reached + probabilities[code]
        if reached >= top_p:
            break
    return kept / kept.sum()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_nats_are_the_cross_entropy_of_torch(dtype: torch.dtype) -> None:
    outputs_BKT, codes_BT = outputs(2, 16, 5).to(dtype), torch.randint(16, (2, 5))
    rows = outputs_BKT.transpose(1, 2).reshape(-1, 16)
    expected = F.cross_entropy(rows.double(), codes_BT.flatten(), reduction="none").reshape(2, 5)
    torch.testing.assert_close(HEAD.nats(outputs_BKT, codes_BT).double(), expected, rtol=1e-5, atol=1e-5)


def test_nats_of_uniform_outputs_are_the_logarithm_of_the_number_of_codes() -> None:
    nats = SoftmaxHead(256).nats(torch.zeros(1, 256, 3), torch.tensor([[0, 128, 255]]))
    torch.testing.assert_close(nats, torch.full((1, 3), math.log(256)))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_nats_of_a_range_are_a_sum_over_its_codes(dtype: torch.dtype, scale: float) -> None:
    outputs_BKT = (scale * outputs(1, 16, 1)).to(dtype)
    probabilities = outputs_BKT[0, :, 0].double().softmax(0)
    ranges = [(first, last) for first in range(16) for last in range(first, 16)]
    firsts, lasts = (torch.tensor(codes)[None] for codes in zip(*ranges, strict=True))
    found = HEAD.nats_between(outputs_BKT.expand(-1, -1, len(ranges)), firsts, lasts)[0].double()
    expected = torch.stack([-probabilities[first : last + 1].sum().log() for first, last in ranges])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "head", [HEAD, SoftmaxHead(256), LogisticsHead(3, 16), LogisticsHead(4, 65_536)], ids=str
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_nats_of_one_code_are_those_of_a_range_of_one(head: Head, dtype: torch.dtype) -> None:
    outputs_BKT = outputs(2, head.num_parameters, 50).to(dtype)
    last = head.quantization_channels - 1
    codes_BT = torch.cat([torch.tensor([[0, last], [last, 0]]), torch.randint(last + 1, (2, 48))], dim=1)
    found = head.nats_between(outputs_BKT, codes_BT, codes_BT)
    assert found.dtype == head.nats(outputs_BKT, codes_BT).dtype
    torch.testing.assert_close(found, head.nats(outputs_BKT, codes_BT), rtol=1e-5, atol=1e-5)
    zeros = torch.zeros_like(codes_BT)
    whole = head.nats_between(outputs_BKT, zeros, zeros + last)
    torch.testing.assert_close(whole, torch.zeros_like(whole), rtol=0, atol=1e-5)


def test_gradients_of_nats_of_a_range_are_finite() -> None:
    """Codes outside of it have a probability of nothing, whose logarithm is none."""
    outputs_BKT = (40 * outputs(1, 16, 4)).requires_grad_()
    nats = HEAD.nats_between(outputs_BKT, torch.tensor([[0, 3, 15, 7]]), torch.tensor([[15, 3, 15, 9]]))
    nats.sum().backward()
    assert outputs_BKT.grad is not None and outputs_BKT.grad.isfinite().all()


def test_entropy_is_the_expectation_of_the_nats() -> None:
    outputs_BKT = outputs(2, 16, 5)
    probabilities = outputs_BKT.softmax(1)
    nats = torch.stack([HEAD.nats(outputs_BKT, torch.full((2, 5), code)) for code in range(16)], dim=1)
    torch.testing.assert_close(HEAD.entropy(outputs_BKT), (probabilities * nats).sum(1))


def test_entropy_is_finite_for_a_certain_prediction() -> None:
    certain = torch.full((1, 16, 1), -1e4)
    certain[0, 3] = 1e4
    assert HEAD.entropy(certain).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("top_p", [1.0, 0.7])
def test_draws_follow_the_density(temperature: float, top_p: float) -> None:
    outputs_K = outputs(16)
    expected = nucleus((outputs_K / temperature).softmax(0).numpy(), top_p) * 50_000
    observed = draw_many(outputs_K, 50_000, temperature, top_p)
    possible = expected > 0
    assert observed[~possible].sum() == 0
    chi_square = ((observed - expected)[possible] ** 2 / expected[possible]).sum()
    degrees = possible.sum() - 1
    assert abs(chi_square - degrees) < 5 * math.sqrt(2 * degrees)


@given(st.lists(st.floats(-30, 30), min_size=2, max_size=20), st.floats(0, 1, exclude_max=True))
def test_draw_inverts_the_distribution_function(logits: list[float], uniform: float) -> None:
    outputs_K = torch.tensor(logits, dtype=torch.float64)
    sums = outputs_K.softmax(0).cumsum(0)
    code = HEAD.draw(outputs_K[None], torch.tensor([uniform], dtype=torch.float64)).item()
    below = sums[code - 1].item() if code else 0.0
    assert below - 1e-12 <= uniform < sums[code].item() + 1e-12


@given(st.floats(0.01, 1), st.integers(0, 1000))
def test_top_p_keeps_the_smallest_set_that_reaches_it(top_p: float, seed: int) -> None:
    outputs_K = outputs(16, seed=seed)
    expected = nucleus(outputs_K.softmax(0).numpy(), top_p)
    # Uniforms in the middle of each code's share reach exactly the codes that are kept.
    kept = np.flatnonzero(expected)
    middles = torch.from_numpy((np.cumsum(expected) - expected / 2)[kept])
    codes = HEAD.draw(outputs_K.expand(len(kept), -1), middles, top_p=top_p)
    assert codes.tolist() == kept.tolist()


def test_smallest_top_p_is_the_most_probable_code() -> None:
    outputs_BK = outputs(50, 16)
    assert torch.equal(HEAD.draw(outputs_BK, uniforms(50), top_p=1e-9), outputs_BK.argmax(1))


def test_top_p_keeps_the_lower_of_two_equal_codes() -> None:
    codes = HEAD.draw(torch.zeros(20, 16), uniforms(20), top_p=1 / 16)
    assert codes.tolist() == [0] * 20


@pytest.mark.parametrize("temperature", [0.0, 1e-6])
def test_cold_draws_are_the_most_probable_code(temperature: float) -> None:
    outputs_BK = outputs(50, 16)
    assert torch.equal(HEAD.draw(outputs_BK, uniforms(50), temperature), outputs_BK.argmax(1))


@pytest.mark.parametrize("uniform", [0.0, 1 - 2**-53])
def test_extreme_uniforms_never_draw_an_impossible_code(uniform: float) -> None:
    outputs_BK = torch.full((1, 16), -float("inf"))
    outputs_BK[0, 5:8] = torch.tensor([0.3, 0.1, 0.2])
    code = HEAD.draw(outputs_BK, torch.tensor([uniform], dtype=torch.float64)).item()
    assert code == (5 if uniform == 0 else 7)


def test_rows_are_drawn_independently_of_the_batch() -> None:
    outputs_BK, uniforms_B = outputs(8, 16), uniforms(8)
    whole = HEAD.draw(outputs_BK, uniforms_B, 0.9, 0.8)
    rows = [
        HEAD.draw(outputs_BK[row : row + 1], uniforms_B[row : row + 1], 0.9, 0.8).item() for row in range(8)
    ]
    assert whole.tolist() == rows


@pytest.mark.parametrize("temperature", [-0.1, float("nan"), float("inf")])
def test_temperature_out_of_range_raises(temperature: float) -> None:
    with pytest.raises(ValueError, match=r"temperature is .*, expected a number from 0 to .*; 1 draws from"):
        HEAD.draw(outputs(1, 16), uniforms(1), temperature=temperature)


@pytest.mark.parametrize("top_p", [0.0, -0.1, 1.01, float("nan")])
def test_top_p_out_of_range_raises(top_p: float) -> None:
    with pytest.raises(ValueError, match=r"top_p is .*, expected a share above 0 and up to 1; 1 draws from"):
        HEAD.draw(outputs(1, 16), uniforms(1), top_p=top_p)


def test_built_head_has_one_output_for_each_code() -> None:
    assert build_head(HeadConfig(), MuLawCodec(64)).num_parameters == 64


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_expected_amplitude_is_a_sum_over_all_codes(dtype: torch.dtype) -> None:
    codes_1Q = torch.arange(256)[None]
    for head, codec in ((SoftmaxHead(256), MuLawCodec()), (LogisticsHead(3, 256), LinearCodec(256))):
        outputs_1K1 = outputs(1, head.num_parameters, 1).to(dtype)
        if isinstance(head, LogisticsHead):  # well inside of the range, and narrow beside it
            outputs_1K1[:, 3:6] -= 4
        nats_1Q = head.nats(outputs_1K1.expand(-1, -1, 256), codes_1Q)
        expected = (torch.exp(-nats_1Q) * codec.decode(codes_1Q)).sum()
        assert head.expect(outputs_1K1, codec).item() == pytest.approx(expected.item(), abs=2e-3)
