"""The same recordings through several models, temperatures or engines, to be listened to side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np
import numpy.typing as npt

from wavenet_pl.errors import UserError
from wavenet_pl.evaluation.clips import Clip, choose_recordings, make_clips
from wavenet_pl.evaluation.judges.likeness import Measure, Tally
from wavenet_pl.evaluation.judges.resynthesis import STOI, UNDERSTOOD, Pair, ResynthesisJudge
from wavenet_pl.evaluation.options import ListeningOptions
from wavenet_pl.evaluation.recordings import open_recordings
from wavenet_pl.generation.choice import Choice
from wavenet_pl.model import Model
from wavenet_pl.shards.keys import source_key

Audio = npt.NDArray[np.float32]
_MOST_SECONDS = 3600.0
"""Of audio that recordings are chosen from."""
PER_CLIP = {STOI: "STOI {:.2f}", UNDERSTOOD: "{:.0%} of the words"}
"""Measures that stand below each clip, and how."""


@dataclass(frozen=True)
class System:
    """One way to make the clips."""

    name: str
    model: Model
    temperature: float
    choice: Choice


@dataclass
class Take:
    """One clip of a recording, or the recording itself."""

    audio: Audio
    facts: list[str] = field(default_factory=list)
    """What the judges and the screen say of it, in a few words each."""


@dataclass
class Item:
    """One recording, and what each system made of it."""

    key: str
    condition: str
    """What all models were conditioned on, in words."""
    recorded: Take
    takes: list[Take] = field(default_factory=list)
    """One for each system, in their order; fewer where it was stopped."""


@dataclass
class Listening:
    """All that the page shows; filled system by system."""

    sample_rate: int
    data: str
    split: str
    options: ListeningOptions
    systems: list[str] = field(default_factory=list)
    """Those whose clips are there."""
    items: list[Item] = field(default_factory=list)
    measures: dict[str, list[Measure]] = field(default_factory=dict)
    """System -> what was measured on all its clips; nothing for models that do not resynthesise."""
    remarks: list[str] = field(default_factory=list)
    """What could not be judged, and why."""
    complete: bool = False


def systems_of(models: Sequence[tuple[str, Model]], options: ListeningOptions) -> list[System]:
    """Every model at every temperature with every engine, named by what they differ in.

    Raises:
        UserError: the models have different sample rates.
    """
    rates = {model.sample_rate for _, model in models}
    if len(rates) > 1:
        shown = ", ".join(f"{name} {model.sample_rate}" for name, model in models)
        raise UserError(
            f"the sample rates are {shown}, expected one; listen to the others on a page of their own"
        )
    systems = []
    for (run, model), temperature, engine in product(models, options.temperatures, options.engines):
        parts = [run] if len(models) > 1 else []
        parts += [f"temperature {temperature:g}"] if len(options.temperatures) > 1 or not parts else []
        parts += [engine] if len(options.engines) > 1 else []
        choice = Choice(engine=engine, weights=options.weights, threads=options.threads)
        systems.append(System(", ".join(parts), model, temperature, choice))
    names = [system.name for system in systems]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"{', '.join(repeated)} is there more than once; name each run and setting once")
    return systems


class Session:
    """Makes clips system by system; what is finished is kept when it is stopped.

    Args:
        models: name and model of each.
        options: how.

    Raises:
        UserError: an option is out of range, the data cannot be given to a model, or an engine cannot be had for it.
        BadDataError: no recording can be read.
    """

    def __init__(self, models: Sequence[tuple[str, Model]], options: ListeningOptions) -> None:
        options.check()
        self._options, self.systems = options, systems_of(models, options)
        for system in self.systems:  # before the first one makes clips
            try:
                system.model.build_engine(system.choice)
            except ValueError as error:  # such as weights that an engine has not
                raise UserError(str(error)) from None
        data = options.data or models[0][1].config.data.path
        recordings = {
            id(model): open_recordings(
                model, name, data if options.data or len(models) > 1 else None, options.split,
                seed=options.seed, max_seconds=_MOST_SECONDS, lang=options.lang,
            )
            for name, model in models
        }  # fmt: skip
        # What one model cannot be given, none makes a clip of: a line of the page is one recording.
        positions = choose_recordings(
            [(model, recordings[id(model)].drawn) for _, model in models],
            seconds=options.seconds, count=options.count, seed=options.seed,
        )  # fmt: skip
        self._splits = {name: each.drawn.at(positions) for name, each in recordings.items()}
        first = recordings[id(models[0][1])]
        self._english = {first.drawn[position].key for position in first.english}
        self._judges: dict[int, ResynthesisJudge] = {}
        self.result = Listening(models[0][1].sample_rate, first.shard_set.name, options.split, options)

    def make(self, system: System, progress: Callable[[float], None] = lambda share: None) -> None:
        """The clips of one system, and what the judges say of them."""
        options, model, result = self._options, system.model, self.result
        split = self._splits[id(model)]
        resynthesises = any(each.resynthesises for each in model.inputs)
        clips, _ = make_clips(
            model, split, seconds=options.seconds, count=len(split), seed=options.seed,
            temperature=system.temperature, prompt_seconds=0 if resynthesises else options.prompt_seconds,
            choice=system.choice, progress=lambda share: progress(share * (0.7 if resynthesises else 1)),
        )  # fmt: skip
        takes = [Take(self._audio(clip, resynthesises), list(clip.faults.values())) for clip in clips]
        measures: list[Measure] = []
        if resynthesises:
            if id(model) not in self._judges:  # each loads a recogniser
                self._judges[id(model)] = ResynthesisJudge(model.sample_rate, model.through_codec)
            judge = self._judges[id(model)]
            pairs = [
                Pair(clip.recorded, clip.generated, clip.key in self._english, source_key(clip.key))
                for clip in clips
            ]
            judged = judge.judge(pairs, lambda share: progress(0.7 + 0.3 * share))
            measures = judged.measures
            for name, tallies in judged.tallies.items():
                for take, tally in zip(takes, tallies, strict=True):
                    take.facts += _fact(name, tally)
            result.remarks += [remark for remark in judged.remarks if remark not in result.remarks]
        if not result.items:
            result.items = [Item(clip.key, clip.condition, Take(clip.recorded)) for clip in clips]
        for item, take in zip(result.items, takes, strict=True):
            item.takes.append(take)
        result.systems.append(system.name)
        result.measures[system.name] = measures
        result.complete = len(result.systems) == len(self.systems)

    @staticmethod
    def _audio(clip: Clip, resynthesises: bool) -> Audio:
        """No longer than the recording where it is that recording again: behind it there is nothing."""
        return clip.generated[: len(clip.recorded)] if resynthesises else clip.generated


def _fact(name: str, tally: Tally) -> list[str]:
    return [PER_CLIP[name].format(tally.total / tally.number)] if name in PER_CLIP and tally.number else []
