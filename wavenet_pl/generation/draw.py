"""What a clip is drawn with: temperature, top_p, and numbers that depend on seed and clip number alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wavenet_pl.heads import check_draw
from wavenet_pl.numbers import counter
from wavenet_pl.numbers.bounds import SEEDS


@dataclass(frozen=True)
class Draw:
    """How to draw a batch of clips. Clip number n of a seed is the same clip, whatever else is in the batch.

    Raises:
        ValueError: a field is out of range.
    """

    temperature: float = 1.0
    """1 draws from the model, below 1 is more cautious, 0 takes the most probable code."""
    top_p: float = 1.0
    """Draw from the fewest codes whose probability reaches this share."""
    seed: int = 0
    """Another seed gives other clips."""
    clips: tuple[int, ...] = (0,)
    """The numbers of the clips, one for each row of the batch."""

    def __post_init__(self) -> None:
        check_draw(self.temperature, self.top_p)
        SEEDS.check("seed", self.seed)
        if not self.clips:
            raise ValueError("clips is empty, expected at least one clip number; (0,) generates one clip")

    def uniforms(self, start: int, stop: int, rows: Sequence[int] | None = None) -> npt.NDArray[np.float64]:
        """Uniform numbers (B, stop - start) for generated samples start to stop - 1, counted from 0; of some rows only
        where these are given."""
        samples = np.arange(start, stop, dtype=np.int64)
        return np.stack([counter.uniforms(key, samples) for key in self.stream_keys(rows)])

    def stream_keys(self, rows: Sequence[int] | None = None) -> list[int]:
        """What the uniform numbers of each row are numbers of: the key of its stream."""
        clips = self.clips if rows is None else [self.clips[row] for row in rows]
        return [counter.stream_key("draw", self.seed, clip) for clip in clips]
