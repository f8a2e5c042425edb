"""Heads: what the network's outputs mean as a distribution over the next code, its loss and its draws.

Shapes: B batch, T time, K head parameters.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from wavenet_pl.codec import MuLawCodec
from wavenet_pl.config import HeadConfig


@dataclass(frozen=True)
class SoftmaxHead:
    """A probability for every code, freely chosen: one logit each (WaveNet, section 2.2). Has no weights."""

    num_parameters: int
    """Outputs of the network per sample, here the number of codes."""

    def nats(self, outputs_BKT: Tensor, codes_BT: Tensor) -> Tensor:
        """Nats (B, T) that codes_BT[b, t] costs under outputs_BKT[b, :, t]: nothing is shifted in here."""
        return F.cross_entropy(_widened(outputs_BKT), codes_BT, reduction="none")

    def entropy(self, outputs_BKT: Tensor) -> Tensor:
        """Entropy (B, T) of the predictions: the nats to expect wherever the model is right."""
        log_probability_BKT = F.log_softmax(_widened(outputs_BKT), dim=1)
        return -(log_probability_BKT.exp() * log_probability_BKT).sum(dim=1)

    def draw(
        self, outputs_BK: Tensor, uniforms_B: Tensor, temperature: float = 1.0, top_p: float = 1.0
    ) -> Tensor:
        """Codes (B,), int64: the inverse of the distribution function at the given uniforms, in float64.

        The weight of code k is exp((output_k - max output) / temperature). With top_p < 1, sort the weights,
        largest first and the lower code first among equals, and zero those whose predecessors sum to top_p
        of the whole or more. The draw is the lowest code where the running sum of weights, in the order of
        codes, exceeds uniform * total.

        Args:
            outputs_BK: outputs of the network for one sample.
            uniforms_B: float64 in [0, 1), one for each draw.
            temperature: 1 draws from the model, less is bolder, 0 takes the most probable code.
            top_p: draw from the fewest codes whose probability reaches this share; 1 is all of them.

        Raises:
            ValueError: temperature or top_p is out of range.
        """
        check_draw(temperature, top_p)
        if temperature == 0:
            return outputs_BK.argmax(dim=1)
        outputs_BK = outputs_BK.double()
        weights_BK = ((outputs_BK - outputs_BK.amax(dim=1, keepdim=True)) / temperature).exp()
        if top_p < 1:
            sorted_BK, code_BK = weights_BK.sort(dim=1, descending=True, stable=True)
            sums_BK = sorted_BK.cumsum(dim=1)
            sorted_BK = sorted_BK.masked_fill(sums_BK - sorted_BK >= top_p * sums_BK[:, -1:], 0.0)
            weights_BK = torch.zeros_like(weights_BK).scatter(1, code_BK, sorted_BK)
        sums_BK = weights_BK.cumsum(dim=1)
        return (sums_BK <= uniforms_B[:, None] * sums_BK[:, -1:]).sum(dim=1)


def check_draw(temperature: float, top_p: float) -> None:
    """Raise ValueError for a temperature or top_p that no draw can use."""
    if not 0 <= temperature < float("inf"):
        raise ValueError(f"temperature is {temperature}, expected a number from 0; 1 draws from the model")
    if not 0 < top_p <= 1:
        raise ValueError(f"top_p is {top_p}, expected a share above 0 and up to 1; 1 draws from all codes")


def build_head(config: HeadConfig, codec: MuLawCodec) -> SoftmaxHead:
    """The head that the configuration asks for, over the codec's codes."""
    assert config.kind == "softmax", config.kind  # the configuration knows no other kind
    return SoftmaxHead(codec.quantization_channels)


def _widened(outputs: Tensor) -> Tensor:
    """At least float32: sums over codes and over time are too coarse in bfloat16."""
    return outputs.to(torch.promote_types(outputs.dtype, torch.float32))
