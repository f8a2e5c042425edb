"""What a clip is asked to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipRequest:
    """One clip that is asked for."""

    seconds: float
    """Length, without the prompt."""
    prompt: npt.ArrayLike | None = None
    """Audio (samples,) in [-1, 1] at the model's sample rate that the clip goes on from."""
    speaker: str | None = None
    """Name of the voice, for a model that is told of speakers."""
    tags: Sequence[str] = ()
    """Names of tags, for a model that is told of tags."""
    features: Mapping[str, npt.NDArray[Any]] | None = None
    """Stored frames of ``notes`` or ``mel`` by name, from the prompt's beginning on; see `features`."""

    def num_samples(self, sample_rate: int) -> int:
        """The length in samples, at least one."""
        return max(1, round(self.seconds * sample_rate))
