"""What a network makes on its way, for who looks inside: time is the last axis here.

Shapes: B batch, T time, K head parameters, R residual, G gate, S skip.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor

from wavenet_pl.layers.columns import as_BCT
from wavenet_pl.layers.residual import Made


class LayerTrace(NamedTuple):
    """What one layer makes on the way of a forward."""

    input: Tensor
    """(B, R, T) what comes in: of the first layer, what the first convolution makes of the codes."""
    filter: Tensor
    """(B, G / 2, T) after its tanh."""
    gate: Tensor
    """(B, G / 2, T) after its sigmoid."""
    gated: Tensor
    """(B, G / 2, T) their product."""
    residual: Tensor | None
    """(B, R, T) what is added to the layer's input; None in the last layer, whose sum nobody would read."""
    skip: Tensor
    """(B, S, T) what goes to the outputs."""

    @classmethod
    def of(cls, made: Made) -> LayerTrace:
        """The same with time at the end."""
        parts: dict[str, Any] = {
            name: None if part is None else as_BCT(part) for name, part in made._asdict().items()
        }
        return cls(**parts)


class Trace(NamedTuple):
    """All that one forward computes on its way; see `WaveNet.trace`."""

    layers: tuple[Any, ...]
    """A `LayerTrace` of each layer, or what was taken of it."""
    outputs: Tensor
    """(B, K, T) as `WaveNet.forward` gives them."""
