"""Which recording is for training, validation or test: whole recordings, or whole speakers."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from data_prep.options import SplitOptions
from data_prep.sources import Source, speakers_of
from wavenet_pl.counter import stream_key
from wavenet_pl.errors import UserError


def assign_splits(sources: Sequence[Source], options: SplitOptions) -> dict[str, str]:
    """Split of every source, by name.

    Held-out speakers go first, then what the corpus says, then chance: a hash of the name, so that a recording keeps
    its split while a corpus grows. Where no recording is for validation by then, it takes its share of those for
    training, at least one; so does test, in a corpus of three recordings and more that names no splits.

    Raises:
        UserError: nothing is left to train on or to validate on, or nobody is called like a held-out speaker.
    """
    _check_speakers(sources, options)
    fractions = {split: options.fraction(split) for split in ("val", "test")}
    chosen: dict[str, str] = {}
    asked = {source.split for source in sources if source.exists}
    for source in sources:
        if source.speaker is not None and source.speaker in options.holdout_speakers:
            chosen[source.name] = options.holdout_split
        elif source.split:
            chosen[source.name] = source.split
        elif chance(source) < fractions["val"]:
            chosen[source.name] = "val"
        elif chance(source) < fractions["val"] + fractions["test"]:
            chosen[source.name] = "test"
        else:
            chosen[source.name] = "train"
    present = [source for source in sources if source.exists]
    for split in ("val", "test"):
        wanted = fractions[split] > 0 and (
            split == "val" or (len(present) >= 3 and not asked & {"val", "test"})
        )
        if wanted and not any(chosen[source.name] == split for source in present):
            for source in _share([s for s in present if chosen[s.name] == "train"], fractions[split]):
                chosen[source.name] = split
    counts = {
        split: sum(chosen[source.name] == split for source in present) for split in ("train", "val", "test")
    }
    if not counts["train"] or (not counts["val"] and fractions["val"]):
        raise UserError(
            f"of {len(present)} recordings {counts['train']} are for training and {counts['val']} for validation, "
            "expected at least one each; add recordings, cut long ones into several files, or change the split options"
        )
    return chosen


def chance(source: Source) -> float:
    """A number in [0, 1) that belongs to the name."""
    return stream_key("split", source.name) / 2**64


def _share(sources: Sequence[Source], fraction: float) -> Iterable[Source]:
    """A fraction of the sources, at least one, and never all."""
    count = min(max(1, round(fraction * len(sources))), len(sources) - 1)
    return sorted(sources, key=lambda source: (chance(source), source.name))[: max(0, count)]


def _check_speakers(sources: Sequence[Source], options: SplitOptions) -> None:
    known = speakers_of(sources)
    for name in options.holdout_speakers:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known[:20]) or 'none'}"
            raise UserError(
                f"--holdout-speakers names {name!r}, whom no recording has as its speaker; {hint}"
            )
