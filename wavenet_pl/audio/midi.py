"""The notes of a MIDI file, and the piano roll that they make.

Shapes: N frames, F features of a frame.
"""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from wavenet_pl.audio.midi_file import CONTROLLER, NOTE_ON, Performance, read_performance
from wavenet_pl.errors import UserError
from wavenet_pl.files.foreign import printable, read_file

MAX_MIDI_BYTES = 2**21
"""An hour of piano with all its pedalling takes a quarter of it: a larger file is refused before it is read."""
LOWEST_KEY, NUM_KEYS = 21, 88
"""MIDI number of a piano's lowest key, and how many there are."""
PEDAL_DOWN = 64
"""From here on the sustain pedal counts as down (MIDI 1.0)."""

_DRUMS = 9  # channel 10, as people count
_SUSTAIN, _ALL_SOUND_OFF, _RESET, _ALL_NOTES_OFF = 64, 120, 121, 123  # numbers of controllers
# Those after All Notes Off change the mode of the channel, and end all of its notes as well.

Moves = list[tuple[float, int]]
"""Of one key of one channel: when it is struck, with the velocity, or let go, with 0."""


@dataclass(frozen=True)
class Score:
    """What is played, in seconds from the beginning of the file, in order of onset."""

    onsets: npt.NDArray[np.float64]
    offsets: npt.NDArray[np.float64]
    """When the keys are let go; the pedal does not count."""
    keys: npt.NDArray[np.int64]
    """MIDI numbers, all of them a piano's."""
    velocities: npt.NDArray[np.int64]
    pedal_seconds: npt.NDArray[np.float64]
    """When the sustain pedal moves."""
    pedal_values: npt.NDArray[np.int64]
    """Where it moves to: 0 is up, 127 is down. It begins up. Of channels with notes the deepest counts."""
    left_out: int = 0
    """Notes of keys that a piano does not have."""
    flaws: tuple[str, ...] = ()
    """What breaks the format in the file, which could be read all the same."""


def read_midi(path: str | os.PathLike[str]) -> Score:
    """The notes of a MIDI file: all tracks and channels together, but for drums (channel 10).

    A note ends where its key is let go in its channel, or all notes of the channel are ended. Of several notes of one
    key the oldest ends; one that nothing ends is held until the key is struck again, or to the end of the file.

    Raises:
        UserError: it cannot be read, is no MIDI or only a part of it, or is absurdly large or long.
    """
    name = printable(os.fspath(path))
    try:
        content = read_file(path, MAX_MIDI_BYTES)
    except OSError as error:
        raise UserError(
            f"{name} cannot be read ({error.strerror or error}), expected a MIDI file; check the path"
        ) from None
    try:
        return _score(read_performance(content))
    except ValueError as error:
        raise UserError(
            f"{name} cannot be used as MIDI ({error}), expected a Standard MIDI File; save it anew as one"
        ) from None


def _score(performance: Performance) -> Score:
    notes: list[tuple[float, float, int, int]] = []
    pedals: list[tuple[float, int, int]] = []  # second, channel, value
    moves: dict[int, dict[int, Moves]] = {}  # channel -> key -> what becomes of it
    playing: set[int] = set()

    def end_notes(channel: int, second: float) -> None:
        for key, of_key in moves.pop(channel, {}).items():
            notes.extend(
                (onset, offset, key, velocity) for onset, offset, velocity in _paired(of_key, second)
            )

    for second, kind, channel, number, value in performance.events:
        if channel == _DRUMS:
            continue
        if kind != CONTROLLER:
            velocity = value if kind == NOTE_ON else 0
            moves.setdefault(channel, {}).setdefault(number, []).append((second, velocity))
            if velocity:
                playing.add(channel)
            continue
        if number == _ALL_SOUND_OFF or number >= _ALL_NOTES_OFF:
            end_notes(channel, second)
        if number == _SUSTAIN:
            pedals.append((second, channel, value))
        elif number in (_ALL_SOUND_OFF, _RESET):  # what the pedal held is silent
            pedals.append((second, channel, 0))
    for channel in list(moves):
        end_notes(channel, performance.seconds)
    pedals = [move for move in pedals if move[1] in playing]
    kept = sorted(note for note in notes if LOWEST_KEY <= note[2] < LOWEST_KEY + NUM_KEYS)
    onsets, offsets, keys, velocities = zip(*kept, strict=True) if kept else ((), (), (), ())
    return Score(
        onsets=np.array(onsets, np.float64),
        offsets=np.array(offsets, np.float64),
        keys=np.array(keys, np.int64),
        velocities=np.array(velocities, np.int64),
        pedal_seconds=np.array([second for second, _, _ in pedals], np.float64),
        pedal_values=np.array(list(_deepest(pedals)), np.int64),
        left_out=len(notes) - len(kept),
        flaws=performance.flaws,
    )


def _paired(moves: Moves, end: float) -> Iterator[tuple[float, float, int]]:
    """Onset, offset and velocity of each note of a key, whose last one ends at `end` at the latest."""
    to_come, is_ended = 0, []
    for _, velocity in reversed(moves):
        is_ended.append(bool(velocity and to_come))
        to_come = max(0, to_come - 1) if velocity else to_come + 1
    sounding: deque[tuple[float, int]] = deque()
    endless: tuple[float, int] | None = None  # a note that is never let go
    for (second, velocity), ended in zip(moves, reversed(is_ended), strict=True):
        if velocity and endless:
            yield endless[0], second, endless[1]
            endless = None
        if ended:
            sounding.append((second, velocity))
        elif velocity:
            endless = second, velocity
        elif sounding:
            onset, struck = sounding.popleft()
            yield onset, second, struck
    if endless:
        yield endless[0], end, endless[1]


def _deepest(pedals: list[tuple[float, int, int]]) -> Iterator[int]:
    """After each move of a channel's pedal, how far the one that is furthest down is."""
    values: dict[int, int] = {}
    for _, channel, value in pedals:
        values[channel] = value
        yield max(values.values())


def piano_roll(
    notes: Score, hop_length: int, num_samples: int, sample_rate: int, start: int = 0
) -> npt.NDArray[np.uint8]:
    """Notes in frames: for each key its velocity while it is down, in the last column where the pedal is.

    A key is there in every frame that it is down for some of, at least in one. Where it is struck again without a
    pause, the frame before is 0, so that two notes are not one. Of several pedal movements in a frame the last counts.

    Args:
        notes: what is played.
        hop_length: samples in a frame.
        num_samples: of the recording.
        sample_rate: of the recording in Hz.
        start: samples from the beginning of the notes to that of the recording.

    Returns:
        (N, F) uint8.
    """
    num_frames = -(-num_samples // hop_length)
    roll_NF = np.zeros((num_frames, NUM_KEYS + 1), np.uint8)

    def samples(seconds: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        return np.rint(seconds * sample_rate).astype(np.int64) - start

    first = samples(notes.onsets) // hop_length
    last = np.maximum(-(-samples(notes.offsets) // hop_length), first + 1)
    columns = notes.keys - LOWEST_KEY
    for row in np.flatnonzero((first <= num_frames) & (last > 0)):
        begin, column = max(int(first[row]), 0), columns[row]
        roll_NF[begin : last[row], column] = notes.velocities[row]
        if first[row] > 0:
            roll_NF[begin - 1, column] = 0
    moved = samples(notes.pedal_seconds) // hop_length
    if len(moved):
        before = np.searchsorted(moved, np.arange(num_frames), side="right")
        roll_NF[:, NUM_KEYS] = np.concatenate([[0], notes.pedal_values])[before]
    return roll_NF


@dataclass(frozen=True, eq=False)
class PianoRoll:
    """The roll of a whole score, of which no more is made than is asked for: ``roll[first:last]``, as of an array."""

    score: Score
    hop_length: int
    sample_rate: int

    def __len__(self) -> int:
        samples = math.ceil(float(self.score.offsets.max(initial=0)) * self.sample_rate)
        return -(-max(1, samples) // self.hop_length)

    def __getitem__(self, rows: slice) -> npt.NDArray[np.uint8]:
        first, last, _ = rows.indices(len(self))
        num_samples = max(0, last - first) * self.hop_length
        return piano_roll(self.score, self.hop_length, num_samples, self.sample_rate, first * self.hop_length)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.asarray(self[:], dtype)
