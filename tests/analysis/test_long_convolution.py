"""Long convolutions by FFT: the direct sum, chunks as the whole, causal to rounding; an engine refuses them by name."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from wavenet_pl.analysis.long_convolution import LongConv1d, LongConvolutions, fft_length
from wavenet_pl.config.model import NetworkConfig
from wavenet_pl.generation.fused_cpu.fitness import why_not
from wavenet_pl.heads import SoftmaxHead
from wavenet_pl.network import WaveNet

LENGTH = 37
CONFIG = NetworkConfig(stacks=1, layers_per_stack=3, residual_channels=4, gate_channels=8, skip_channels=6)


@pytest.fixture(params=[False, True], ids=["explicit", "decaying"])
def convolution(request) -> LongConv1d:
    torch.manual_seed(0)
    return LongConv1d(4, 6, LENGTH, decaying=request.param)


def directly(convolution: LongConv1d, x_TBC: torch.Tensor, past_PBC: torch.Tensor | None) -> torch.Tensor:
    if past_PBC is None:
        past_PBC = x_TBC.new_zeros(LENGTH - 1, *x_TBC.shape[1:])
    x_BCT = torch.cat([past_PBC, x_TBC]).permute(1, 2, 0)
    made_BCT = F.conv1d(x_BCT, convolution.kernel_CL.flip(1)[:, None], groups=4)
    return convolution.mix(made_BCT.permute(2, 0, 1))


@torch.no_grad()
def test_it_is_the_direct_sum(convolution):
    x_TBC, past_PBC = torch.randn(100, 3, 4), torch.randn(LENGTH - 1, 3, 4)
    for past in (None, past_PBC):
        made, _ = convolution(x_TBC, past)
        torch.testing.assert_close(made, directly(convolution, x_TBC, past), rtol=1e-5, atol=1e-5)
    last, _ = convolution(x_TBC, past_PBC, 7)
    torch.testing.assert_close(last, made[-7:])


def test_an_fft_is_as_short_as_one_of_small_factors_can_be():
    def has_small_factors(number: int) -> bool:
        for factor in (2, 3, 5):
            while number % factor == 0:
                number //= factor
        return number == 1

    for least in range(1, 4000):
        length = fft_length(least)
        assert length >= least
        assert [number for number in range(least, length + 1) if has_small_factors(number)] == [length]


@pytest.mark.parametrize("chunks", [[1] * 40, [7, 1, 32], [40]])
@torch.no_grad()
def test_chunks_agree_with_the_whole(convolution, chunks):
    x_TBC, past, parts = torch.randn(40, 2, 4), None, []
    for piece_TBC in x_TBC.split(chunks):
        made, past = convolution(piece_TBC, past)
        parts.append(made)
    torch.testing.assert_close(torch.cat(parts), convolution(x_TBC)[0], rtol=1e-5, atol=1e-5)


def test_what_comes_later_counts_to_rounding_only(convolution):
    x_TBC = torch.randn(80, 1, 4, dtype=torch.float64, requires_grad=True)
    made, _ = convolution.double()(x_TBC)
    made[50].square().sum().backward()
    sizes = x_TBC.grad.abs().sum(dim=(1, 2))
    assert sizes[51:].max() < 1e-6 * sizes.max()
    assert sizes[: 50 - LENGTH + 1].max() < 1e-6 * sizes.max()
    assert sizes[50] > 1e-4 * sizes.max()


def test_a_network_of_them_trains_generates_and_knows_its_field():
    torch.manual_seed(0)
    network = WaveNet(CONFIG, convolution=LongConvolutions(LENGTH))
    assert network.receptive_field == 1 + 1 + 3 * (LENGTH - 1)
    codes_BT = torch.randint(256, (2, 150))
    whole, _ = network(codes_BT)
    parts, state = [], None
    for piece_BT in codes_BT.split([40, 1, 109], dim=1):
        made, state = network(piece_BT, None, state)
        parts.append(made)
    torch.testing.assert_close(torch.cat(parts, dim=2), whole, rtol=1e-4, atol=1e-5)
    whole.square().mean().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    changed = codes_BT.clone()
    changed[:, 0] = (codes_BT[:, 0] + 1) % 256
    same = network.receptive_field
    assert torch.allclose(network(changed)[0][:, :, same:], whole[:, :, same:], atol=1e-5)
    assert not torch.allclose(network(changed)[0][:, :, same - 5], whole[:, :, same - 5], atol=1e-7)


def test_the_fused_engine_refuses_it_by_name():
    reason = why_not(WaveNet(CONFIG, convolution=LongConvolutions(LENGTH)), SoftmaxHead(256))
    assert reason == "network.layers.0.dilated is a LongConv1d, which it does not know"
