"""What of a voice's audio is used, and what of that is held out."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from data_prep.hearing import Heard
from wavenet_pl.errors import UserError

LEAST_SECONDS = 2.0
"""Less audio than this is refused: a word or two is no voice."""
HELD_OUT = 0.1
"""Share of the time that is held out."""
_LEAST_HELD_OUT_SECONDS = 1.0  # of a recording that is split, but never more than a third of it
_SCRAPS = 0.25  # of what is wanted: less than this would stop the training by chance
_LEAST_CUT_SECONDS = 0.5  # a rest that is shorter is no word
_LISTED = 5


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A recording, or a stretch of it, that is used."""

    heard: Heard
    start: int
    """First sample, at the model's rate."""
    stop: int
    """Last sample + 1."""

    @property
    def samples(self) -> int:
        """How long it is."""
        return self.stop - self.start

    @property
    def whole(self) -> bool:
        """Whether it is all of the recording."""
        return self.samples == self.heard.frames


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What is used of a voice."""

    sample_rate: int
    train: tuple[Piece, ...]
    held_out: tuple[Piece, ...]
    """For early stopping."""
    gap: int = 0
    """Samples between the two parts of a recording, used by neither; 0 where whole ones are held out."""
    minutes: float | None = None
    """What was asked for; None asks for all."""

    @property
    def train_seconds(self) -> float:
        """Length of what is trained on."""
        return sum(piece.samples for piece in self.train) / self.sample_rate

    @property
    def held_out_seconds(self) -> float:
        """Length of what is held out."""
        return sum(piece.samples for piece in self.held_out) / self.sample_rate

    @property
    def seconds(self) -> float:
        """Length of both."""
        return self.train_seconds + self.held_out_seconds

    @property
    def is_split(self) -> bool:
        """Whether the end of a recording is held out whose beginning is trained on."""
        return self.train[0].heard is self.held_out[0].heard

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over the content that is used, and which part of it is for what (64 hex digits)."""
        pieces = [
            [split, piece.heard.source.name, piece.heard.source.sha256, piece.start, piece.stop]
            for split, members in (("train", self.train), ("val", self.held_out))
            for piece in members
        ]
        return hashlib.sha256(json.dumps([self.sample_rate, pieces]).encode()).hexdigest()


def choose(heard: Sequence[Heard], minutes: float | None, gap_seconds: float, sample_rate: int) -> Choice:
    """Which audio is used, and which of it is held out for early stopping.

    Recordings are taken in the order of the hash of their names until there are so many minutes, held-out ones
    included; the last one is cut to fit, from where its sound begins. So more minutes hold all that fewer do. A tenth
    of the time is held out, by whole recordings, at least one. Where whole ones make less than a quarter of that, or
    there is only one, it is the end of the longest (a second at least, a third of it at most), after a gap.

    Args:
        heard: from `examine`.
        minutes: how much is used; all where None, or where there is less.
        gap_seconds: what is left out between the parts of a recording: one receptive field.
        sample_rate: the one that was examined for.

    Raises:
        UserError: `minutes` is too little, or there is too little that can be used.
    """
    least = f"{LEAST_SECONDS:g} s"
    if minutes is not None and not minutes * 60 >= LEAST_SECONDS:  # nan, too
        raise UserError(
            f"--minutes is {minutes:g}, expected at least {least}: {math.ceil(LEAST_SECONDS / 0.6) / 100:g} or more; "
            "leave it out to use all"
        )
    usable = [one for one in heard if not one.problem]
    if not usable:
        raise UserError(
            f"no audio in --audio can be used ({'; '.join(list_problems(heard))}), expected at least {least} of speech "
            f"at {sample_rate} Hz or more; give other recordings"
        )
    budget = math.inf if minutes is None else round(minutes * 60 * sample_rate)
    pieces = _take(usable, budget, round(_LEAST_CUT_SECONDS * sample_rate))
    if sum(piece.samples for piece in pieces) < LEAST_SECONDS * sample_rate:
        used = sum(piece.samples for piece in pieces) / sample_rate
        bad = f" (and {'; '.join(problems)})" if (problems := list_problems(heard)) else ""
        raise UserError(
            f"--audio has {used:.1f} s that can be used{bad}, expected at least {least} of speech; add recordings, or "
            "ask for more --minutes"
        )
    held_out = _hold_out(pieces)
    if not held_out:
        return _split_longest(pieces, minutes, math.ceil(gap_seconds * sample_rate), sample_rate)
    return Choice(
        sample_rate=sample_rate,
        train=tuple(piece for piece in pieces if piece not in held_out),
        held_out=tuple(held_out),
        minutes=minutes,
    )


def _take(usable: Sequence[Heard], budget: float, least: int) -> list[Piece]:
    """Whole recordings while there is room, and a piece of the next."""
    pieces: list[Piece] = []
    for one in usable:
        if one.frames <= budget:
            pieces.append(Piece(heard=one, start=0, stop=one.frames))
            budget -= one.frames
            continue
        piece = _with_sound(one, int(budget))
        if piece.samples >= least:
            pieces.append(piece)
        break
    return pieces


def _with_sound(heard: Heard, room: int) -> Piece:
    """So many samples from where the sound begins, up to the last sound among them: neither end of it is silence."""
    start = heard.sounds[0][0]
    stop = max(min(last, start + room) for first, last in heard.sounds if first <= start + room)
    return Piece(heard=heard, start=start, stop=stop)


def _split_longest(pieces: Sequence[Piece], minutes: float | None, gap: int, sample_rate: int) -> Choice:
    longest = max(pieces, key=lambda piece: piece.samples)
    others = tuple(piece for piece in pieces if piece is not longest)
    piece = _with_sound(longest.heard, longest.samples)
    wanted = round(HELD_OUT * sum(one.samples for one in (piece, *others)))
    held = min(max(wanted, round(_LEAST_HELD_OUT_SECONDS * sample_rate)), piece.samples // 3)
    until = piece.stop - held - gap
    if until - piece.start < _LEAST_CUT_SECONDS * sample_rate:
        raise UserError(
            f"{piece.heard.source.name}, the longest recording, has {piece.samples / sample_rate:.1f} s from its first "
            f"sound to its last, of which {held / sample_rate:.1f} s are held out after a gap of "
            f"{gap / sample_rate:.1f} s, one receptive field: "
            f"expected {_LEAST_CUT_SECONDS:g} s or more to train on; give more audio, or more --minutes"
        )
    return Choice(
        sample_rate=sample_rate,
        train=(replace(piece, stop=until), *others),
        held_out=(replace(piece, start=piece.stop - held),),
        gap=gap,
        minutes=minutes,
    )


def _hold_out(pieces: Sequence[Piece]) -> list[Piece]:
    """Recordings that make about a tenth; none where none can: there is one, or beside a long one only scraps."""
    wanted = missing = HELD_OUT * sum(piece.samples for piece in pieces)
    held_out: list[Piece] = []
    for piece in pieces:
        if piece.samples / 2 <= missing:  # it comes nearer with it than without
            held_out.append(piece)
            missing -= piece.samples
    if not held_out and len(pieces) > 1:
        return [min(pieces, key=lambda piece: piece.samples)]
    return held_out if wanted - missing >= _SCRAPS * wanted else []


def list_problems(heard: Sequence[Heard]) -> list[str]:
    """What is wrong with the first few files that cannot be used, and how many more there are."""
    bad = [f"{one.source.name}: {one.problem}" for one in heard if one.problem]
    more = len(bad) - _LISTED
    return bad[:_LISTED] + ([f"and {more} more"] if more > 0 else [])
