"""Discretised mixtures of logistics: distributions over ordered levels (PixelCNN++, Salimans et al., 2017).

Shapes: B batch, M logistics of a mixture, T time.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from wavenet_pl.config.model import MAX_EMBEDDED_CODES

START = -1.0
"""Log scale where the network says 0: an untrained network predicts nearly uniform noise in [-1, 1]."""
NARROWEST = 1 / 20
"""Lower bound of a scale in levels: a logistic can be certain of one level, with 1e-4 left for all others."""
WIDEST = 10.0
"""Upper bound of a log scale: all is in the outer levels."""
_WAYS = 16
"""Parts that a search divides levels into at a time: two would be many small steps, and more take much memory."""


@dataclass(frozen=True)
class LogisticMixture:
    """A mixture for each prediction, over `num_levels` equal steps of [-1, 1]; the outer two take the tails as well."""

    log_weights: Tensor
    """(B, M, T); the weights of a mixture sum to 1."""
    means: Tensor
    """(B, M, T)."""
    sharpness: Tensor
    """(B, M, T): one over the scale, which is sqrt(3) / pi of the standard deviation of a logistic."""
    num_levels: int

    @classmethod
    def read(cls, outputs: Tensor, num_levels: int) -> LogisticMixture:
        """From outputs (B, 3 * M, T) of a network: for means, scales and logits, M each.

        A mean is output * 2 / sqrt(num_levels), so outputs count in something between a level and the whole range. A
        scale is exp(output + `START`) + `NARROWEST` levels: a lower bound, which it can leave again.
        """
        means, log_scales, logits = outputs.chunk(3, dim=1)
        scales = (log_scales + START).clamp(max=WIDEST).exp() + 2 / num_levels * NARROWEST
        return cls(F.log_softmax(logits, dim=1), means * (2 / num_levels**0.5), 1 / scales, num_levels)

    def log_probability(self, first: Tensor, last: Tensor) -> Tensor:
        """Logarithm (B, T) of the probability of the levels first to last, (B, T) each.

        Of one logistic it is log(sigmoid(u) - sigmoid(l)), where u and l are the upper and the lower edge, less the
        mean and over the scale. As log sigmoid(u) + log sigmoid(-l) + log(1 - exp(l - u)) it is exact however small it
        is, and so is its gradient.
        """
        begins, ends = (first == 0)[:, None], (last == self.num_levels - 1)[:, None]
        from_below = F.logsigmoid(self._standardized(last + 1)).masked_fill(ends, 0)
        from_above = F.logsigmoid(-self._standardized(first)).masked_fill(begins, 0)
        width = (last + 1 - first)[:, None].to(self.means.dtype) * (2 / self.num_levels) * self.sharpness
        inside = (-torch.expm1(-width)).log().masked_fill(begins | ends, 0)
        return (self.log_weights + from_below + from_above + inside).logsumexp(dim=1)

    def below(self, level: Tensor) -> Tensor:
        """Probability (B, T) of all levels below a level (B, T) from 0 to num_levels."""
        probability = (self.log_weights.exp() * self._standardized(level).sigmoid()).sum(dim=1)
        return probability.masked_fill(level <= 0, 0).masked_fill(level >= self.num_levels, 1)

    def quantile(self, uniforms_B: Tensor) -> Tensor:
        """The lowest level (B,) where the probability of it and all below exceeds the uniform; for T = 1."""
        way_N = torch.arange(1, _WAYS, device=uniforms_B.device)
        level_B, span = torch.zeros_like(uniforms_B, dtype=torch.int64), self.num_levels
        while span > 1:
            span = -(-span // _WAYS)
            below_BN = self.below(level_B[:, None] + way_N * span)
            level_B = level_B + span * (below_BN <= uniforms_B[:, None]).sum(dim=1)
        return level_B

    def entropy(self) -> Tensor:
        """Entropy (B, T): exact with few levels; with many from above, by a few hundredths of a nat at most."""
        total = torch.zeros_like(self.means[:, 0])
        start, below = torch.zeros_like(total, dtype=torch.int64), total
        for node in self._nodes():
            probability = (self.below(node) - below).clamp(min=0)
            # All levels between two nodes count as equally probable.
            total = total + probability.xlogy((node - start).clamp(min=1)) - probability.xlogy(probability)
            start, below = node, below + probability
        return total

    def cooled(self, temperature: float) -> LogisticMixture:
        """Scales times the temperature, and weights to the power of 1 / temperature; it is above 0."""
        log_weights = F.log_softmax(self.log_weights / temperature, dim=1)
        return LogisticMixture(log_weights, self.means, self.sharpness / temperature, self.num_levels)

    def mean(self) -> Tensor:
        """The mean (B, T) of the logistics, each by its weight; levels are steps of [-1, 1]."""
        return (self.log_weights.exp() * self.means).sum(dim=1)

    def mode(self) -> Tensor:
        """The level (B, T) that holds the mean of the logistic of the largest weight."""
        heaviest = self.log_weights.argmax(dim=1, keepdim=True)
        mean = self.means.gather(1, heaviest).squeeze(1)
        return ((mean + 1) * (self.num_levels / 2)).floor().clamp(0, self.num_levels - 1).long()

    def _standardized(self, level: Tensor) -> Tensor:
        """The lower edge of a level (B, T) in scales from each mean (B, M, T)."""
        edge = level[:, None].to(self.means.dtype) * (2 / self.num_levels) - 1
        return (edge - self.means) * self.sharpness

    def _nodes(self) -> list[Tensor]:
        """Levels (B, T) in rising order, the last of them num_levels: all, or those at each scale around each mean."""
        if self.num_levels <= MAX_EMBEDDED_CODES:
            return [torch.full_like(self.means[:, 0], level + 1).long() for level in range(self.num_levels)]
        steps = range(11)  # beyond are 1e-4 of a logistic
        below = torch.cat([self.means - step / self.sharpness for step in steps], dim=1)
        above = torch.cat([self.means + step / self.sharpness for step in steps], dim=1)
        last = self.num_levels - 1
        # Rounded away from the mean, so that levels with tails and narrow logistics stand alone.
        outward = [
            ((below + 1) * (self.num_levels / 2)).floor(),
            ((above + 1) * (self.num_levels / 2)).ceil(),
        ]
        levels = torch.cat(outward, dim=1).clamp(1, last).long().sort(dim=1).values
        return [*levels.unbind(dim=1), torch.full_like(levels[:, 0], self.num_levels)]
