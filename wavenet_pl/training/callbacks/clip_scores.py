"""What judges say, while a model trains, of clips that should be their recordings again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from wavenet_pl.evaluation.judges.likeness import Tally
from wavenet_pl.evaluation.judges.resynthesis import STOI, UNDERSTOOD, Pair, ResynthesisJudge, mean_of
from wavenet_pl.model import Model
from wavenet_pl.training.callbacks.clips import ClipPair, Prompt


@dataclass(frozen=True)
class Scores:
    """Of one set of clips; empty where nobody judges."""

    facts: list[dict[str, Any]] = field(default_factory=list)
    """Of each clip."""
    metrics: dict[str, float] = field(default_factory=dict)
    """Of all of them, by the names under which they are logged."""
    summary: str = ""
    """The same in a few words."""


class ClipScorer:
    """Scores sets of clips, as far as the judges are installed.

    Args:
        model: whose clips they are.
        english: positions, in the validation split, of recordings in which English is spoken.
    """

    def __init__(self, model: Model, english: Collection[int]) -> None:
        self._judge, self._english = ResynthesisJudge(model.sample_rate, model.through_codec), english
        kept = {STOI: self._judge.measures.get(STOI)}
        self._judge.measures = {name: compare for name, compare in kept.items() if compare is not None}

    def score(
        self,
        prompts: Sequence[Prompt],
        pairs: Sequence[ClipPair],
        stopping: Callable[[], bool] = lambda: False,
    ) -> Scores:
        """STOI, and the words that are understood; a second or two. Those of some clips, where the run is to stop."""
        english = [prompt.recording in self._english for prompt in prompts]
        judged = [
            Pair(prompt.audio, pair.free, each)
            for prompt, pair, each in zip(prompts, pairs, english, strict=True)
        ]
        for pair in judged:  # one after the other; the judge knows them then
            if stopping():
                return Scores()
            self._judge.tallies([pair])
        tallies = self._judge.tallies(judged)
        stoi, words = (tallies.get(name, [Tally(0, 0)] * len(pairs)) for name in (STOI, UNDERSTOOD))
        facts = [
            {STOI: mean_of([each]).mean if each.number else None, "words": self._words(pair, spoken)}
            for each, pair, spoken in zip(stoi, pairs, english, strict=True)
        ]
        metrics = {"val/stoi": mean_of(stoi).mean, "val/words_understood": mean_of(words).mean}
        parts = [f"STOI {metrics['val/stoi']:.2f}"] if np.isfinite(metrics["val/stoi"]) else []
        same, all_words = (sum(getattr(each, name) for each in words) for name in ("total", "number"))
        parts += [f"{same:.0f} of {all_words:.0f} words understood"] if all_words else []
        finite = {name: value for name, value in metrics.items() if np.isfinite(value)}
        return Scores(facts, finite, ", ".join(parts))

    def _words(self, pair: ClipPair, english: bool) -> str | None:
        return self._judge.hear(pair.free) if english else None
