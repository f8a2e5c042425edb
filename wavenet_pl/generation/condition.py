"""The condition of clips while they are made: columns as they are asked for.

Shapes: B clips, H condition, T time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Condition(Protocol):
    """A column for each sample of each clip, from its prompt's beginning on."""

    @property
    def constant(self) -> bool:
        """Whether a clip has one column for all of its samples."""

    def columns(self, row: int, begin: int, end: int) -> Tensor:
        """(H, end - begin) of one clip, the last column again after its end; (H, 1) where it is constant."""


@dataclass(frozen=True, eq=False)
class GivenCondition:
    """Columns that are all there."""

    condition: Tensor
    """(B, H, T), or (B, H, 1)."""

    @property
    def constant(self) -> bool:
        """As `Condition.constant`."""
        return self.condition.shape[2] == 1

    def columns(self, row: int, begin: int, end: int) -> Tensor:
        """As `Condition.columns`."""
        if self.constant:
            return self.condition[row]
        column_T = torch.arange(begin, end, device=self.condition.device)
        return self.condition[row].index_select(1, column_T.clamp(max=self.condition.shape[2] - 1))
