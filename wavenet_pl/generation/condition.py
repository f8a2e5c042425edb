"""The condition of clips while they are generated: columns made when an engine needs them.

Shapes: B clips, H condition, T time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from wavenet_pl.conditioning import Conditioner
from wavenet_pl.generation.requests import Clip
from wavenet_pl.inputs.frames import Frames
from wavenet_pl.inputs.input import Columns

_BLOCK = 4096  # columns of a condition at a time


class Condition(Protocol):
    """A column for each sample of each clip, from its prompt's beginning on."""

    @property
    def constant(self) -> bool:
        """Whether a clip has one column for all of its samples."""

    def columns(self, row: int, begin: int, end: int) -> Tensor:
        """(H, end - begin) of one clip, the last column again after its end; (H, 1) where it is constant."""


@dataclass(frozen=True, eq=False)
class GivenCondition:
    """A condition whose columns were all made beforehand."""

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


class ClipCondition:
    """The condition of resolved clips, made a block at a time while they are generated.

    Blocks begin at fixed samples and each clip has its own, so no column depends on which others are made, or when.

    Args:
        conditioner: of the model.
        clips: with a value for each input.
        frame_context: frames around those of the samples.
        device: where the conditioner is.
    """

    def __init__(
        self, conditioner: Conditioner, clips: Sequence[Clip], *, frame_context: int, device: torch.device
    ) -> None:
        self._conditioner, self._clips = conditioner, clips
        self._frame_context, self._device = frame_context, device
        self._blocks: dict[int, tuple[int, Tensor]] = {}
        self.constant = not any(isinstance(each, Frames) for each in conditioner.model_inputs)

    def columns(self, row: int, begin: int, end: int) -> Tensor:
        """As `Condition.columns`; after the last frame all features are 0."""
        if self.constant:
            return self._block(row, 0)
        first, last = begin // _BLOCK, max(begin, end - 1) // _BLOCK
        columns_HT = torch.cat([self._block(row, block) for block in range(first, last + 1)], dim=1)
        return columns_HT[:, begin - first * _BLOCK : end - first * _BLOCK]

    def _block(self, row: int, block: int) -> Tensor:
        number, columns_HT = self._blocks.get(row, (-1, torch.empty(0)))
        if number != block:
            columns = Columns(block * _BLOCK, 1 if self.constant else _BLOCK, self._frame_context)
            with torch.inference_mode():
                columns_HT = self._conditioner(self._batch(self._clips[row], columns), columns.number)[0]
            self._blocks[row] = block, columns_HT
        return columns_HT

    def _batch(self, clip: Clip, columns: Columns) -> dict[str, Tensor]:
        """The fields of one clip for some columns, as a batch of one row."""
        return {
            name: torch.from_numpy(np.asarray(value)[None]).to(self._device)
            for each in self._conditioner.model_inputs
            for name, value in each.fields(clip.values[each.name], columns).items()
        }
