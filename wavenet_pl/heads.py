"""Heads: what the network's outputs mean as a distribution over the next code, its loss and its draws.

Shapes: B batch, T time, K head parameters.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from wavenet_pl.codec import Codec
from wavenet_pl.config.model import HeadConfig
from wavenet_pl.logistics import LogisticMixture
from wavenet_pl.numbers.bounds import TEMPERATURES, TOP_P


class Head(ABC):
    """A distribution over the codes for every prediction. Has no weights.

    Whatever the type of the outputs it computes in float32 or better, and draws in float64.
    """

    num_parameters: int
    """Outputs of the network per sample (K)."""
    quantization_channels: int
    """Number of codes."""
    distribution: ClassVar[str] = ""
    """What the outputs describe, for who draws with code of its own: softmax or logistics; empty for anything else."""

    @abstractmethod
    def nats(self, outputs_BKT: Tensor, codes_BT: Tensor) -> Tensor:
        """Nats (B, T) that codes_BT[b, t] costs under outputs_BKT[b, :, t]: nothing is shifted in here."""

    @abstractmethod
    def nats_between(self, outputs_BKT: Tensor, first_BT: Tensor, last_BT: Tensor) -> Tensor:
        """Nats (B, T) of knowing only that a code is one of first_BT to last_BT, both included."""

    @abstractmethod
    def entropy(self, outputs_BKT: Tensor) -> Tensor:
        """Entropy (B, T) of the predictions: the nats to expect wherever the model is right."""

    @abstractmethod
    def expect(self, outputs_BKT: Tensor, codec: Codec) -> Tensor:
        """The expected amplitude (B, T) of the predicted sample."""

    @abstractmethod
    def draw(
        self, outputs_BK: Tensor, uniforms_B: Tensor, temperature: float = 1.0, top_p: float = 1.0
    ) -> Tensor:
        """Codes (B,), int64: the inverse of the distribution function at the given uniforms, in float64.

        Args:
            outputs_BK: outputs of the network for one sample.
            uniforms_B: float64 in [0, 1), one for each draw.
            temperature: 1 draws from the model, below 1 is more cautious, 0 takes the most probable code.
            top_p: draw from the fewest codes whose probability reaches this share; 1 is all of them.

        Raises:
            ValueError: temperature or top_p is out of range.
        """

    def check_draw(self, temperature: float, top_p: float) -> None:
        """Raise ValueError for a temperature or top_p that this head cannot draw with."""
        check_draw(temperature, top_p)


@dataclass(frozen=True)
class SoftmaxHead(Head):
    """A probability for every code, freely chosen: one logit each (WaveNet, section 2.2)."""

    num_parameters: int
    """One for each code."""
    distribution = "softmax"

    @property
    def quantization_channels(self) -> int:  # type: ignore[override]  # nobody sets it
        """As many as there are outputs."""
        return self.num_parameters

    def nats(self, outputs_BKT: Tensor, codes_BT: Tensor) -> Tensor:
        """Cross-entropy of each code."""
        # The network's outputs lie in memory as (T, B, K): so nothing is copied.
        rows_NK, codes_N = outputs_BKT.permute(2, 0, 1).flatten(0, 1), codes_BT.t().flatten()
        return F.cross_entropy(_widened(rows_NK), codes_N, reduction="none").view(codes_BT.shape[::-1]).t()

    def nats_between(self, outputs_BKT: Tensor, first_BT: Tensor, last_BT: Tensor) -> Tensor:
        """The probabilities of these codes are summed."""
        code_K1 = torch.arange(self.num_parameters, device=outputs_BKT.device)[:, None]
        inside_BKT = (code_K1 >= first_BT[:, None]) & (code_K1 <= last_BT[:, None])
        log_probability_BKT = F.log_softmax(_widened(outputs_BKT), dim=1)
        return -log_probability_BKT.masked_fill(~inside_BKT, -torch.inf).logsumexp(dim=1)

    def entropy(self, outputs_BKT: Tensor) -> Tensor:
        """The sum over all codes."""
        log_probability_BKT = F.log_softmax(_widened(outputs_BKT), dim=1)
        return -(log_probability_BKT.exp() * log_probability_BKT).sum(dim=1)

    def expect(self, outputs_BKT: Tensor, codec: Codec) -> Tensor:
        """The sum over all codes."""
        amplitudes_K = codec.decode(torch.arange(self.num_parameters, device=outputs_BKT.device))
        probability_BKT = F.softmax(_widened(outputs_BKT), dim=1)
        return (probability_BKT * amplitudes_K.to(probability_BKT.dtype)[:, None]).sum(dim=1)

    def draw(
        self, outputs_BK: Tensor, uniforms_B: Tensor, temperature: float = 1.0, top_p: float = 1.0
    ) -> Tensor:
        """The lowest code where the running sum of weights, in the order of codes, exceeds uniform * total.

        The weight of code k is exp((output_k - max output) / temperature). With top_p < 1, sort the weights,
        largest first and the lower code first among equals, and zero those whose predecessors sum to top_p
        of the whole or more.
        """
        self.check_draw(temperature, top_p)
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


@dataclass(frozen=True)
class LogisticsHead(Head):
    """A discretised mixture of logistics over the codes in their order, one step of [-1, 1] each.

    A few outputs are enough for 65,536 codes (PixelCNN++, Salimans et al., 2017; Parallel WaveNet, van den Oord et
    al., 2018, section 2.1).
    """

    mixtures: int
    """Logistics in the mixture; each has a mean, a log scale and a logit."""
    quantization_channels: int
    """Number of codes."""
    distribution = "logistics"

    @property
    def num_parameters(self) -> int:  # type: ignore[override]  # nobody sets it
        """Three for each logistic: all means, then all log scales, then all logits."""
        return 3 * self.mixtures

    def nats(self, outputs_BKT: Tensor, codes_BT: Tensor) -> Tensor:
        """Those of the one code, so finite and with finite gradients for every code."""
        return self.nats_between(outputs_BKT, codes_BT, codes_BT)

    def nats_between(self, outputs_BKT: Tensor, first_BT: Tensor, last_BT: Tensor) -> Tensor:
        """As `LogisticMixture.log_probability`."""
        return -self._mixture(_widened(outputs_BKT)).log_probability(first_BT, last_BT)

    def entropy(self, outputs_BKT: Tensor) -> Tensor:
        """As `LogisticMixture.entropy`: exact for few codes, an estimate for many."""
        return self._mixture(_widened(outputs_BKT)).entropy()

    def expect(self, outputs_BKT: Tensor, codec: Codec) -> Tensor:
        """That of the mean of the mixture, within the range of codes: a logistic that reaches beyond it is not cut."""
        level_BT = (self._mixture(_widened(outputs_BKT)).mean() + 1) * (self.quantization_channels / 2) - 0.5
        return codec.decode(level_BT.clamp(0, self.quantization_channels - 1))

    def draw(
        self, outputs_BK: Tensor, uniforms_B: Tensor, temperature: float = 1.0, top_p: float = 1.0
    ) -> Tensor:
        """The lowest code where the probability of it and all below it exceeds the uniform.

        The temperature multiplies each scale and divides each logit: not the same as sharpening the mixture, which has
        no closed form. Temperature 0 takes the code at the mean of the logistic of the largest weight.

        Raises:
            ValueError: top_p is below 1: the fewest codes that reach it are no simple set.
        """
        self.check_draw(temperature, top_p)
        mixture = self._mixture(outputs_BK.double()[:, :, None])
        return mixture.cooled(temperature).quantile(uniforms_B) if temperature else mixture.mode()[:, 0]

    def check_draw(self, temperature: float, top_p: float) -> None:
        """As `Head.check_draw`, and top_p has to be 1."""
        super().check_draw(temperature, top_p)
        if top_p < 1:
            raise ValueError(
                f"top_p is {top_p}, expected 1, as the head is a mixture of logistics, which draws from all codes; "
                "set a lower temperature instead"
            )

    def _mixture(self, outputs: Tensor) -> LogisticMixture:
        return LogisticMixture.read(outputs, self.quantization_channels)


def check_draw(temperature: float, top_p: float) -> None:
    """Raise ValueError for a temperature or top_p that no draw can use."""
    TEMPERATURES.check("temperature", temperature)
    TOP_P.check("top_p", top_p)


def build_head(config: HeadConfig, codec: Codec) -> Head:
    """The head that the configuration asks for, over the codec's codes."""
    if config.kind == "logistics":
        assert config.mixtures is not None
        return LogisticsHead(config.mixtures, codec.quantization_channels)
    return SoftmaxHead(codec.quantization_channels)


def _widened(outputs: Tensor) -> Tensor:
    """At least float32: sums over codes and over time are too coarse in bfloat16."""
    return outputs.to(torch.promote_types(outputs.dtype, torch.float32))
