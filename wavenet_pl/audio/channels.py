"""What the channels of a file hold before they are mixed: afterwards nothing of it can be told.

Shape letters: F frames, C channels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

CLIPPED_RUN = 3
"""So many samples in a row at full scale are clipped: the top of a wave that just reaches it is shorter."""
_FULL_SCALE = 32767 / 32768


@dataclass(frozen=True, kw_only=True)
class ChannelLevels:
    """Levels of all channels of a file; full scale is 1."""

    clipped: float
    """Share of the frames that are clipped in a channel."""
    powers: tuple[float, ...] = ()
    """Mean square of each channel about its mean; empty where there is one channel."""
    mixed: float = 0.0
    """The same of the mean of all channels."""

    @property
    def lost_decibels(self) -> float:
        """How far the mix is below its channels: 3 dB where they have nothing in common, 0 where there is one."""
        return _decibels(sum(self.powers) / len(self.powers), self.mixed) if self.powers else 0.0

    @property
    def spread_decibels(self) -> float:
        """How far the faintest channel is below the loudest."""
        return _decibels(max(self.powers), min(self.powers)) if self.powers else 0.0


class ChannelMeter:
    """Measures the blocks of a file as they are decoded.

    Args:
        channels: of the file.
    """

    def __init__(self, channels: int) -> None:
        self._frames = self._clipped = 0
        # Of each channel and, last, of their mean.
        self._sums, self._squares = (np.zeros(channels + 1 if channels > 1 else 0) for _ in range(2))

    def push(self, block_FC: npt.NDArray[np.float32]) -> None:
        """Measure what comes next."""
        self._frames += len(block_FC)
        if block_FC.max(initial=0.0) >= _FULL_SCALE or block_FC.min(initial=0.0) <= -_FULL_SCALE:
            self._clipped += _count_clipped(np.abs(block_FC))
        if len(self._sums) == block_FC.shape[1] + 1:  # a stream behind the first may have other channels
            with np.errstate(all="ignore"):  # samples that are no numbers make levels that are none
                wide_FC = block_FC.astype(np.float64)
                mean_F = wide_FC.mean(axis=1)
                self._sums += [*wide_FC.sum(axis=0), mean_F.sum()]
                self._squares += [*np.einsum("fc,fc->c", wide_FC, wide_FC), mean_F @ mean_F]

    def levels(self) -> ChannelLevels:
        """Of all that was pushed."""
        frames = max(self._frames, 1)
        with np.errstate(all="ignore"):
            powers = np.maximum(self._squares / frames - np.square(self._sums / frames), 0.0).tolist()
        mixed = powers.pop() if powers else 0.0
        return ChannelLevels(clipped=self._clipped / frames, powers=tuple(powers), mixed=mixed)


def _count_clipped(level_FC: npt.NDArray[np.float32]) -> int:
    """How many frames are clipped in a channel."""
    full = (level_FC >= _FULL_SCALE) & (level_FC <= 1)  # what a float file has above was not cut off there
    reach = len(full) - CLIPPED_RUN + 1
    if reach < 1:
        return 0
    inside = np.zeros_like(full)
    runs = np.logical_and.reduce([full[at : at + reach] for at in range(CLIPPED_RUN)])
    for at in range(CLIPPED_RUN):
        inside[at : at + reach] |= runs
    return int(inside.any(axis=1).sum())


def _decibels(power: float, fainter: float) -> float:
    """Between two powers; 0 where there is none, or where they are no numbers."""
    if not power > 0 or not math.isfinite(fainter):
        return 0.0
    return 10 * math.log10(power / fainter) if fainter > 0 else math.inf
