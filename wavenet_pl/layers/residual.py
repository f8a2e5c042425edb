"""The layers: a dilated convolution, a gate, and what it adds to the next layer's input and to the outputs.

Shapes: T columns of time that come in, N the last of them that are made, U the last that are used, M the first of the
made ones in which a recording may not have begun, B batch, P past, K taps, R residual, G gate, S skip, H condition.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from wavenet_pl.config.model import NetworkConfig
from wavenet_pl.layers.columns import last_columns, silenced
from wavenet_pl.layers.convolution import CausalConv1d, Pointwise, convolve, convolve_back, project, rows
from wavenet_pl.layers.plain import what_is_changed


class Ask(NamedTuple):
    """What is wanted of a layer."""

    num_made: int
    """Columns that the layers after this one need (N)."""
    num_used: int
    """Columns that skip connections need (U)."""
    begun_MB1: Tensor | None = None
    """0 in the columns where a recording has not begun: the next layer reads zeros there."""
    recompute: bool = False
    """Whether the gate is computed again for the gradients instead of kept until then."""
    step_by_step: bool = False
    """Whether all T columns are made, and each part by its own module."""


class Made(NamedTuple):
    """What a layer makes on its way; most of it step by step only."""

    gated: Tensor
    """(U, B, G / 2), or (T, B, G / 2) step by step: filter times gate."""
    filter: Tensor | None = None
    """(T, B, G / 2) after its tanh."""
    gate: Tensor | None = None
    """(T, B, G / 2) after its sigmoid."""
    residual: Tensor | None = None
    """(T, B, R) what is added to the layer's input; None in the last layer."""
    skip: Tensor | None = None
    """(T, B, S) what goes to the outputs."""


class ResidualLayer(nn.Module):
    """One dilated convolution with its gate, and its residual and skip outputs.

    Dropout, in training only, is on what the dilated convolution reads; the residual path stays whole.
    """

    def __init__(
        self, config: NetworkConfig, *, dilation: int, condition_channels: int = 0, last: bool = False
    ) -> None:
        super().__init__()
        residual, gate, bias = config.residual_channels, config.gate_channels, config.bias
        self.residual_scale = config.residual_scale
        self.dropout = nn.Dropout(config.dropout)
        self.dilated = CausalConv1d(residual, gate, config.kernel_size, dilation, bias)
        # The dilated convolution's bias serves the condition as well.
        self.condition = Pointwise(condition_channels, gate, bias=False) if condition_channels else None
        # Nothing would read the last layer's residual: its weights would get no gradient, and DDP would stop.
        self.residual = None if last else Pointwise(gate // 2, residual, bias)
        # All skips are one product over the gates of all layers: see `WaveNet`.
        self.skip = Pointwise(gate // 2, config.skip_channels, bias)

    @property
    def is_plain(self) -> bool:
        """Whether weights say all that its modules compute: they have no hooks, and no classes of their own."""
        parts = (self.dilated, self.condition, self.residual, self.skip, self.dropout)
        return not any(what_is_changed(part, _PLAIN) for part in parts if part is not None)

    def forward(
        self, x_TBR: Tensor, condition_TBH: Tensor | None, past_PBR: Tensor | None, ask: Ask
    ) -> tuple[Tensor, Made, Tensor]:
        """The next layer's input (N, B, R), what else is made, and the past for next time.

        Args:
            x_TBR: the layer's input.
            condition_TBH: its columns end where those of the input do; or T = 1 for one that does not change.
            past_PBR: what the call before returned.
            ask: what is wanted.
        """
        if ask.step_by_step:
            return self._step_by_step(x_TBR, condition_TBH, past_PBR, ask.begun_MB1)
        read_TBR = self.dropout(x_TBR) if self.training and self.dropout.p else None
        residual, condition = self.residual, self.condition
        given = (
            ask, self.dilated.dilation[0], self.residual_scale, past_PBR, x_TBR, read_TBR, condition_TBH,
            self.dilated.weight, self.dilated.bias,
            None if condition is None else condition.weight,
            None if residual is None else residual.weight,
            None if residual is None else residual.bias,
        )  # fmt: skip
        x_NBR, gated_UBG = _Layer.apply(*given) if torch.is_grad_enabled() else _make(*given)[:2]
        return (
            x_NBR,
            Made(gated_UBG),
            self.dilated.next_past(x_TBR if read_TBR is None else read_TBR, past_PBR),
        )

    def _step_by_step(
        self, x_TBR: Tensor, condition_TBH: Tensor | None, past_PBR: Tensor | None, begun_MB1: Tensor | None
    ) -> tuple[Tensor, Made, Tensor]:
        z_TBG, past_PBR = self.dilated(self.dropout(x_TBR), past_PBR)
        if self.condition is not None:
            z_TBG = z_TBG + self.condition(condition_TBH)
        filter_TBG, gate_TBG = z_TBG.chunk(2, dim=2)
        filter_TBG, gate_TBG = torch.tanh(filter_TBG), torch.sigmoid(gate_TBG)
        gated_TBG = filter_TBG * gate_TBG
        residual_TBR = None
        if self.residual is not None:
            residual_TBR = self.residual(gated_TBG)
            x_TBR = silenced((residual_TBR + x_TBR) * self.residual_scale, begun_MB1)
        return x_TBR, Made(gated_TBG, filter_TBG, gate_TBG, residual_TBR, self.skip(gated_TBG)), past_PBR


_PLAIN = (CausalConv1d, Pointwise, nn.Dropout)


def _gate(  # type: ignore[no-untyped-def]
    num_made, dilation, past_PBR, x_TBR, condition_TBH, weight_GRK, bias_G, condition_GH1
) -> Tensor:
    """Filter after its tanh and gate after its sigmoid, side by side (N, B, G)."""
    z_NBG = convolve(x_TBR, past_PBR, num_made, dilation, weight_GRK, bias_G)
    if condition_GH1 is not None:
        z_NBG += project(last_columns(condition_TBH, num_made), condition_GH1[:, :, 0].to(z_NBG.dtype), None)
    filter_NBG, gate_NBG = z_NBG.chunk(2, dim=2)
    filter_NBG.tanh_()
    gate_NBG.sigmoid_()
    return z_NBG


def _make(  # type: ignore[no-untyped-def]
    ask,
    dilation,
    scale,
    past_PBR,
    x_TBR,
    read_TBR,
    condition_TBH,
    weight_GRK,
    bias_G,
    condition_GH1,
    residual_RG1,
    bias_R,
) -> tuple[Any, Tensor, Tensor]:  # fmt: skip
    """The next layer's input (N, B, R), what is gated (U, B, G / 2), and filter and gate (N, B, G)."""
    dtype, num_made = x_TBR.dtype, ask.num_made
    read = x_TBR if read_TBR is None else read_TBR
    z_NBG = _gate(num_made, dilation, past_PBR, read, condition_TBH, weight_GRK, bias_G, condition_GH1)
    filter_NBG, gate_NBG = z_NBG.chunk(2, dim=2)
    gated_NBG = filter_NBG * gate_NBG
    x_NBR = None
    if residual_RG1 is not None:
        bias_R = None if bias_R is None else bias_R.to(dtype)
        x_NBR = project(gated_NBG, residual_RG1[:, :, 0].to(dtype), bias_R)
        x_NBR += x_TBR[x_TBR.shape[0] - num_made :]
        if scale != 1:
            x_NBR *= scale
        if ask.begun_MB1 is not None:
            x_NBR[: ask.begun_MB1.shape[0]] *= ask.begun_MB1
    return x_NBR, gated_NBG[num_made - ask.num_used :], z_NBG


class _Layer(torch.autograd.Function):
    """All that a layer computes but its skip.

    It keeps its input and the two halves of its gate, and works in place. Autograd by itself would keep each step, and
    give each slice of the input a gradient as long as the input.
    """

    @staticmethod
    def forward(ctx: Any, *given):  # type: ignore[no-untyped-def]
        x_NBR, gated_UBG, z_NBG = _make(*given)
        ctx.ask, ctx.dilation, ctx.scale, *tensors, _ = given
        ctx.save_for_backward(*tensors, None if ctx.ask.recompute else z_NBG)
        return x_NBR, gated_UBG

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dx_NBR, d_used_UBG):  # type: ignore[no-untyped-def, override]
        past_PBR, x_TBR, read_TBR, condition_TBH, weight_GRK, bias_G, condition_GH1, residual_RG1, z_NBG = (
            ctx.saved_tensors
        )
        num_made, num_used, begun_MB1, *_ = ctx.ask
        *_, needs_x, _, _, _, needs_bias, _, needs_residual, needs_residual_bias = ctx.needs_input_grad
        dtype, read = x_TBR.dtype, x_TBR if read_TBR is None else read_TBR
        if z_NBG is None:
            z_NBG = _gate(
                num_made, ctx.dilation, past_PBR, read, condition_TBH, weight_GRK, bias_G, condition_GH1
            )
        filter_NBG, gate_NBG = z_NBG.chunk(2, dim=2)
        d_residual = d_residual_bias = None
        if residual_RG1 is None:
            assert num_made == num_used
            d_gated_NBG = d_used_UBG
        else:
            if begun_MB1 is not None:
                dx_NBR = dx_NBR.clone()
                dx_NBR[: begun_MB1.shape[0]] *= begun_MB1
            if ctx.scale != 1:
                dx_NBR = dx_NBR * ctx.scale
            d_rows = rows(dx_NBR)
            d_gated_NBG = (d_rows @ residual_RG1[:, :, 0].to(dtype)).view_as(filter_NBG)
            d_gated_NBG[num_made - num_used :] += d_used_UBG
            if needs_residual:
                d_residual = (d_rows.t() @ rows(filter_NBG * gate_NBG))[:, :, None]
            if needs_residual_bias:
                d_residual_bias = d_rows.sum(0)
        dz_NBG = torch.empty_like(z_NBG)
        d_filter_NBG, d_gate_NBG = dz_NBG.chunk(2, dim=2)
        torch.mul(d_gated_NBG, gate_NBG, out=d_filter_NBG)
        torch.mul(d_gated_NBG, filter_NBG, out=d_gate_NBG)
        torch.ops.aten.tanh_backward.grad_input(d_filter_NBG, filter_NBG, grad_input=d_filter_NBG)
        torch.ops.aten.sigmoid_backward.grad_input(d_gate_NBG, gate_NBG, grad_input=d_gate_NBG)
        dx_TBR = d_read_TBR = None
        if needs_x:
            dx_TBR = x_TBR.new_zeros(x_TBR.shape)
            if residual_RG1 is not None:
                dx_TBR[x_TBR.shape[0] - num_made :] = dx_NBR
        if read_TBR is not None:
            d_read_TBR = x_TBR.new_zeros(x_TBR.shape)
        d_read = dx_TBR if read_TBR is None else d_read_TBR
        d_weight = convolve_back(dz_NBG, read, past_PBR, ctx.dilation, weight_GRK, d_read)
        d_bias = dz_NBG.sum((0, 1)) if needs_bias else None
        d_condition_TBH = d_condition = None
        if condition_GH1 is not None:
            condition_GH = condition_GH1[:, :, 0].to(dtype)
            dz_NBG = dz_NBG.sum(0, keepdim=True) if condition_TBH.shape[0] == 1 else dz_NBG
            d_condition_TBH = condition_TBH.new_zeros(condition_TBH.shape)
            torch.mm(rows(dz_NBG), condition_GH, out=rows(last_columns(d_condition_TBH, num_made)))
            d_condition = (rows(dz_NBG).t() @ rows(last_columns(condition_TBH, num_made)))[:, :, None]
        return (
            None, None, None, None, dx_TBR, d_read_TBR, d_condition_TBH, d_weight, d_bias, d_condition, d_residual,
            d_residual_bias,
        )  # fmt: skip
