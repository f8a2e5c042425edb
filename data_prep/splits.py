"""Which recording is for training, validation or test: whole recordings, or whole speakers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from data_prep.options import SplitOptions
from data_prep.sources import Source, speakers_of
from wavenet_pl.errors import UserError, did_you_mean
from wavenet_pl.numbers.counter import stream_key
from wavenet_pl.shards.index import SPLITS

_FEW = 8
"""In a split as small as this, it is made sure that something is left after the rules."""


def assign_splits(
    sources: Sequence[Source], options: SplitOptions, usable: Callable[[Source], bool]
) -> dict[str, str]:
    """Split of every source, by name.

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
    _check_speakers(sources, options)
    fractions = {split: options.fraction(split) for split in ("val", "test")}
    chosen = {source.name: source.split or "train" for source in sources}
    for source in sources:
        if source.speaker is not None and source.speaker in options.holdout_speakers:
            chosen[source.name] = options.holdout_split
    present = [source for source in sources if source.exists]
    free = [s for s in present if not s.split and s.speaker not in options.holdout_speakers]
    _share_by_speaker(free, fractions, chosen)
    named = {source.split for source in present}
    for split, fraction in fractions.items():
        wanted = fraction > 0 and (split == "val" or (len(present) >= 3 and named == {None}))
        if wanted and not any(chosen[source.name] == split for source in present):
            training = _by_chance([source for source in present if chosen[source.name] == "train"])
            count = min(max(1, round(fraction * len(training))), len(training) - 1)
            chosen.update((source.name, split) for source in training[: max(0, count)])
        _keep_together(free, chosen)
        _replace_useless(split, free, chosen, usable)
    counts = {split: sum(chosen[source.name] == split for source in present) for split in SPLITS}
    if not counts["train"] or (not counts["val"] and fractions["val"]):
        raise UserError(
            f"of {len(present)} recordings {counts['train']} are for training and {counts['val']} for validation, "
            "expected at least one each; add recordings, cut long ones into several files, or change the split options"
        )
    return chosen


def _share_by_speaker(sources: Sequence[Source], fractions: dict[str, float], chosen: dict[str, str]) -> None:
    """Let every speaker give its share; what rounding takes from one, another makes up for."""
    owed = dict.fromkeys(fractions, 0.0)
    speakers: dict[str, list[Source]] = {}
    for source in sources:
        speakers.setdefault(source.speaker or "", []).append(source)
    for _, own in sorted(speakers.items()):
        waiting = _by_chance(own)
        for split, fraction in fractions.items():
            owed[split] += fraction * len(own)
            # One recording stays to train on; only a speaker without a second one may be missing there, and rarely.
            due = round(owed[split]) if len(own) > 1 else int(owed[split])
            count = max(0, min(due, len(waiting) - (len(own) > 1)))
            owed[split] -= count
            chosen.update((source.name, split) for source in waiting[:count])
            waiting = waiting[count:]


def _replace_useless(
    split: str, free: Sequence[Source], chosen: dict[str, str], usable: Callable[[Source], bool]
) -> None:
    members = [name for name, value in chosen.items() if value == split]
    drawn = _by_chance([source for source in free if chosen[source.name] == split])
    if not 0 < len(members) == len(drawn) <= _FEW or any(usable(source) for source in drawn):
        return
    others = _by_chance([source for source in free if chosen[source.name] == "train"])
    good = next((source for source in others if usable(source)), None)
    if good is not None:
        chosen.update((name, "train") for name in members)
        together = [source for source in others if source is good or good.group == source.group != ""]
        chosen.update((source.name, split) for source in together)


def _keep_together(free: Sequence[Source], chosen: dict[str, str]) -> None:
    """Put all sources of a group where the first of them was put: those are drawn one after the other."""
    groups: dict[str, str] = {}
    for source in _by_chance([source for source in free if source.group]):
        chosen[source.name] = groups.setdefault(source.group, chosen[source.name])


def _by_chance(sources: Sequence[Source]) -> list[Source]:
    return sorted(sources, key=lambda source: (stream_key("split", source.group or source.name), source.name))


def _check_speakers(sources: Sequence[Source], options: SplitOptions) -> None:
    known = speakers_of(sources)
    for name in options.holdout_speakers:
        if name not in known:
            raise UserError(
                f"--holdout-speakers names {name!r}, which is the speaker of no recording"
                + did_you_mean(name, known, f"there are {', '.join(known[:20]) or 'none'}")
            )
