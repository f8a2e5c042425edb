"""The layers: a dilated convolution, a gate, and what it adds to the next layer's input and to the outputs.

Shapes: T columns of time that come in, N the last of them that are made, U the last that are used, B batch, P past,
R residual, G gate, S skip, H condition.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from wavenet_pl.config.model import NetworkConfig
from wavenet_pl.layers.columns import silenced
from wavenet_pl.layers.convolution import CausalConv1d, Pointwise
from wavenet_pl.layers.fused import Ask, Layer, make_layer
from wavenet_pl.layers.plain import what_is_changed

Convolution = Callable[[int, int, int, bool], nn.Module]
"""Builds what stands in place of a dilated convolution, with its `forward` and `context`.

Of the channels that come in and that go out, the dilation, and whether there is a bias.
"""


class Made(NamedTuple):
    """What a layer makes on its way, step by step only."""

    input: Tensor
    """(T, B, R) what comes in."""
    filter: Tensor
    """(T, B, G / 2) after its tanh."""
    gate: Tensor
    """(T, B, G / 2) after its sigmoid."""
    gated: Tensor
    """(T, B, G / 2) their product."""
    residual: Tensor | None
    """(T, B, R) what is added to the layer's input; None in the last layer."""
    skip: Tensor
    """(T, B, S) what goes to the outputs."""


class ResidualLayer(nn.Module):
    """One dilated convolution with its gate, and its residual and skip outputs.

    Dropout, in training only, is on what the dilated convolution reads; the residual path stays whole.
    """

    def __init__(
        self,
        config: NetworkConfig,
        *,
        dilation: int,
        condition_channels: int = 0,
        last: bool = False,
        convolution: Convolution | None = None,
    ) -> None:
        super().__init__()
        residual, gate, bias = config.residual_channels, config.gate_channels, config.bias
        self.residual_scale = config.residual_scale
        self.dropout = nn.Dropout(config.dropout)
        self.dilated: Any = (
            CausalConv1d(residual, gate, config.kernel_size, dilation, bias)
            if convolution is None
            else convolution(residual, gate, dilation, bias)
        )
        # The dilated convolution's bias serves the condition as well.
        self.condition = Pointwise(condition_channels, gate, bias=False) if condition_channels else None
        # Nothing would read the last layer's residual: its weights would get no gradient, and DDP would stop.
        self.residual = None if last else Pointwise(gate // 2, residual, bias)
        self.skip = Pointwise(gate // 2, config.skip_channels, bias)

    @property
    def is_plain(self) -> bool:
        """Whether weights say all that its modules compute: they have no hooks, and no classes of their own."""
        parts = (self.dilated, self.condition, self.residual, self.skip, self.dropout)
        return not any(what_is_changed(part, _PLAIN) for part in parts if part is not None)

    def forward(
        self,
        x_TBR: Tensor,
        skips_UBS: Tensor,
        condition_TBH: Tensor | None,
        past_PBR: Tensor | None,
        ask: Ask,
    ) -> tuple[Tensor, Tensor, Any, Tensor, Made | None]:
        """The next layer's input (N, B, R), the sum of skips, the condition, the past, and what is made step by step.

        Args:
            x_TBR: the layer's input.
            skips_UBS: the sum of skips so far, and their biases; changed in place, unless step by step.
            condition_TBH: its columns end where those of the input do; or T = 1 for one that does not change.
            past_PBR: what the call before returned.
            ask: what is wanted.
        """
        if ask.step_by_step:
            return self._step_by_step(x_TBR, skips_UBS, condition_TBH, past_PBR, ask)
        dilated, residual, condition = self.dilated, self.residual, self.condition
        read_TBR = self.dropout(x_TBR) if self.training and self.dropout.p else None
        layer = Layer(
            ask, dilated.dilation[0], self.residual_scale, past_PBR, x_TBR, read_TBR, condition_TBH,
            dilated.weight, dilated.bias,
            None if condition is None else condition.weight,
            None if residual is None else residual.weight,
            None if residual is None else residual.bias,
            self.skip.weight,
        )  # fmt: skip
        x_NBR, skips_UBS, condition_TBH = make_layer(layer, skips_UBS)
        past_PBR = dilated.next_past(x_TBR if read_TBR is None else read_TBR, past_PBR)
        return x_NBR, skips_UBS, condition_TBH, past_PBR, None

    def _step_by_step(
        self,
        x_TBR: Tensor,
        skips_UBS: Tensor,
        condition_TBH: Tensor | None,
        past_PBR: Tensor | None,
        ask: Ask,
    ) -> tuple[Tensor, Tensor, Any, Tensor, Made]:
        input_TBR = x_TBR
        z_TBG, past_PBR = self.dilated(self.dropout(x_TBR), past_PBR)
        if self.condition is not None:
            z_TBG = z_TBG + self.condition(condition_TBH)
        filter_TBG, gate_TBG, gated_TBG = self._gate(z_TBG)
        residual_TBR, skip_TBS = None, self.skip(gated_TBG)
        if self.residual is not None:
            residual_TBR = self.residual(gated_TBG)
            x_TBR = silenced((residual_TBR + x_TBR) * self.residual_scale, ask.begun_MB1)
        skips_UBS = skips_UBS + skip_TBS[skip_TBS.shape[0] - ask.num_used :]
        made = Made(input_TBR, filter_TBG, gate_TBG, gated_TBG, residual_TBR, skip_TBS)
        return x_TBR, skips_UBS, condition_TBH, past_PBR, made

    def _gate(self, z_TBG: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The filter, the gate, and what both make (T, B, G / 2)."""
        filter_TBG, gate_TBG = z_TBG.chunk(2, dim=2)
        filter_TBG, gate_TBG = torch.tanh(filter_TBG), torch.sigmoid(gate_TBG)
        return filter_TBG, gate_TBG, filter_TBG * gate_TBG


_PLAIN = (CausalConv1d, Pointwise, nn.Dropout)
