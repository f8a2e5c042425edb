"""The condition of clips while they are made: columns as they are asked for.

Shapes: B clips, H condition, T time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from wavenet_pl.conditioning import Conditioner
from wavenet_pl.generation.requests import ClipRequest
from wavenet_pl.generation.telling import tell
from wavenet_pl.shards.labels import Labels

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


class ClipCondition:
    """The condition of clips that are told names and frames, made a block at a time while they are generated.

    Blocks begin at fixed samples and each clip has its own, so no column depends on what else is asked for, or when.

    Args:
        conditioner: what reads it; None for a model without a condition.
        labels: the names that the model knows, and how its frames are made.
        clips: what they are told.
        frame_context: frames around those of the samples.
        device: where the conditioner is.

    Raises:
        ValueError: something is missing, or is not what this model can be told.
    """

    def __init__(
        self,
        conditioner: Conditioner | None,
        labels: Labels,
        clips: Sequence[ClipRequest],
        *,
        frame_context: int,
        device: torch.device,
    ) -> None:
        self._conditioner, self._labels, self._clips = conditioner, labels, clips
        self._frame_context, self._device = frame_context, device
        self._inputs = [] if conditioner is None else conditioner.names
        self._blocks: dict[int, tuple[int, Tensor]] = {}
        self.constant = not any(name in labels.features for name in self._inputs)
        for clip in clips:
            self._batch(clip, 0, 1)  # a mistake shows before anything is generated

    def columns(self, row: int, begin: int, end: int) -> Tensor:
        """As `Condition.columns`; what is after the last frame is told nothing."""
        if self.constant:
            return self._block(row, 0)
        first, last = begin // _BLOCK, max(begin, end - 1) // _BLOCK
        columns_HT = torch.cat([self._block(row, block) for block in range(first, last + 1)], dim=1)
        return columns_HT[:, begin - first * _BLOCK : end - first * _BLOCK]

    def _block(self, row: int, block: int) -> Tensor:
        number, columns_HT = self._blocks.get(row, (-1, torch.empty(0)))
        if number != block:
            columns = 1 if self.constant else _BLOCK
            assert self._conditioner is not None
            with torch.inference_mode():
                batch = self._batch(self._clips[row], block * _BLOCK, columns)
                columns_HT = self._conditioner(batch, columns)[0]
            self._blocks[row] = block, columns_HT
        return columns_HT

    def _batch(self, clip: ClipRequest, begin: int, num_columns: int) -> dict[str, Any]:
        batch = tell(
            self._inputs,
            self._labels,
            num_columns=num_columns,
            frame_context=self._frame_context,
            begin=begin,
            speaker=clip.speaker,
            tags=clip.tags,
            features=clip.features,
        )
        return {name: value.to(self._device) for name, value in batch.items()}
