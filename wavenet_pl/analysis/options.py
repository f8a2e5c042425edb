"""What an analysis can be asked for."""

from __future__ import annotations

from dataclasses import dataclass

from wavenet_pl.errors import UserError, did_you_mean
from wavenet_pl.evaluation.options import DataOptions

PROBES = ("bands", "knowledge", "bias", "skips", "context", "sines")
"""In the order in which they are made."""


@dataclass(frozen=True, kw_only=True)
class AnalysisOptions(DataOptions):
    """Which probes are made, on how much, beside how many controls."""

    only: tuple[str, ...] = PROBES
    """The probes."""
    quick: bool = False
    """One control of each kind instead of five, less of everything, and no search for the smallest set of skips."""
    max_seconds: float = 600.0
    """Windows are drawn from so much audio, of recordings drawn by their hash."""

    @property
    def control_seeds(self) -> int:
        """Controls of each kind."""
        return 1 if self.quick else 5

    def fewer(self, whole: int) -> int:
        """Of something that a quick analysis has half of."""
        return max(1, whole // 2) if self.quick else whole

    def check(self) -> None:
        """Refuse what is out of range.

        Raises:
            UserError: names the option.
        """
        super().check()
        if unknown := [name for name in self.only if name not in PROBES]:
            raise UserError(
                f"only is {', '.join(unknown)}, expected some of {', '.join(PROBES)}"
                f"{did_you_mean(unknown[0], PROBES)}"
            )
        if not 0 < self.max_seconds < float("inf"):
            raise UserError(f"max_seconds is {self.max_seconds}, expected a number above 0")
