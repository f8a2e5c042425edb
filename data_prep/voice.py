"""A voice for adaptation: a description of its audio for the user, and the shard set that is made of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from data_prep.choice import Choice, Piece, list_problems
from data_prep.destination import claim, working_in
from data_prep.folder import Corpus
from data_prep.hearing import Heard
from data_prep.options import Options, RuleOptions
from data_prep.plan import build_plan, load_plan
from data_prep.preparation import complete
from data_prep.sources import Source, speakers_of
from wavenet_pl.errors import UserError
from wavenet_pl.inputs.frames import Frames

# Seven recorded voices measure 27 dB (acted dialogue) to 59 dB (a studio). From 20 dB down, noise is as
# loud as the quiet sounds of speech, and a model of samples spends its bits on it.
_NOISY_DB = 20.0
# None of them has a clipped sample; one in a thousand is a few peaks of every loud vowel.
_CLIPPED = 0.001
_SILENT = 0.4  # they are silent for 2 to 15 % of their time
_LISTED = 5  # names


def describe(heard: Sequence[Heard], choice: Choice) -> list[str]:
    """What was found and what is used, a line each; with what to do where something is bad."""
    usable = [one for one in heard if not one.problem]
    seconds = sum(one.frames for one in usable) / choice.sample_rate
    rates = ", ".join(f"{rate} Hz" for rate in sorted({one.sample_rate for one in usable}))
    several = sum(one.channels > 1 for one in usable)
    channels = f"{several} with several channels, averaged" if several else "one channel"
    lines = [
        f"audio: {_minutes(seconds)} can be used, in {len(usable)} of {len(heard)} files; {rates}; {channels}",
        *(f"  cannot be used: {problem}" for problem in list_problems(heard)),
    ]
    held, count = choice.held_out_seconds, len(choice.held_out)
    if choice.is_split:
        gap = choice.gap / choice.sample_rate
        name = choice.held_out[0].heard.source.name
        how = f"the last {held:.1f} s of {name} held out, after a gap of {gap:.2f} s,"
    else:
        how = f"{held:.1f} s of it, {count} of {count + len(choice.train)} recordings, held out"
    lines.append(f"used: {_minutes(choice.train_seconds + held)}; {how} for early stopping")
    if choice.minutes is not None and choice.minutes * 60 > seconds:
        lines.append(f"  --minutes {choice.minutes:g} is more than there is: all is used")
    return lines + _sound(usable)


def _sound(usable: Sequence[Heard]) -> list[str]:
    """How the voice sounds, and what is wrong with that."""
    frames = np.array([one.frames for one in usable])
    levels = [one.levels for one in usable if one.levels]
    clipped = float(np.average([level.clipped for level in levels], weights=frames))
    silent = float(np.average([one.silent for one in usable], weights=frames))
    snr = float(np.median([one.snr for one in usable]))
    peak = 20 * math.log10(max(level.peak for level in levels))
    rms = 10 * math.log10(float(np.average([level.rms**2 for level in levels], weights=frames)))
    levels_text = f"RMS {rms:.0f} dBFS, peak {peak:.1f} dBFS"
    lines = [f"sound: SNR about {snr:.0f} dB, {silent:.0%} silence, {clipped:.2%} clipped, {levels_text}"]
    if snr < _NOISY_DB:
        lines.append(
            f"  noisy: below {_NOISY_DB:g} dB the noise is learned as part of the voice; record closer, or clean it"
        )
    if clipped > _CLIPPED:
        worst = max(usable, key=lambda one: one.levels.clipped if one.levels else 0.0)
        lines.append(
            f"  clipped: more than {_CLIPPED:.1%}, most in {worst.source.name}; its distortion is learned: record "
            "lower, or leave such files out"
        )
    lines += _flaws(usable)
    if silent > _SILENT:
        lines.append(
            f"  silent: more than {_SILENT:.0%} of the time, in which nothing is learned; cut pauses out"
        )
    if len(names := speakers_of([one.source for one in usable])) > 1:
        lines.append(
            f"  several speakers, by folder or metadata.csv ({', '.join(names[:_LISTED])}): all become one voice; give "
            "the folder of one of them where that is not meant"
        )
    return lines


def _flaws(usable: Sequence[Heard]) -> list[str]:
    """The first few flaws by file, but for those that have a line for all together, or change no voice."""
    lines = [
        f"  {one.source.name}: {flaw}: {description}"
        for one in usable
        for flaw, description in one.flaws.items()
        if flaw not in ("clipped", "offset")
    ]
    more = len(lines) - _LISTED
    return lines[:_LISTED] + ([f"  and {more} more flaws"] if more > 0 else [])


def _minutes(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds / 60:.2f} minutes"


def prepare_voice(choice: Choice, speaker: str, dest: Path, *, frames: tuple[Frames, ...] = ()) -> None:
    """Write what is used as a shard set with the splits train and val, as `prepare folder` does.

    Killed at any moment and called again, it makes the same set; a finished one is left as it is.

    Args:
        choice: from `choose`.
        speaker: who speaks in all of it.
        dest: folder of the set.
        frames: those beside the audio, which are made of it.

    Raises:
        UserError: there is another set in `dest`, somebody else is at work there, or the audio has changed since.
    """
    rules = RuleOptions(sample_rate=choice.sample_rate, frames=frames)
    train = [_source(piece, speaker, "train") for piece in choice.train]
    taken = {source.name for source in train}
    held_out = [
        _source(piece, speaker, "val", twin=piece.heard.source.name in taken) for piece in choice.held_out
    ]
    plan = build_plan(Corpus(sources=(*train, *held_out)), Options(corpus="folder", rules=rules))
    with working_in(dest, alone=True):
        existing = load_plan(dest)
        if existing is not None and existing.fingerprint != plan.fingerprint:
            raise UserError(
                f"{dest} holds a voice that was prepared from other audio, another amount of it or another speaker, "
                f"expected what is used of {speaker} now; give the same --audio, --speaker and --minutes, or remove it"
            )
        claim(dest, plan, overwrite=False)
        complete(plan, rules, dest, jobs=1)


def _source(piece: Piece, speaker: str, split: str, twin: bool = False) -> Source:
    source = piece.heard.source
    return replace(
        source,
        name=f"{source.name}/{piece.start}" if twin else source.name,  # no file is called so: keys stay apart
        speaker=speaker,
        split=split,
        stretch=None if piece.whole else (piece.start, piece.stop),
    )
