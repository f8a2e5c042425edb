"""Causal convolutions over rows: a shift in time is a slice, and a convolution a few matrix products.

Shapes: T columns of time that come in, N the last of them that are made, B batch, P past, C and D channels, K taps; of
products over rows N rows, J shares of them.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class CausalConv1d(nn.Conv1d):
    """Convolution over time that sees the present and the past, never the future.

    The past is an argument: the ``context`` columns before those that come in. No past means that the recording begins
    here: zeros. So training on a crop, absorbing a prompt and generating one sample at a time are the same
    computation, and no buffer has to be cleared.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, dilation: int = 1, bias: bool = True
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, dilation=dilation, bias=bias)
        self.context = (kernel_size - 1) * dilation

    def forward(  # type: ignore[override]  # a past goes in, and only some columns come out
        self, x_TBC: Tensor, past_PBC: Tensor | None = None, num_made: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """The last ``num_made`` columns (N, B, D), all if None; and the past for next time."""
        num_made = x_TBC.shape[0] if num_made is None else num_made
        made_NBD = convolve(x_TBC, past_PBC, self.dilation[0], self.weight.to(x_TBC.dtype), num_made)
        if self.bias is not None:
            made_NBD = made_NBD + self.bias.to(x_TBC.dtype)
        return made_NBD, self.next_past(x_TBC, past_PBC)

    def next_past(self, x_TBC: Tensor, past_PBC: Tensor | None) -> Tensor:
        """The past for the call that goes on: the last ``context`` columns so far."""
        x_TBC = x_TBC.detach()
        missing = self.context - x_TBC.shape[0]
        if missing <= 0:
            newest_PBC = x_TBC[-missing:]
            # A view would keep all of a long prompt alive.
            return newest_PBC.clone() if x_TBC.shape[0] > 2 * self.context else newest_PBC
        if past_PBC is None:
            past_PBC = x_TBC.new_zeros(self.context, *x_TBC.shape[1:])
        return torch.cat([past_PBC[-missing:], x_TBC])


class Pointwise(nn.Conv1d):
    """A convolution that sees one column."""

    def __init__(self, in_channels: int, out_channels: int, bias: bool = True) -> None:
        super().__init__(in_channels, out_channels, 1, bias=bias)

    def forward(self, x_TBC: Tensor) -> Tensor:
        """The same columns (T, B, D), computed in the type of ``x_TBC``."""
        bias = None if self.bias is None else self.bias.to(x_TBC.dtype)
        return project(x_TBC, self.weight[:, :, 0].to(x_TBC.dtype), bias)


def project(x_TBC: Tensor, weight_DC: Tensor, bias_D: Tensor | None) -> Tensor:
    """Each column by itself (T, B, D), as one product: torch would take another for three axes, without gradients."""
    return F.linear(rows(x_TBC), weight_DC, bias_D).view(*x_TBC.shape[:2], -1)


def rows(x_TBC: Tensor) -> Tensor:
    """(time x batch, channels)."""
    return x_TBC.flatten(0, 1)


def product_over_rows(d_ND: Tensor, read_NC: Tensor) -> Tensor:
    """The gradient (D, C) of a matrix that made rows of others: their outer products, summed over many rows.

    Each thread sums rows of its own: torch by itself shares out the few elements of the result, which is slower.
    """
    num_rows, num_shares = d_ND.shape[0], torch.get_num_threads() if d_ND.is_cpu else 1
    each = num_rows // num_shares
    if num_shares == 1 or each == 0:
        return d_ND.t() @ read_NC
    d_JND, read_JNC = (x[: each * num_shares].reshape(num_shares, each, -1) for x in (d_ND, read_NC))
    shares_JDC = d_JND.mT @ read_JNC
    rest = num_rows - each * num_shares
    left_DC = d_ND[num_rows - rest :].t() @ read_NC[num_rows - rest :]
    return shares_JDC.sum(0, dtype=torch.promote_types(d_ND.dtype, torch.float32)) + left_DC


def _taps_of(weight_DCK: Tensor) -> Tensor:
    """The matrix of each tap (K, D, C), the earliest first: each lies in one piece, as products want it."""
    return weight_DCK.permute(2, 0, 1).contiguous()


def convolve(
    x_TBC: Tensor, past_PBC: Tensor | None, dilation: int, weight_DCK: Tensor, num_made: int
) -> Tensor:
    """The last columns (N, B, D) of a causal convolution without its bias."""
    if num_made == 1:
        return _convolve_one(x_TBC, past_PBC, dilation, weight_DCK)
    taps_KDC, num_taps = _taps_of(weight_DCK), weight_DCK.shape[2]
    made_NBD = project(x_TBC[x_TBC.shape[0] - num_made :], taps_KDC[-1], None)
    for back in range(1, num_taps):
        for first, _, source in _sources(x_TBC, past_PBC, num_made, back * dilation):
            later = rows(made_NBD[first : first + source.shape[0]])
            later.addmm_(rows(source), taps_KDC[num_taps - 1 - back].t())
    return made_NBD


def _convolve_one(x_TBC: Tensor, past_PBC: Tensor | None, dilation: int, weight_DCK: Tensor) -> Tensor:
    """The last column (1, B, D), as generation makes one after another: no weight is copied for it."""
    columns = [_column(x_TBC, past_PBC, back * dilation) for back in reversed(range(weight_DCK.shape[2]))]
    return project(torch.stack(columns, dim=2).flatten(1)[None], weight_DCK.flatten(1), None)


def convolve_back(
    d_NBD: Tensor,
    x_TBC: Tensor,
    past_PBC: Tensor | None,
    dilation: int,
    weight_DCK: Tensor,
    d_weight_DCK: Tensor | None,
    dx_TBC: Tensor | None,
) -> None:
    """Adds the gradients of the weights and of the input to what is there, where they are wanted."""
    taps_KDC, num_taps = _taps_of(weight_DCK), weight_DCK.shape[2]
    for back in range(num_taps):
        tap = num_taps - 1 - back
        for first, begin, source in _sources(x_TBC, past_PBC, d_NBD.shape[0], back * dilation):
            d_rows = rows(d_NBD[first : first + source.shape[0]])
            if d_weight_DCK is not None:
                d_weight_DCK[:, :, tap] += product_over_rows(d_rows, rows(source))
            if dx_TBC is not None and begin >= 0:
                rows(dx_TBC[begin : begin + source.shape[0]]).addmm_(d_rows, taps_KDC[tap])


def _sources(
    x_TBC: Tensor, past_PBC: Tensor | None, num_made: int, shift: int
) -> Iterator[tuple[int, int, Tensor]]:
    """What a tap reads that looks back so many columns, as far as there is anything.

    Yields:
        The first made column that reads it, its first column in x (negative: in the past), and it (n, B, C).
    """
    begin = x_TBC.shape[0] - num_made - shift
    if begin < 0 and past_PBC is not None:
        first = past_PBC.shape[0] + begin
        yield 0, begin, past_PBC[first : first + num_made]
    if shift < x_TBC.shape[0]:
        yield max(0, -begin), max(0, begin), x_TBC[max(0, begin) : x_TBC.shape[0] - shift]


def _column(x_TBC: Tensor, past_PBC: Tensor | None, back: int) -> Tensor:
    """(B, C) so many columns before the last; zeros before there is anything."""
    if back < x_TBC.shape[0]:
        return x_TBC[x_TBC.shape[0] - 1 - back]
    if past_PBC is None:
        return torch.zeros_like(x_TBC[0])
    return past_PBC[past_PBC.shape[0] + x_TBC.shape[0] - 1 - back]
