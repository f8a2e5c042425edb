"""An evaluation from its options to its results, stage by stage; what is finished is kept when it is stopped."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from wavenet_pl.errors import BadDataError
from wavenet_pl.evaluation.baselines import baselines_of
from wavenet_pl.evaluation.clips import make_clips
from wavenet_pl.evaluation.context import measure_context
from wavenet_pl.evaluation.judging import judge_clips
from wavenet_pl.evaluation.options import EvaluationOptions
from wavenet_pl.evaluation.recordings import open_recordings
from wavenet_pl.evaluation.results import Results, Subject
from wavenet_pl.evaluation.scoring import score
from wavenet_pl.generation.choice import Choice
from wavenet_pl.model import Model
from wavenet_pl.progress import Progress
from wavenet_pl.runs.loading import load
from wavenet_pl.shards.damage import Damage

_log = logging.getLogger(__name__)


def evaluate(model: Model | str | os.PathLike[str], **options: Any) -> Results:
    """How good a model is: bits per sample, what its conditions are worth, how much context it uses, how it generates.

    Args:
        model: or the path of one, as for `wavenet_pl.load`.
        options: as in `EvaluationOptions`, such as ``data="data/speech", count=0``.

    Returns:
        The numbers as attributes; ``to_plain()`` gives them as JSON has them, and
        `wavenet_pl.evaluation.report.write_report` the page.

    Raises:
        UserError: an option is out of range, or the data cannot be given to the model.
        BadDataError: too many recordings cannot be read.
    """
    run = "the model" if isinstance(model, Model) else os.fspath(model)
    evaluation = Evaluation(
        model if isinstance(model, Model) else load(model), EvaluationOptions(**options), run
    )
    evaluation.measure()
    return evaluation.results


class Evaluation:
    """One model on drawn recordings of one split; `measure` fills `results`.

    Args:
        model: what is evaluated.
        options: how.
        run: what it is called in messages and on the page.

    Raises:
        UserError: an option is out of range, or the data cannot be given to the model.
    """

    def __init__(self, model: Model, options: EvaluationOptions, run: str) -> None:
        options.check()
        self._model, self._options = model, options
        recordings = open_recordings(
            model, run, options.data, options.split, seed=options.seed, max_seconds=options.max_seconds,
            lang=options.lang,
        )  # fmt: skip
        shard_set, self._english = recordings.shard_set, recordings.english
        subject = Subject(
            run=run,
            data=shard_set.name,
            split=options.split,
            seed=options.seed,
            sample_rate=model.sample_rate,
            parameters=model.num_parameters,
            receptive_field=model.receptive_field,
            codes=model.codec.describe(),
            comparable_codes=model.comparable_codec.describe(),
            recordings=len(shard_set.split(options.split)),
            seconds=shard_set.seconds(options.split),
        )
        self._train = shard_set.split("train").spread() if shard_set.seconds("train") else None
        self.results = Results(subject, recordings.drawn, {**shard_set.labels.tables, **model.labels.tables})

    def measure(self, *, show_progress: bool = False) -> None:
        """Fill the results.

        Args:
            show_progress: on standard error.

        Raises:
            BadDataError: too many recordings cannot be read.
        """
        model, options, results = self._model, self._options, self.results
        split = results.recordings

        @contextmanager
        def stage(name: str) -> Iterator[Callable[[float], None]]:
            if not show_progress:
                yield lambda share: None
                return
            with Progress(name, line_seconds=1) as progress:
                yield progress.update

        with on_threads(options.threads):
            with stage("scoring") as report:
                self._score(report)
            scored = [each.position for each in results.scores]
            if self._train is not None and scored:
                results.baselines = baselines_of(
                    self._train, split.at(np.array(scored, np.int64)), model.comparable_codec, whole=True
                )
            if options.predictions:
                with stage("context") as report:
                    results.context = measure_context(
                        model, split, predictions=options.predictions, seed=options.seed, progress=report
                    )
            if options.count:
                with stage("clips") as report:
                    results.clips, results.speed = make_clips(
                        model, split, seconds=options.seconds, count=options.count, seed=options.seed, progress=report,
                        temperature=options.temperature, choice=Choice(threads=options.threads),
                    )  # fmt: skip
                with stage("judges") as report:
                    results.judgements = judge_clips(
                        model.inputs, split, scored, results.clips, report, through_codec=model.through_codec,
                        english=self._english,
                    )  # fmt: skip
        results.complete = True

    def _score(self, report: Callable[[float], None]) -> None:
        results, allowed = self.results, self._model.config.data.max_bad_fraction
        split = results.recordings
        for score_or_damage in score(self._model, split, report):
            if not isinstance(score_or_damage, Damage):
                results.scores.append(score_or_damage)
                continue
            results.damaged.append(str(score_or_damage))
            _log.warning(f"left out: {score_or_damage}")
            if len(results.damaged) > allowed * max(len(split), 1):
                raise BadDataError(
                    f"{len(results.damaged)} of {len(split)} recordings cannot be read, more than "
                    f"data.max_bad_fraction={allowed:g} of them: {score_or_damage}; mend the set (`wavenet-pl index` "
                    "checks all of it)"
                )


@contextmanager
def on_threads(number: int | None) -> Iterator[None]:
    """Torch computes on so many threads; on all cores if None."""
    before = torch.get_num_threads()
    torch.set_num_threads(number or len(os.sched_getaffinity(0)))
    try:
        yield
    finally:
        torch.set_num_threads(before)
