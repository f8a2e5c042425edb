"""An analysis from its options to its verdicts, probe by probe; what is finished is kept, and not done again."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from wavenet_pl.analysis.bench import Bench
from wavenet_pl.analysis.claims import Verdict
from wavenet_pl.analysis.material import TooShort
from wavenet_pl.analysis.options import PROBES, AnalysisOptions
from wavenet_pl.analysis.probes.bands import BandsProbe
from wavenet_pl.analysis.probes.bias import BiasProbe
from wavenet_pl.analysis.probes.context import ContextProbe
from wavenet_pl.analysis.probes.knowledge import KnowledgeProbe
from wavenet_pl.analysis.probes.probe import Numbers, Probe
from wavenet_pl.analysis.probes.sines import SinesProbe
from wavenet_pl.analysis.probes.skips import SkipsProbe
from wavenet_pl.evaluation.evaluation import on_threads
from wavenet_pl.evaluation.recordings import open_recordings
from wavenet_pl.evaluation.results import finite
from wavenet_pl.files.durable import write_durably
from wavenet_pl.files.foreign import read_file
from wavenet_pl.model import Model
from wavenet_pl.runs.delta import model_hash

KNOWN: dict[str, Probe] = {
    probe.name: probe
    for probe in (BandsProbe(), KnowledgeProbe(), BiasProbe(), SkipsProbe(), ContextProbe(), SinesProbe())
}
assert tuple(KNOWN) == PROBES
_FORMAT = 3
_MOST_BYTES = 2**26
"""Of the numbers of a probe."""


@dataclass(frozen=True)
class Subject:
    """What is analysed, in words and numbers that the page shows."""

    run: str
    data: str
    split: str
    sample_rate: int
    parameters: int
    receptive_field: int
    stacks: int
    layers_per_stack: int


@dataclass
class Study:
    """One model; `measure` makes a probe.

    Args:
        model: in eval mode.
        options: what is measured.
        run: what it is called in messages and on the page.
        folder: where finished probes are kept.

    Raises:
        UserError: an option is out of range, or the data cannot be given to the model.
    """

    model: Model
    options: AnalysisOptions
    run: str
    folder: Path
    numbers: dict[str, Numbers] = field(default_factory=dict)
    """Of finished probes."""
    missing: dict[str, str] = field(default_factory=dict)
    """Probes that cannot be made of this model, and why."""

    def __post_init__(self) -> None:
        self.options.check()
        options = self.options
        recordings = open_recordings(
            self.model, self.run, options.data, options.split, seed=options.seed, max_seconds=options.max_seconds,
            lang=None,
        )  # fmt: skip
        self._bench = Bench(self.model, recordings.drawn, options)
        self._signature = {
            "format": _FORMAT, "model": model_hash(self.model), "data": recordings.shard_set.fingerprint,
            "split": options.split, "seed": options.seed, "quick": options.quick, "max_seconds": options.max_seconds,
        }  # fmt: skip
        config = self.model.network.config
        self.subject = Subject(
            self.run, recordings.shard_set.name, options.split, self.model.sample_rate, self.model.num_parameters,
            self.model.receptive_field, config.stacks, config.layers_per_stack,
        )  # fmt: skip

    @property
    def probes(self) -> list[Probe]:
        """Those that were asked for, in their order."""
        return [KNOWN[name] for name in PROBES if name in self.options.only]

    @property
    def complete(self) -> bool:
        """Whether every probe that was asked for is finished."""
        return all(probe.name in self.numbers or probe.name in self.missing for probe in self.probes)

    @property
    def verdicts(self) -> list[Verdict]:
        """Of all finished probes."""
        return [
            verdict
            for probe in self.probes
            if probe.name in self.numbers
            for verdict in probe.verdicts(self.numbers[probe.name])
        ]

    def measure(self, probe: Probe, report: Callable[[float], None] = lambda share: None) -> None:
        """Make a probe, or take what an earlier start of the same analysis has kept of it."""
        path = self.folder / f"{probe.name}.json"
        kept = self._kept(path)
        if kept is None:
            try:
                with on_threads(self.options.threads):
                    kept = dict(finite(probe.measure(self._bench, report)))
            except TooShort as reason:
                self.missing[probe.name] = str(reason)
                return
            self.folder.mkdir(parents=True, exist_ok=True)
            write_durably(path, json.dumps({"signature": self._signature, "numbers": kept}) + "\n")
        self.numbers[probe.name] = with_nan(kept)

    def _kept(self, path: Path) -> Numbers | None:
        """What is kept of the same analysis; None for nothing, or for that of another."""
        try:
            content: Any = json.loads(read_file(path, _MOST_BYTES))
            same = content["signature"] == self._signature
            return dict(content["numbers"]) if same else None
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None

    def to_plain(self) -> dict[str, Any]:
        """For JSON: verdicts, and the numbers behind them."""
        verdicts = [{**asdict(verdict), "criterion": verdict.claim.criterion} for verdict in self.verdicts]
        return dict(
            finite({
                "subject": asdict(self.subject), "signature": self._signature, "complete": self.complete,
                "verdicts": verdicts, "missing": self.missing, "probes": self.numbers,
            })
        )  # fmt: skip


def with_nan(tree: Any) -> Any:
    """What `finite` made null is NaN again: JSON has no word for it."""
    if isinstance(tree, dict):
        return {key: with_nan(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [with_nan(value) for value in tree]
    return math.nan if tree is None else tree
