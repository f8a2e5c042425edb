"""The notes of a MIDI file, and the piano roll that they make.

Shapes: N frames, F features of a frame.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from wavenet_pl.errors import UserError
from wavenet_pl.files.foreign import printable, read_file

MAX_MIDI_BYTES = 2**21
"""An hour of piano with all its pedalling takes a quarter of it: a larger file is refused before it is read."""
MAX_EVENTS = 500_000
MAX_MIDI_SECONDS = 24 * 3600.0
"""A file that says it lasts longer is none that was played."""
LOWEST_KEY, NUM_KEYS = 21, 88
"""MIDI number of a piano's lowest key, and how many there are."""
PEDAL_DOWN = 64
"""From here on the sustain pedal counts as down (MIDI 1.0)."""

_DRUMS = 9  # channel 10, as mido counts
_SUSTAIN = 64  # number of the controller
_FIRST_TEMPO = 500_000  # microseconds a beat, until the file says another


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
    """Where it moves to: 0 is up, 127 is down. It begins up."""
    left_out: int = 0
    """Notes of keys that a piano does not have."""


def read_midi(path: str | os.PathLike[str]) -> Score:
    """The notes of a MIDI file: all tracks and channels together, but for drums (channel 10).

    A key that is struck again while it is down was let go at that moment; one that is never let go is held to the end.

    Raises:
        UserError: it cannot be read, is no MIDI, is absurdly large or long, or counts time otherwise than in beats.
    """
    name = printable(os.fspath(path))
    try:
        content = read_file(path, MAX_MIDI_BYTES)
    except OSError as error:
        raise UserError(
            f"{name} cannot be read ({error.strerror or error}), expected a MIDI file; check the path"
        ) from None
    try:
        return _notes(list(_events(content)))
    except _BROKEN as error:
        reason = printable(str(error)) or type(error).__name__
        raise UserError(
            f"{name} cannot be used as MIDI ({reason:.200}), expected a Standard MIDI File; save it anew as one"
        ) from None


_BROKEN = (
    EOFError,
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
    ArithmeticError,
)
"""What mido raises for bytes that are no MIDI."""


def _events(content: bytes) -> Iterator[tuple[float, Any]]:
    """All messages of the file as (second, message), in the order of time."""
    import mido

    try:
        file = mido.MidiFile(file=io.BytesIO(content))
    except mido.KeySignatureError as error:  # which is no kind of any other error
        raise ValueError(error) from None
    if file.type == 2:
        raise ValueError("its tracks are pieces of their own, type 2")
    if file.ticks_per_beat <= 0:
        raise ValueError("it counts time in film frames, not in beats")
    if (count := sum(map(len, file.tracks))) > MAX_EVENTS:
        raise ValueError(f"it has {count} events, more than {MAX_EVENTS}")
    placed = []
    for track in file.tracks:
        tick = 0
        for message in track:
            tick += message.time
            placed.append((tick, message))
    placed.sort(key=lambda event: event[0])  # of one moment, in the order of the file
    second, last, tempo = 0.0, 0, _FIRST_TEMPO
    for tick, message in placed:
        second += (tick - last) * tempo * 1e-6 / file.ticks_per_beat
        last = tick
        if second > MAX_MIDI_SECONDS:
            raise ValueError(f"it lasts longer than {MAX_MIDI_SECONDS / 3600:g} hours")
        if message.type == "set_tempo":
            tempo = message.tempo
        yield second, message


def _notes(events: list[tuple[float, Any]]) -> Score:
    notes: list[tuple[float, float, int, int]] = []
    pedal: list[tuple[float, int]] = []
    down: dict[tuple[int, int], tuple[float, int, bool]] = {}  # second, velocity, whether it was down before

    def let_go(channel: int, key: int, second: float) -> None:
        if struck := down.pop((channel, key), None):
            notes.append((struck[0], second, key, struck[1]))

    for second, message in events:
        if message.is_meta or getattr(message, "channel", _DRUMS) == _DRUMS:
            continue
        if message.type in ("note_on", "note_off"):
            at = message.channel, message.note
            if message.type == "note_on" and message.velocity:
                again = at in down
                let_go(*at, second)
                down[at] = second, message.velocity, again
            elif down.get(at, ())[::2] != (second, True):  # else another track lets go of the note before
                let_go(*at, second)
        elif message.type == "control_change" and message.control == _SUSTAIN:
            pedal.append((second, message.value))
    for channel, key in list(down):
        let_go(channel, key, events[-1][0])
    kept = sorted(note for note in notes if LOWEST_KEY <= note[2] < LOWEST_KEY + NUM_KEYS)
    onsets, offsets, keys, velocities = zip(*kept, strict=True) if kept else ((), (), (), ())
    return Score(
        onsets=np.array(onsets, np.float64),
        offsets=np.array(offsets, np.float64),
        keys=np.array(keys, np.int64),
        velocities=np.array(velocities, np.int64),
        pedal_seconds=np.array([second for second, _ in pedal], np.float64),
        pedal_values=np.array([value for _, value in pedal], np.int64),
        left_out=len(notes) - len(kept),
    )


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
    for row in np.flatnonzero((first < num_frames) & (last > 0)):
        begin, column = max(int(first[row]), 0), columns[row]
        roll_NF[begin : last[row], column] = notes.velocities[row]
        if first[row] > 0:
            roll_NF[begin - 1, column] = 0
    moved = samples(notes.pedal_seconds) // hop_length
    if len(moved):
        before = np.searchsorted(moved, np.arange(num_frames), side="right")
        roll_NF[:, NUM_KEYS] = np.concatenate([[0], notes.pedal_values])[before]
    return roll_NF
