"""A layer as one step for autograd, which works in place and keeps little.

Autograd by itself would keep what each operation makes, and give each slice of the input a gradient as long as the
input. Filter and gate are kept in a piece each: so a CPU goes through them twice as fast as through halves of rows.

Shapes: T columns of time that come in, N the last of them that are made, U the last that are used, M the first of the
made ones in which a recording may not have begun, B batch, P past, K taps, R residual, G gate, S skip, H condition.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from wavenet_pl.layers.columns import last_columns
from wavenet_pl.layers.convolution import convolve, convolve_back, product_over_rows, project, rows


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
    compiled: bool = False
    """Whether a compiler makes the layer, and finds its gradients."""


class Layer(NamedTuple):
    """What a layer reads, and its weights; or of each whether it wants a gradient, or that gradient."""

    ask: Any
    dilation: Any
    scale: Any
    """Of the next layer's input."""
    past_PBR: Any
    x_TBR: Any
    read_TBR: Any
    """What the dilated convolution reads, where that is not x: after its dropout."""
    condition_TBH: Any
    weight_GRK: Any
    bias_G: Any
    condition_GH1: Any
    residual_RG1: Any
    bias_R: Any
    skip_SG1: Any

    @property
    def reads(self) -> tuple[Tensor, Tensor | None, int]:
        """What the dilated convolution reads, its past, and its dilation."""
        return self.x_TBR if self.read_TBR is None else self.read_TBR, self.past_PBR, self.dilation

    def typed(self, weight: Tensor | None) -> Any:
        """In the type of the activations; that of one tap as a matrix."""
        if weight is None:
            return None
        matrix, dtype = weight[:, :, 0] if weight.ndim == 3 else weight, self.x_TBR.dtype
        return matrix if matrix.dtype is dtype else matrix.to(dtype)


def make_layer(layer: Layer, skips_UBS: Tensor) -> tuple[Any, Tensor, Any]:
    """The next layer's input (N, B, R), None after the last; the sum of skips, to which this layer's are added.

    And the condition for the next layer: the same, so that its gradient goes from layer to layer too, and each adds to
    it in place. Were it one input of all layers, autograd would add up one gradient of its size for each.
    """
    if layer.ask.compiled:
        return *compiled_layer()(layer, skips_UBS), layer.condition_TBH
    if torch.is_grad_enabled():
        x_NBR, skips_UBS, *condition = _Function.apply(skips_UBS, *layer)
        return x_NBR, skips_UBS, *(condition or [layer.condition_TBH])
    return _make(layer, *_gate(layer), skips_UBS), skips_UBS, layer.condition_TBH


@cache
def compiled_layer(backend: str | Callable[..., Any] = "inductor") -> Callable[..., tuple[Any, Tensor]]:
    """`whole_layer` compiled, once for all layers: dilations and numbers of columns are numbers that it is given.

    Three times, that is: a dilation of 1 is known to it, and the last layer has no residual.
    """
    return torch.compile(whole_layer, dynamic=True, backend=backend)


def whole_layer(layer: Layer, skips_UBS: Tensor) -> tuple[Any, Tensor]:
    """The next layer's input and the sum of skips, for a compiler: what comes in stays as it is.

    It finds gradients of what it has fused, which those of ours would keep it from.
    """
    skips_UBS = skips_UBS.clone()
    return _make(layer, *_gate(layer), skips_UBS), skips_UBS


class _Function(torch.autograd.Function):
    """`make_layer` for autograd, which sees the sum of skips and the fields of `Layer`."""

    @staticmethod
    def forward(ctx: Any, skips_UBS, *given):  # type: ignore[no-untyped-def]
        layer = Layer(*given)
        gate = _gate(layer)
        x_NBR = _make(layer, *gate, skips_UBS)
        ctx.settings = layer[:3]
        ctx.save_for_backward(*layer[3:], *(() if layer.ask.recompute else gate))
        ctx.mark_dirty(skips_UBS)
        told_TBH = layer.condition_TBH
        return x_NBR, skips_UBS, *([] if told_TBH is None or not told_TBH.requires_grad else [told_TBH])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dx_NBR, d_skips_UBS, d_told_TBH=None):  # type: ignore[no-untyped-def, override]
        number = len(Layer._fields) - len(ctx.settings)
        layer, gate = Layer(*ctx.settings, *ctx.saved_tensors[:number]), ctx.saved_tensors[number:]
        filter_NBG, gate_NBG = gate or _gate(layer)
        wanted = Layer(*ctx.needs_input_grad[1:])
        return d_skips_UBS, *_gradients(
            layer, (filter_NBG, gate_NBG), (dx_NBR, d_skips_UBS, d_told_TBH), wanted
        )


def _gate(layer: Layer) -> tuple[Tensor, Tensor]:
    """Filter after its tanh and gate after its sigmoid (N, B, G / 2)."""
    num_made, dtype, told_TBH = layer.ask.num_made, layer.x_TBR.dtype, layer.condition_TBH
    bias, condition_GH = layer.typed(layer.bias_G), layer.typed(layer.condition_GH1)
    if told_TBH is not None and 1 in (num_made, told_TBH.shape[0]):  # one column of it for all that are made
        bias, told_TBH = project(last_columns(told_TBH, 1), condition_GH, bias), None
    z_NBG = convolve(*layer.reads, layer.weight_GRK.to(dtype), num_made)
    if told_TBH is not None:
        rows(z_NBG).addmm_(rows(last_columns(told_TBH, num_made)), condition_GH.t())
    halves = z_NBG.chunk(2, dim=2)
    if bias is None:
        filter_NBG, gate_NBG = (half.contiguous() for half in halves)
    else:
        filter_NBG, gate_NBG = map(torch.add, halves, bias.chunk(2, dim=-1))
    if filter_NBG.is_cpu and dtype is torch.bfloat16:  # whose tanh takes longer than that of float32
        return filter_NBG.float().tanh_().to(dtype), gate_NBG.sigmoid_()
    return filter_NBG.tanh_(), gate_NBG.sigmoid_()


def _make(layer: Layer, filter_NBG: Tensor, gate_NBG: Tensor, skips_UBS: Tensor) -> Any:
    """The next layer's input; adds to the skips."""
    num_made, num_used, begun_MB1, *_ = layer.ask
    gated_NBG = filter_NBG * gate_NBG
    rows(skips_UBS).addmm_(rows(gated_NBG[num_made - num_used :]), layer.typed(layer.skip_SG1).t())
    if layer.residual_RG1 is None:
        return None
    x_NBR = last_columns(layer.x_TBR, num_made)
    x_NBR = x_NBR.clone() if layer.bias_R is None else x_NBR + layer.typed(layer.bias_R)
    rows(x_NBR).addmm_(rows(gated_NBG), layer.typed(layer.residual_RG1).t())
    if layer.scale != 1:
        x_NBR *= layer.scale
    if begun_MB1 is not None:
        x_NBR[: begun_MB1.shape[0]] *= begun_MB1
    return x_NBR


def _gradients(
    layer: Layer, gate: tuple[Tensor, Tensor], given: tuple[Any, Tensor, Any], wanted: Layer
) -> Layer:
    """Those that are wanted; those of x and of the condition begin with what later layers hand down."""
    (filter_NBG, gate_NBG), (dx_NBR, d_skips_UBS, d_told_TBH) = gate, given
    num_made, num_used, begun_MB1, *_ = layer.ask
    begun_with_zeros = wanted._replace(condition_TBH=False)
    if layer.residual_RG1 is not None:
        begun_with_zeros = begun_with_zeros._replace(x_TBR=False)
    pairs = zip(layer, begun_with_zeros, strict=True)
    d = Layer(*(torch.zeros_like(one) if want is True else None for one, want in pairs))
    gated_NBG = filter_NBG * gate_NBG
    if layer.residual_RG1 is None:
        d_gated_NBG = torch.zeros_like(gated_NBG)
    else:
        if begun_MB1 is not None:
            dx_NBR = dx_NBR.clone()
            dx_NBR[: begun_MB1.shape[0]] *= begun_MB1
        if layer.scale != 1:
            dx_NBR = dx_NBR * layer.scale
        d_gated_NBG = project(dx_NBR, layer.typed(layer.residual_RG1).t(), None)
        _add_product(d.residual_RG1, dx_NBR, gated_NBG)
        _add_sum(d.bias_R, dx_NBR)
        if wanted.x_TBR:
            d = d._replace(x_TBR=_after_zeros(dx_NBR, layer.x_TBR.shape[0]))
    used = slice(num_made - num_used, None)
    rows(d_gated_NBG[used]).addmm_(rows(d_skips_UBS), layer.typed(layer.skip_SG1))
    _add_product(d.skip_SG1, d_skips_UBS, gated_NBG[used])
    dz_NBG = _gate_back(d_gated_NBG, filter_NBG, gate_NBG)
    _add_sum(d.bias_G, dz_NBG)
    d_read_TBR = d.x_TBR if layer.read_TBR is None else d.read_TBR
    convolve_back(dz_NBG, *layer.reads, layer.weight_GRK.to(dz_NBG.dtype), d.weight_GRK, d_read_TBR)
    told_TBH = layer.condition_TBH
    if told_TBH is not None:
        if told_TBH.shape[0] == 1:  # one column for all that are made
            dz_NBG = dz_NBG.sum(0, keepdim=True)
        _add_product(d.condition_GH1, dz_NBG, last_columns(told_TBH, dz_NBG.shape[0]))
        if d_told_TBH is not None:
            d_told_NBH = last_columns(d_told_TBH, dz_NBG.shape[0])
            rows(d_told_NBH).addmm_(rows(dz_NBG), layer.typed(layer.condition_GH1))
    return d._replace(condition_TBH=d_told_TBH)


def _after_zeros(x_NBC: Tensor, num_columns: int) -> Tensor:
    """As the last of so many columns (T, B, C): one copy, where `F.pad` would fill all of it with zeros first."""
    first = num_columns - x_NBC.shape[0]
    padded_TBC = x_NBC.new_empty(num_columns, *x_NBC.shape[1:])
    padded_TBC[:first].zero_()
    padded_TBC[first:] = x_NBC
    return padded_TBC


def _gate_back(d_gated_NBG: Tensor, filter_NBG: Tensor, gate_NBG: Tensor) -> Tensor:
    """The gradient (N, B, G) of what filter and gate are made of, side by side: products are faster the wider.

    What comes in is not the same afterwards: only the last of its operations goes through halves of rows.
    """
    num_made, batch, half = d_gated_NBG.shape
    dz_NBG = d_gated_NBG.new_empty(num_made, batch, 2 * half)
    d_filter_NBG, d_gate_NBG = dz_NBG.chunk(2, dim=2)
    torch.ops.aten.tanh_backward.grad_input(d_gated_NBG * gate_NBG, filter_NBG, grad_input=d_filter_NBG)
    torch.ops.aten.sigmoid_backward.grad_input(d_gated_NBG.mul_(filter_NBG), gate_NBG, grad_input=d_gate_NBG)
    return dz_NBG


def _add_product(d_DC1: Any, d_made_NBD: Tensor, read_NBC: Tensor) -> None:
    """Adds to the gradient of a weight of one tap, if that is wanted."""
    if d_DC1 is not None:
        d_DC1[:, :, 0] += product_over_rows(rows(d_made_NBD), rows(read_NBC))


def _add_sum(d_D: Any, d_made_NBD: Tensor) -> None:
    """Adds to the gradient of a bias, if that is wanted."""
    if d_D is not None:
        # As a product, which torch shares out between threads better than a sum.
        d_D += (d_made_NBD.new_ones(1, d_made_NBD.shape[0] * d_made_NBD.shape[1]) @ rows(d_made_NBD))[0]
