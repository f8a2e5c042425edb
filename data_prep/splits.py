"""Which recording is for training, validation or test: whole recordings, or whole speakers.

Shapes: N sources.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from data_prep.options import SplitOptions
from data_prep.sources import Source
from wavenet_pl.errors import UserError, did_you_mean
from wavenet_pl.numbers.counter import stream_key
from wavenet_pl.shards.index import SPLITS

Integers = npt.NDArray[Any]
Flags = npt.NDArray[np.bool_]

_TRAIN, _VAL = SPLITS.index("train"), SPLITS.index("val")
_FREE = -1
"""The corpus says nothing."""
_FEW = 8
"""In a split as small as this, it is made sure that something is left after the rules."""


class _Facts(NamedTuple):
    """What decides about a source, for each of N; all of them in the order of chance."""

    row: Integers
    """(N,) its place among the sources."""
    draw: npt.NDArray[np.uint64]
    """(N,) a hash of its name, or of its group's."""
    speaker: Integers
    """(N,) place of its speaker among the names of all, sorted."""
    split: Integers
    """(N,) place in `SPLITS` of what the corpus says, or `_FREE`."""
    is_there: Flags
    """(N,)."""
    is_held_out: Flags
    """(N,) because of its speaker."""
    is_grouped: Flags
    """(N,)."""


def assign_splits(
    sources: Sequence[Source], options: SplitOptions, usable: Callable[[Source], bool]
) -> npt.NDArray[np.int8]:
    """Split of every source, as its place in `SPLITS`.

    Held-out speakers go first, then what the corpus says. Of the others every speaker gives the same share, those
    with the lowest hashes of their names. Where no recording is for validation then, it takes its share of
    those for training, at least one; so does test, in a corpus of three recordings and more that names no splits.
    If all of the few that came to one of them by chance are no good, another takes their place.

    Args:
        sources: all of the corpus.
        options: what the user asked for.
        usable: whether something is left of a source after the rules; asked of few.

    Raises:
        UserError: nothing is left to train on or to validate on, or nobody is called like a held-out speaker.
    """
    facts = _facts_of(sources, options)
    fractions = {SPLITS.index(split): options.fraction(split) for split in ("val", "test")}
    chosen = np.where(facts.split == _FREE, _TRAIN, facts.split)
    chosen[facts.is_held_out] = SPLITS.index(options.holdout_split)
    free = facts.is_there & (facts.split == _FREE) & ~facts.is_held_out
    _share_by_speaker(facts, free, fractions, chosen)
    present = int(facts.is_there.sum())
    says_nothing = present >= 3 and bool((facts.split[facts.is_there] == _FREE).all())
    for split, fraction in fractions.items():
        wanted = fraction > 0 and (split == _VAL or says_nothing)
        if wanted and not (facts.is_there & (chosen == split)).any():
            training = np.flatnonzero(facts.is_there & (chosen == _TRAIN))
            count = min(max(1, round(fraction * len(training))), len(training) - 1)
            chosen[training[: max(0, count)]] = split
        _keep_together(facts, free, chosen)
        _replace_useless(split, facts, free, chosen, lambda position: usable(sources[facts.row[position]]))
    counts = np.bincount(chosen[facts.is_there], minlength=len(SPLITS))
    if not counts[_TRAIN] or (not counts[_VAL] and fractions[_VAL]):
        raise UserError(
            f"of {present} recordings {counts[_TRAIN]} are for training and {counts[_VAL]} for validation, "
            "expected at least one each; add recordings, cut long ones into several files, or change the split options"
        )
    splits = np.empty_like(chosen)
    splits[facts.row] = chosen
    return splits


def _facts_of(sources: Sequence[Source], options: SplitOptions) -> _Facts:
    numbers: dict[str | None, int] = {}
    kinds = np.dtype(list(zip(_Facts._fields[1:], ("u8", "i4", "i1", "?", "?", "?"), strict=True)))
    rows = np.fromiter(
        (
            (
                stream_key("split", source.group or source.name),
                numbers.setdefault(source.speaker, len(numbers)),
                SPLITS.index(source.split) if source.split else _FREE,
                source.exists,
                source.speaker in options.holdout_speakers,
                bool(source.group),
            )
            for source in sources
        ),
        kinds,
        len(sources),
    )
    _check_speakers([name for name in numbers if name is not None], options)
    by_chance = _by_chance(rows["draw"], lambda row: sources[row].name)
    rows = rows[by_chance]
    ranks = {name: rank for rank, name in enumerate(sorted({name or "" for name in numbers}))}
    speaker = np.array([ranks[name or ""] for name in numbers], np.int32)[rows["speaker"]]
    return _Facts(by_chance, rows["draw"], speaker, *(rows[name] for name in _Facts._fields[3:]))


def _by_chance(draws: npt.NDArray[np.uint64], name: Callable[[int], str]) -> Integers:
    """The order of the draws; where some are equal, as those of a group are, of the names."""
    order = np.argsort(draws, kind="stable")
    is_next = draws[order[1:]] == draws[order[:-1]]
    for first, last in np.flatnonzero(np.diff(np.pad(is_next, 1).astype(np.int8))).reshape(-1, 2):
        order[first : last + 1] = sorted(order[first : last + 1], key=name)
    return order


def _share_by_speaker(facts: _Facts, free: Flags, fractions: Mapping[int, float], chosen: Integers) -> None:
    """Let every speaker give its share; what rounding takes from one, another makes up for."""
    owed = dict.fromkeys(fractions, 0.0)
    positions = np.flatnonzero(free)
    positions = positions[np.argsort(facts.speaker[positions], kind="stable")]
    for own in np.split(positions, np.flatnonzero(np.diff(facts.speaker[positions])) + 1):
        waiting = own
        for split, fraction in fractions.items():
            owed[split] += fraction * len(own)
            # One recording stays to train on; only a speaker without a second one may be missing there, and rarely.
            due = round(owed[split]) if len(own) > 1 else int(owed[split])
            count = max(0, min(due, len(waiting) - (len(own) > 1)))
            owed[split] -= count
            chosen[waiting[:count]] = split
            waiting = waiting[count:]


def _replace_useless(
    split: int, facts: _Facts, free: Flags, chosen: Integers, usable: Callable[[int], bool]
) -> None:
    members = np.flatnonzero(chosen == split)
    drawn = np.flatnonzero(free & (chosen == split))
    if not 0 < len(members) == len(drawn) <= _FEW or any(usable(int(each)) for each in drawn):
        return
    others = np.flatnonzero(free & (chosen == _TRAIN))
    good = next((each for each in others if usable(int(each))), None)
    if good is not None:
        chosen[members] = _TRAIN
        chosen[good] = split
        if facts.is_grouped[good]:
            chosen[others[facts.is_grouped[others] & (facts.draw[others] == facts.draw[good])]] = split


def _keep_together(facts: _Facts, free: Flags, chosen: Integers) -> None:
    """Put all sources of a group where the first of them was put: those are drawn one after the other."""
    grouped = np.flatnonzero(free & facts.is_grouped)
    _, first, group = np.unique(facts.draw[grouped], return_index=True, return_inverse=True)
    chosen[grouped] = chosen[grouped[first]][group]


def _check_speakers(speakers: Sequence[str], options: SplitOptions) -> None:
    known = sorted(speakers)
    for name in options.holdout_speakers:
        if name not in known:
            raise UserError(
                f"--holdout-speakers names {name!r}, which is the speaker of no recording"
                + did_you_mean(name, known, f"there are {', '.join(known[:20]) or 'none'}")
            )
