"""One step of an adaptation as a training: its data, its model, when it stops, and what is written at its end."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import lightning.pytorch as L

from wavenet_pl.adaptation.base import TABLE, Base, train_row_only
from wavenet_pl.adaptation.clips import KINDS, ClipSet, make_set, similarities
from wavenet_pl.adaptation.data import AdaptationData, base_split
from wavenet_pl.adaptation.measure import measure_beginning, measure_forgetting, measure_rows
from wavenet_pl.adaptation.report import NUMBERS, REPORT, summary, write_report
from wavenet_pl.adaptation.results import Beginning, Forgetting, Results
from wavenet_pl.adaptation.stop import HeldOutStop
from wavenet_pl.config.tree import Config
from wavenet_pl.errors import UserError
from wavenet_pl.evaluation.judges.voices import VoiceJudge
from wavenet_pl.files.durable import write_durably
from wavenet_pl.model import Model
from wavenet_pl.numbers.intervals import Interval
from wavenet_pl.runs.checkpoints import best_checkpoint, validation_bits
from wavenet_pl.runs.delta import BASE_NAME, DELTA_NAME, Delta, encode_delta
from wavenet_pl.runs.examples import print_next
from wavenet_pl.runs.folder import RunFolder, checkpoint_step, run_folder
from wavenet_pl.runs.loading import load
from wavenet_pl.shards.split import Split
from wavenet_pl.tracking.rows import each_row, pick
from wavenet_pl.training.callbacks.ranks import is_rank_zero
from wavenet_pl.training.module import module_of
from wavenet_pl.training.task import Extras, Task
from wavenet_pl.training.wandb_logger import RunTracker

PATIENCE, RISE = 4, 0.003
"""Validations without a new minimum of held-out bits, and the share by which they may be above it."""
CLIPS_KEY = "adapt/clips"


@dataclass(frozen=True)
class Voice:
    """The new speaker."""

    name: str
    path: str
    """Its shard set."""
    minutes: float
    """Of audio in it."""
    audio: list[str]
    """What is known about it, in words."""


@dataclass(frozen=True)
class Replay:
    """What is mixed in, so that less is forgotten."""

    path: str
    """A shard set."""
    share: float
    """Of the crops."""


@dataclass(frozen=True)
class Stage:
    """The row alone (method embedding), or every weight (method all)."""

    base: Base
    voice: Voice
    config: Config
    """Whose data are the voice's, and whose model is the base's."""
    method: str
    replay: Replay | None
    runs: Path
    """Where run folders lie."""

    @cached_property
    def _replayed(self) -> Split | None:
        if self.replay is None:
            return None
        model = self.base.model
        labels = self.base.labels_with(self.voice.name)
        return base_split(self.replay.path, "train", model.sample_rate, tuple(model.input_names), labels)

    @cached_property
    def data(self) -> AdaptationData:
        """The crops."""
        share = 0.0 if self.replay is None else self.replay.share
        return AdaptationData(self.config, self.base.labels_with(self.voice.name), self._replayed, share)

    @cached_property
    def run(self) -> RunFolder:
        """The folder that this base, voice, method and replay always have."""
        replayed: list[Any] = []
        if self.replay is not None and self._replayed is not None:
            replayed = [self.replay.share, [(row.key, row.frames) for row in self._replayed]]
        facts = [self.data.shard_set.fingerprint, self.base.hash, self.voice.name, self.method, replayed]
        fingerprint = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
        return run_folder(self.config, fingerprint, self.runs)

    @property
    def _limit(self) -> int:
        return int(self.config.trainer.get("max_steps") or -1)

    @property
    def is_finished(self) -> bool:
        """Whether its report is there, and no later step is asked for."""
        try:
            numbers = json.loads((self.run.path / NUMBERS).read_text(encoding="utf-8"))
            return bool(numbers["early"]) or 0 <= self._limit <= int(numbers["steps"])
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def task(self, start: Model) -> Task:
        """The training.

        Args:
            start: the base, or what an earlier step made of it.
        """
        L.seed_everything(self.config.seed, workers=True, verbose=False)
        beginning = measure_beginning(self.base, self.data, self.run.path, _say) if is_rank_zero() else None
        # Other ranks begin with any row: with the first step they get the weights of rank 0.
        nearest = 0 if beginning is None else self.base.speakers.index(beginning.nearest)
        name = self.voice.name
        model = Base(self.base.path, start).with_row(
            self.config, self.data.shard_set.fingerprint, name, nearest
        )
        if self.method == "embedding":
            train_row_only(model, model.labels.tables[TABLE].index(name))
        stop = HeldOutStop(PATIENCE, RISE)

        def at_end(tracker: RunTracker | None) -> None:
            assert beginning is not None
            self._finish(beginning, stop, tracker)

        facts = {"base": self.base.path, "base_hash": self.base.hash, "speaker": name, "method": self.method}
        # A few seconds of one voice are no ground for a warning; the report compares rows.
        extras = Extras(
            callbacks=[stop], job_type="adapt", facts=facts, warn_unused_condition=False, at_end=at_end
        )
        return Task(self.config, self.run, self.data, module_of(model), extras)

    def print_summary(self) -> None:
        """Prints where the report, the delta and the clips are, and what to type next."""
        run = self.run.path
        print(f"report       {run / REPORT}\ndelta        {run / DELTA_NAME}\nclips        {self.run.clips}")
        print_next(run, self.base.model.inputs, self.run, {TABLE: self.voice.name})

    def _finish(self, beginning: Beginning, stop: HeldOutStop, tracker: RunTracker | None) -> None:
        """Writes what came of it: the delta, clips, the report."""
        run, base, split = self.run, self.base, self.data.splits["val"]
        best, adapted = checkpoint_step(best_checkpoint(run)), load(run.path)
        header = Delta(
            base=base.path,
            base_hash=base.hash,
            labels=adapted.labels.to_plain(),
            index_fingerprint=adapted.index_fingerprint,
            method=self.method,
            step=best,
        )
        write_durably(run.path / DELTA_NAME, encode_delta(base.model, adapted, header))
        write_durably(
            run.path / BASE_NAME, json.dumps({"path": base.path, "hash": base.hash}, indent=1) + "\n"
        )
        clips = make_set(base, adapted, split, beginning.nearest, self.config.samples)
        results = self._results(beginning, stop, adapted, best, clips)
        pictures = clips.save(run.clips)
        write_report(results, run.path, [f"{run.clips.name}/{name}" for name in pictures])
        if tracker is not None:
            _track(tracker, clips, base, results.steps)
        print("\n" + "\n".join(summary(results)))

    def _results(
        self, beginning: Beginning, stop: HeldOutStop, adapted: Model, best: int, clips: ClipSet
    ) -> Results:
        """What the report says."""
        run, base = self.run, self.base
        _say("scoring what was learned and what was forgotten")
        after, rows = measure_rows(adapted, self.data.splits["val"], self.voice.name)
        forgetting, not_measured = self._forgetting(adapted)
        similarity, not_judged = self._similarity(clips)
        steps = (step for step, _ in pick(each_row(run.metrics), "train/loss", run.metrics))
        return Results(
            speaker=self.voice.name,
            method=self.method,
            base=base.path,
            base_hash=base.hash,
            audio=self.voice.audio,
            minutes=self.voice.minutes,
            replay="nothing"
            if self.replay is None
            else f"{100 * self.replay.share:g} % of the crops, of {self.replay.path}",
            beginning=beginning,
            steps=max(steps, default=0),
            best_step=best,
            seconds=stop.seconds,
            limit=self._limit,
            early=stop.stopped,
            stopped=f"stopped early: {stop.stopping_reason_message}"
            if stop.stopped
            else "ran to its last step",
            after=after,
            rows=rows,
            forgetting=forgetting,
            not_measured=not_measured,
            similarity=similarity,
            not_judged=not_judged,
            curve=[(0, beginning.validated), *validation_bits(run).items()],
        )

    def _forgetting(self, adapted: Model) -> tuple[dict[str, Forgetting], str]:
        """What the speakers of the base lost, or why nothing is known about it."""
        if self.method == "embedding":
            return {}, "the weights of the base are as they were, bit for bit, so nothing was forgotten"
        path = self.base.model.config.data.path if self.replay is None else self.replay.path
        try:
            return measure_forgetting(self.base, adapted, path), ""
        except UserError as error:
            return {}, f"not measured, as the data of the base are not at hand ({error})"

    def _similarity(self, clips: ClipSet) -> tuple[dict[str, Interval], str]:
        """How like the voice clips sound to a network, or why that is not known."""
        try:
            similarity = similarities(VoiceJudge(), clips, self.data.voice)
        except UserError as error:
            return {}, str(error)
        return similarity, "" if similarity else "no voice is heard in the recordings"


def _track(tracker: RunTracker, clips: ClipSet, base: Base, step: int) -> None:
    """The clips, and which model this one descends from."""

    def build(wandb: Any) -> dict[str, Any]:
        rate = clips.sample_rate
        return {
            f"{CLIPS_KEY}/{kind}": [
                wandb.Audio(audio, sample_rate=rate, caption=text) for text, audio in each
            ]
            for kind, each in clips.captions.items()
        }

    tracker.use_model(base.hash)
    tracker.log_media(f"{CLIPS_KEY}/{KINDS[-1]}", build, step)


def _say(line: str) -> None:
    print(f"{'adapt':>10}  {line}", file=sys.stderr)
