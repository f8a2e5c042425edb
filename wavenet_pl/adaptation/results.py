"""What an adaptation was and what came of it, as plain numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from wavenet_pl.evaluation.results import finite
from wavenet_pl.numbers.intervals import Interval


@dataclass(frozen=True)
class Beginning:
    """What is known before the first step."""

    nearest: str
    """The speaker of the base whose row the new one begins as: the lowest bits on the new voice's training audio."""
    before: Interval
    """Held-out bits of the base under that row, of the audio that all rows are scored on."""
    validated: float
    """The same of all that is held out, as validations have them: where the curve begins."""
    rows: dict[str, float]
    """Speaker of the base -> held-out bits of the base under its row."""


@dataclass(frozen=True)
class Forgetting:
    """What a speaker of the base costs, on its own validation recordings."""

    before: float
    """Bits per sample of the base."""
    after: float


def mean_forgotten(forgetting: Mapping[str, Forgetting]) -> float:
    """Bits per sample that the speakers of the base cost more, each counting alike; NaN where none was measured."""
    lost = [each.after - each.before for each in forgetting.values()]
    return sum(lost) / len(lost) if lost else math.nan


@dataclass
class Results:
    """All that `report.md` says."""

    speaker: str
    method: str
    base: str
    base_hash: str
    audio: list[str]
    """What is known about the recordings, in words."""
    minutes: float
    """Of audio that were used, held-out ones included."""
    replay: str
    """What was replayed, in words."""
    beginning: Beginning
    steps: int
    """Done in all."""
    best_step: int
    """Whose weights are kept."""
    limit: int
    """trainer.max_steps, or -1."""
    seconds: float
    """That starts took until their last step, without the time between them."""
    early: bool
    """Whether held-out bits have ended the training."""
    stopped: str
    """Why it ended, in words."""
    after: Interval
    """Held-out bits under the new row."""
    rows: dict[str, float]
    """Every speaker -> held-out bits of the adapted model under its row."""
    forgetting: dict[str, Forgetting] = field(default_factory=dict)
    not_measured: str = ""
    """Why there is nothing about forgetting, if so."""
    similarity: dict[str, Interval] = field(default_factory=dict)
    """before, after or recorded -> how like the voice its clips sound to a network; see `clips.similarities`."""
    not_judged: str = ""
    """Why there is none, if so."""
    curve: list[tuple[int, float]] = field(default_factory=list)
    """(step, held-out bits)."""

    @property
    def levels(self) -> dict[str, float]:
        """Lines beside the curve, of the same audio as it."""
        bits = dict(self.curve)
        return {
            f"{self.beginning.nearest}, before": self.beginning.validated,
            f"lowest, step {self.best_step}": bits.get(self.best_step, self.after.mean),
        }

    @property
    def best_row(self) -> str:
        """Whose row has the lowest bits on the new voice."""
        return min(self.rows, key=lambda name: self.rows[name])

    @property
    def forgotten(self) -> float:
        """As `mean_forgotten`; 0 where no weight of the base was trained."""
        return 0.0 if self.method == "embedding" else mean_forgotten(self.forgetting)

    @property
    def left_out(self) -> list[str]:
        """Speakers of the base without a number in `forgetting`."""
        return [name for name in self.beginning.rows if name not in self.forgetting]

    def to_plain(self) -> dict[str, Any]:
        """For JSON: an interval is [mean, low, high], with null where there is none."""
        return dict(finite({**asdict(self), "best_row": self.best_row, "forgotten": self.forgotten}))
