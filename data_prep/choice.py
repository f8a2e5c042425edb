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
_LEAST_HELD_OUT_SECONDS = 1.0  # of a single recording, but never more than a third of it
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
    """Samples between the two parts of a single recording, used by neither."""
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
    def is_one_recording(self) -> bool:
        """Whether both are parts of the same one."""
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
    of the time is held out, by whole recordings, at least one. Of a single recording it is the last tenth (a second at
    least, a third at most), after a gap.

    Args:
        heard: from `examine`.
        minutes: how much is used; all where None, or where there is less.
        gap_seconds: what is left out between the parts of a single recording: one receptive field.
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
    if len(pieces) == 1:
        return _split_one(pieces[0], minutes, math.ceil(gap_seconds * sample_rate), sample_rate)
    held_out = _hold_out(pieces)
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
    return [_with_sound(pieces[0].heard, pieces[0].samples)] if len(pieces) == 1 else pieces


def _with_sound(heard: Heard, room: int) -> Piece:
    """So many samples from where the sound begins, up to the last sound among them: neither end of it is silence."""
    start = heard.sounds[0][0]
    stop = max(min(last, start + room) for first, last in heard.sounds if first <= start + room)
    return Piece(heard=heard, start=start, stop=stop)


def _split_one(piece: Piece, minutes: float | None, gap: int, sample_rate: int) -> Choice:
    held = min(
        max(round(HELD_OUT * piece.samples), round(_LEAST_HELD_OUT_SECONDS * sample_rate)), piece.samples // 3
    )
    until = piece.stop - held - gap
    if until - piece.start < _LEAST_CUT_SECONDS * sample_rate:
        raise UserError(
            f"{piece.heard.source.name}, the only recording, has {piece.samples / sample_rate:.1f} s, of which "
            f"{held / sample_rate:.1f} s are held out after a gap of {gap / sample_rate:.1f} s, one receptive field: "
            f"expected {_LEAST_CUT_SECONDS:g} s or more to train on; give more audio, or more --minutes"
        )
    return Choice(
        sample_rate=sample_rate,
        train=(replace(piece, stop=until),),
        held_out=(replace(piece, start=piece.stop - held),),
        gap=gap,
        minutes=minutes,
    )


def _hold_out(pieces: Sequence[Piece]) -> list[Piece]:
    wanted = missing = HELD_OUT * sum(piece.samples for piece in pieces)
    held_out: list[Piece] = []
    for piece in pieces:
        if piece.samples / 2 <= missing:  # it comes nearer with it than without
            held_out.append(piece)
            missing -= piece.samples
    return held_out or [min(pieces, key=lambda piece: abs(piece.samples - wanted))]


def list_problems(heard: Sequence[Heard]) -> list[str]:
    """What is wrong with the first few files that cannot be used, and how many more there are."""
    bad = [f"{one.source.name}: {one.problem}" for one in heard if one.problem]
    more = len(bad) - _LISTED
    return bad[:_LISTED] + ([f"and {more} more"] if more > 0 else [])
