"""What a probe is: numbers that can be kept, and what is made of them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from wavenet_pl.analysis.bench import TRAINED, Bench
from wavenet_pl.analysis.claims import Verdict
from wavenet_pl.evaluation.scoring import OnProgress

CONTROLS = "networks without learned layers"
"""What captions call controls; see `analysis.controls`."""

Numbers = dict[str, Any]
"""Of JSON: what a finished probe keeps."""


@dataclass(frozen=True)
class Figure:
    """One picture of the page."""

    title: str
    caption: str
    """What is seen, against what, and what follows: it stands for itself."""
    svg: str


class Probe(ABC):
    """One way to look into a network."""

    name: ClassVar[str]
    """One of `options.PROBES`."""
    title: ClassVar[str]
    about: ClassVar[str]
    """How it is measured, for who reads the page."""

    @abstractmethod
    def measure(self, bench: Bench, report: OnProgress) -> Numbers:
        """The numbers.

        Raises:
            TooShort: the model or the recordings are too small for it; says why.
        """

    @abstractmethod
    def verdicts(self, numbers: Numbers) -> list[Verdict]:
        """What they say of the essay's claims."""

    @abstractmethod
    def figures(self, numbers: Numbers) -> list[Figure]:
        """What they look like."""


def by_kind(rows: Iterable[Numbers], effect: Callable[[Numbers], float]) -> dict[str, list[float]]:
    """Kind of control -> the effect of each network of that kind; rows have `kind`."""
    kinds: dict[str, list[float]] = {}
    for row in rows:
        if row["kind"] != TRAINED:
            kinds.setdefault(row["kind"], []).append(effect(row))
    return kinds


def trained(rows: Iterable[Numbers]) -> Numbers:
    """The row of the trained network."""
    return next(row for row in rows if row["kind"] == TRAINED)


def own_octaves(dilations: Sequence[int], octaves: Sequence[int]) -> list[tuple[int, int]]:
    """Each layer, and the position of its own octave, the one below fs / 2^(k+1), among those that were measured."""
    powers = [int(math.log2(dilation)) for dilation in dilations]
    return [(layer, octaves.index(power)) for layer, power in enumerate(powers) if power in octaves]
