"""Why not an FFT: a convolution with a long kernel in place of a dilated one, to be compared. No setting of a model.

    WaveNet(config, convolution=LongConvolutions(length=512))

Shapes: T columns of time, N the last that are made, B batch, P past, C and D channels, L samples of a kernel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wavenet_pl.layers.convolution import rows


class LongConv1d(nn.Module):
    """A kernel of its own for each channel, by FFT, and then a matrix over the channels.

    As with `CausalConv1d` the past is an argument, and none means that the recording begins here. An FFT sees all
    columns at once: that later ones do not count in earlier ones is true to rounding.

    Args:
        in_channels: C.
        out_channels: D.
        length: L, of each kernel.
        decaying: whether kernels are waves that die away, with four numbers each, and not L free ones.
        bias: whether one is added.
    """

    def __init__(
        self, in_channels: int, out_channels: int, length: int, *, decaying: bool = False, bias: bool = True
    ) -> None:
        super().__init__()
        self.length, self.context, self.dilation = length, length - 1, (1,)
        if decaying:
            # Lives and frequencies begin spread over all that fit, on a logarithmic scale.
            spread = torch.linspace(0, 1, in_channels)
            self.shape = nn.Parameter(
                torch.stack([
                    torch.ones(in_channels), spread[torch.randperm(in_channels)] * math.log(length),
                    math.log(math.pi) - spread * math.log(length), torch.zeros(in_channels),
                ])
            )  # fmt: skip
        else:
            self.kernel = nn.Parameter(torch.randn(in_channels, length) / math.sqrt(length))
        self.mix = nn.Linear(in_channels, out_channels, bias=bias)
        nn.init.normal_(self.mix.weight, std=in_channels**-0.5)
        if bias:
            nn.init.zeros_(self.mix.bias)

    @property
    def kernel_CL(self) -> Tensor:
        """The kernels; lag 0 is the first."""
        if hasattr(self, "kernel"):
            return self.kernel
        size_C1, life_C1, turn_C1, phase_C1 = self.shape[:, :, None]
        lag_L = torch.arange(self.length, device=self.shape.device)
        wave_CL = torch.exp(-lag_L / life_C1.exp()) * torch.cos(turn_C1.exp() * lag_L + phase_C1)
        return size_C1 * wave_CL / wave_CL.detach().norm(dim=1, keepdim=True)

    def forward(
        self, x_TBC: Tensor, past_PBC: Tensor | None = None, num_made: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """The last ``num_made`` columns (N, B, D), all if None; and the past for next time."""
        if past_PBC is None:
            past_PBC = x_TBC.new_zeros(self.context, *x_TBC.shape[1:])
        whole_TBC = torch.cat([past_PBC, x_TBC])
        num_made = x_TBC.shape[0] if num_made is None else num_made
        made_NBC = fft_convolve(whole_TBC, self.kernel_CL.to(whole_TBC.dtype))[
            whole_TBC.shape[0] - num_made :
        ]
        made_NBD = F.linear(rows(made_NBC), self.mix.weight, self.mix.bias).view(*made_NBC.shape[:2], -1)
        return made_NBD, whole_TBC[whole_TBC.shape[0] - self.context :].detach()


def fft_convolve(x_TBC: Tensor, kernel_CL: Tensor) -> Tensor:
    """Each channel with its kernel (T, B, C), as if there were zeros before."""
    size = fft_length(x_TBC.shape[0] + kernel_CL.shape[1] - 1)
    spectrum_FBC = torch.fft.rfft(x_TBC, size, dim=0) * torch.fft.rfft(kernel_CL.t(), size, dim=0)[:, None]
    return torch.fft.irfft(spectrum_FBC, size, dim=0)[: x_TBC.shape[0]]


def fft_length(least: int) -> int:
    """The smallest product of twos, threes and fives from ``least`` on: an FFT is fast at these."""
    odd = (3**threes * 5**fives for threes in range(12) for fives in range(8))
    return min(one << (-(-least // one) - 1).bit_length() for one in odd)


@dataclass(frozen=True)
class LongConvolutions:
    """Builds the convolution of each layer of a `WaveNet`: all have the same length, whatever the dilation was."""

    length: int
    decaying: bool = False

    def __call__(self, in_channels: int, out_channels: int, dilation: int, bias: bool) -> LongConv1d:
        return LongConv1d(in_channels, out_channels, self.length, decaying=self.decaying, bias=bias)
