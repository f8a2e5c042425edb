"""Real audio that a network is probed on: windows of recordings, with their conditions.

Shapes: W windows, T samples that go in, H condition.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from wavenet_pl.evaluation.sample import BATCH_SAMPLES, choose_slots, draw_predictions, read_batches
from wavenet_pl.model import Model
from wavenet_pl.shards.keys import source_key
from wavenet_pl.shards.split import Split


class TooShort(ValueError):
    """A probe cannot be made of this model or of these recordings; says why."""


@dataclass(frozen=True)
class Windows:
    """Stretches of recordings, none of them at a beginning."""

    codes_WT: Tensor
    """One sample more than goes in: each but the last is followed by the one that is to be predicted."""
    condition: Tensor | None
    """(W, H, T), or (W, H, 1) for one that does not change."""
    recording_W: npt.NDArray[np.int64]
    """The first recording of the source that each is of: parts of a long one are not told apart."""

    def __len__(self) -> int:
        return len(self.codes_WT)

    @property
    def inputs_WT(self) -> Tensor:
        """What goes in."""
        return self.codes_WT[:, :-1]

    @property
    def targets_WT(self) -> Tensor:
        """What follows each."""
        return self.codes_WT[:, 1:]

    def each(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Inputs (1, T) and condition of one window after another: so the memory does not grow with their number."""
        for number in range(len(self)):
            rows = slice(number, number + 1)
            yield self.inputs_WT[rows], None if self.condition is None else self.condition[rows]


def read_windows(model: Model, split: Split, *, count: int, length: int, seed: int) -> Windows:
    """Windows drawn evenly from all recordings that are long enough; damaged ones are left out.

    Args:
        model: whose codes and conditions they are given in.
        split: of recordings in the rows of the model.
        count: how many are drawn.
        length: samples that go in (T).
        seed: of the draw.

    Raises:
        TooShort: no recording lasts so long.
    """
    chosen = draw_predictions(split.frames, count, earliest=length, seed=seed)
    parts: list[tuple[Tensor, Tensor | None, Tensor]] = []
    if len(chosen):
        size = max(1, min(count, BATCH_SAMPLES // length))
        plan = choose_slots(split.frames, chosen, crop_samples=1, batch_size=size)
        parts = [
            part for batch in read_batches(model, split, plan, context=length) for part in _rows(model, batch)
        ]
    if not parts:
        longest = max(split.frames.tolist(), default=0)
        raise TooShort(
            f"the longest recording has {longest:,} samples, expected more than {length:,}, as the receptive field is "
            f"{model.receptive_field:,}"
        )
    codes, conditions, recordings = zip(*parts, strict=True)
    known = [each for each in conditions if each is not None]
    positions = torch.cat(recordings).tolist()
    first: dict[str, int] = {}
    for position in sorted(set(positions)):
        first.setdefault(source_key(split.key(position)), position)
    recording_W = np.array([first[source_key(split.key(position))] for position in positions])
    return Windows(torch.cat(codes), torch.cat(known) if known else None, recording_W)


def _rows(model: Model, batch: dict[str, Any]) -> Iterator[tuple[Tensor, Tensor | None, Tensor]]:
    good_W = batch["counted"][:, -1]
    if not bool(good_W.any()):
        return
    codes_WT = model.codec.encode(batch["audio"])
    with torch.inference_mode():
        condition = model.condition(batch, codes_WT.shape[1] - 1)
    kept = None if condition is None else condition[good_W.to(condition.device)]
    yield codes_WT[good_W], kept, batch["recording"][good_W]


def usual_condition(windows: Windows) -> Tensor | None:
    """(1, H, 1): the mean condition of real audio, for signals that are none."""
    return None if windows.condition is None else windows.condition.mean(dim=(0, 2))[None, :, None]
