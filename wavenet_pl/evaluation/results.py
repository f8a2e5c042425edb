"""All results of an evaluation: for the page, and as plain numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from wavenet_pl.evaluation.baselines import Baselines
from wavenet_pl.evaluation.clips import Clip, Speed, count_faults
from wavenet_pl.evaluation.context import TOLERANCE, ContextPoint, effective_receptive_field
from wavenet_pl.evaluation.judging import Judgement
from wavenet_pl.evaluation.scoring import Group, Score, gaps, grouped
from wavenet_pl.evaluation.screen import KINDS
from wavenet_pl.numbers.intervals import LEVEL
from wavenet_pl.shards.split import Split

NONE = "(none named)"
"""Group of the recordings that no name applies to."""


@dataclass(frozen=True)
class Subject:
    """What was evaluated on what."""

    run: str
    data: str
    split: str
    seed: int
    sample_rate: int
    parameters: int
    """Weights of the model."""
    receptive_field: int
    """Nominal, in samples."""
    codes: str
    """What the head's own bits are of, such as "256 mu-law codes"."""
    comparable_codes: str
    """What the bits are of that other models and the baselines are compared in."""
    recordings: int
    """In the split."""
    seconds: float
    """Of the split."""


@dataclass
class Results:
    """Filled stage by stage; what is empty was not reached or not asked for."""

    subject: Subject
    recordings: Split
    """Those that were drawn, in the order in which they are scored."""
    tables: Mapping[str, tuple[str, ...]]
    """Table -> names by row, as of the recordings."""
    baselines: Baselines | None = None
    """On the recordings that were scored; None where the data has no training split."""
    scores: list[Score] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    """What is wrong with recordings that could not be read."""
    context: list[ContextPoint] = field(default_factory=list)
    clips: list[Clip] = field(default_factory=list)
    speed: Speed | None = None
    judgements: list[Judgement] = field(default_factory=list)
    complete: bool = False
    """Whether every stage came to its end."""

    @property
    def overall(self) -> Group:
        """All recordings."""
        return grouped("all recordings", self.scores)

    def by_name(self, table: str) -> list[Group]:
        """Groups of a table's names, in their order; a recording is in each that applies, or in a last one of none."""
        members: dict[int, list[Score]] = {}
        for score in self.scores:
            for row in self.recordings[score.position].rows.get(table, (-1,)):
                members.setdefault(row, []).append(score)
        names = dict(enumerate(self.tables[table]))
        groups = [grouped(names.get(row, NONE), scores) for row, scores in members.items()]
        return sorted(groups, key=lambda group: (group.name == NONE, group.name))

    def by_recording(self) -> list[Group]:
        """Recordings, the costliest first."""
        scores = sorted(self.scores, key=lambda score: -score.bits / score.samples)
        return [grouped(self.recordings[score.position].key, [score]) for score in scores]

    def faults(self) -> dict[str, tuple[int, int]]:
        """Kind of fault -> how many generated clips have it, and how many recorded ones."""
        generated = count_faults([clip.faults for clip in self.clips])
        recorded = count_faults([clip.recorded_faults for clip in self.clips])
        return {kind: (generated[kind], recorded[kind]) for kind in KINDS}

    def to_plain(self) -> dict[str, Any]:
        """For JSON: bits are per sample; intervals are [mean, low, high], with null where there is none."""
        effective = effective_receptive_field(self.context) if self.context else None
        plain = {
            "subject": asdict(self.subject),
            "complete": self.complete,
            "scored_recordings": len(self.scores),
            "scored_seconds": self.overall.samples / self.subject.sample_rate,
            "damaged": self.damaged,
            "interval_level": LEVEL,
            "baselines": None if self.baselines is None else asdict(self.baselines),
            "overall": asdict(self.overall),
            "gaps": {name: tuple(gap) for name, gap in gaps(self.scores).items()},
            "tables": {table: list(map(asdict, self.by_name(table))) for table in self.tables},
            "recordings": list(map(asdict, self.by_recording())),
            "context": list(map(asdict, self.context)),
            "effective_receptive_field": effective,
            "effective_tolerance_bits": TOLERANCE,
            "clips": [
                {"recording": clip.key, "condition": clip.condition, "faults": clip.faults}
                for clip in self.clips
            ],
            "faults": {
                kind: {"generated": made, "recorded": real} for kind, (made, real) in self.faults().items()
            },
            "speed": None if self.speed is None else asdict(self.speed),
            "judgements": list(map(asdict, self.judgements)),
        }
        return dict(finite(plain))


def finite(tree: Any) -> Any:
    """The same with None for numbers that JSON has no word for."""
    if isinstance(tree, dict):
        return {key: finite(value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [finite(value) for value in tree]
    return None if isinstance(tree, float) and not math.isfinite(tree) else tree
