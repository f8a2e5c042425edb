"""The recordings that a model is held against: of any set that it can be given, in its own rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wavenet_pl.errors import UserError
from wavenet_pl.evaluation.sample import draw_recordings
from wavenet_pl.inputs.known import check_set
from wavenet_pl.model import Model
from wavenet_pl.shards.labels import Labels
from wavenet_pl.shards.shard_set import Location, ShardSet, open_set
from wavenet_pl.shards.split import Split

LANGUAGE = "lang"
"""Table that says which language is spoken, as codes such as en."""


@dataclass(frozen=True)
class Recordings:
    """Recordings drawn from a split."""

    shard_set: ShardSet
    """All that they are drawn from."""
    drawn: Split
    """In the order of their hashes, and in the rows of the model."""
    english: frozenset[int]
    """Positions of those in which English is spoken."""


def open_recordings(
    model: Model,
    run: str,
    data: Location | None,
    split: str,
    *,
    seed: int,
    max_seconds: float,
    lang: str | None,
) -> Recordings:
    """Recordings that the model can be given.

    Args:
        model: what it is conditioned on they have to have.
        run: what it is called in messages.
        data: path of a shard set, or those of several and their shares; None for those of the run.
        split: of the set.
        seed: of the draw.
        max_seconds: how much audio at most, or one recording.
        lang: language of the recordings of which the set does not say it.

    Raises:
        UserError: there is no such split, or the model cannot be given its recordings.
    """
    try:
        shard_set = open_set(data or model.config.data.path)
    except UserError as error:
        raise UserError(
            f"{error}; or say with data, on the command line --data, where it is"
            if data is None
            else str(error)
        ) from None
    name, rate = shard_set.name, shard_set.sample_rate
    if rate != model.sample_rate:
        raise UserError(
            f"{name} has sample rate {rate}, expected {model.sample_rate}, as the model was trained on; "
            f"prepare it again with --sample-rate {model.sample_rate}"
        )
    whole = shard_set.split(split)
    if not len(whole):
        there = ", ".join(sorted(each for each in shard_set.splits if shard_set.seconds(each)))
        raise UserError(
            f"{name} has no recording in split {split!r}, but in {there}; choose one of these as the split"
        )
    check_set(shard_set, model.input_names)
    recordings = draw_recordings(whole, seed=seed, max_samples=round(max_seconds * rate))
    english = english_recordings(recordings, shard_set.labels, lang)
    if model.inputs:
        recordings = recordings.relabelled(model.labels, name, run)
    return Recordings(shard_set, recordings, english)


def english_recordings(split: Split, labels: Labels, language: str | None = None) -> frozenset[int]:
    """Positions of the recordings in which English is spoken.

    Args:
        split: of a set.
        labels: of the set, whose table of languages counts where it has one.
        language: of the recordings that it says nothing of.
    """
    names = labels.tables.get(LANGUAGE, ())
    english = [row for row, name in enumerate(names) if _is_english(name)]
    rows, bounds = split.table_rows(LANGUAGE)
    spoken = set((np.searchsorted(bounds, np.flatnonzero(np.isin(rows, english)), side="right") - 1).tolist())
    if language and _is_english(language):
        spoken.update(np.flatnonzero(np.diff(bounds) == 0).tolist())
    return frozenset(spoken)


def _is_english(language: str) -> bool:
    return language.lower()[:2] == "en"
