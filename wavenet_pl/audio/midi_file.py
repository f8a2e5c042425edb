"""Standard MIDI Files: what they do and when, read as players read them.

Players take much that the format (MIDI 1.0, 1996) forbids, and files that break it are common. Such a file is read, and
what is wrong in it is listed. It is refused where notes may be missing, or nobody can tell what it means.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

MAX_MIDI_SECONDS = 24 * 3600.0
"""A file that says it lasts longer is none that was played."""
NOTE_OFF, NOTE_ON, CONTROLLER = 0x80, 0x90, 0xB0
"""The kinds of events that are kept."""

_HEADER, _TRACK = b"MThd", b"MTrk"
_META, _SYSTEM_EXCLUSIVE, _ESCAPE = 0xFF, 0xF0, 0xF7
_END_OF_TRACK, _TEMPO = 0x2F, 0x51
_META_LENGTHS = {0x20: 1, 0x21: 1, _TEMPO: 3, 0x54: 5, 0x58: 4, 0x59: 2}
_SYSTEM_LENGTHS = {
    0xF1: 1,
    0xF2: 2,
    0xF3: 1,
}  # of messages that are for cables alone; the others have no data
_SHORT_KINDS = (0xC0, 0xD0)  # with one byte of data
_FIRST_TEMPO = 500_000  # microseconds a beat, until the file says another
# Film frames a second, as a file has them -> (frames of a round number of microseconds, these); 29 is 29.97.
_FILM = {24: (24, 1_000_000), 25: (25, 1_000_000), 29: (30, 1_001_000), 30: (30, 1_000_000)}
_HIGHEST = 127

Change = tuple[int, int, int, int]
"""Tick, status, and two numbers; of a meta event the first is the new tempo, or 0."""


class Event(NamedTuple):
    """A note that begins or ends, or a controller that moves."""

    second: float
    """From the beginning of the file."""
    kind: int
    """`NOTE_OFF`, `NOTE_ON` or `CONTROLLER`."""
    channel: int
    """From 0 to 15."""
    number: int
    """Of the key or the controller, from 0 to 127."""
    value: int
    """Velocity or position, from 0 to 127."""


@dataclass(frozen=True)
class Performance:
    """All events of a file, all tracks together."""

    events: list[Event]
    """In the order of time; those of one moment in the order of the file."""
    seconds: float
    """When the last track ends."""
    flaws: tuple[str, ...]
    """What breaks the format."""


def read_performance(content: bytes) -> Performance:
    """What a file of type 0 or 1 does.

    Raises:
        ValueError: it is no MIDI file, is cut short, lasts absurdly long, or holds pieces of their own (type 2).
    """
    flaws: Counter[str] = Counter()
    begin = content.find(_HEADER)
    if begin < 0 or len(content) < begin + 14:
        raise ValueError("it has no header")
    length, kind, num_tracks, division = struct.unpack_from(">IHHh", content, begin + 4)
    if kind == 2:
        raise ValueError("its tracks are pieces of their own, type 2")
    flaws["bytes before its header"] = begin > 0
    flaws[f"header of {length} bytes in place of 6"] = length != 6
    flaws[f"type {kind} in place of 0 or 1"] = kind > 1
    tracks = list(_read_tracks(content, begin + 14, flaws))
    if not tracks:
        raise ValueError("it has no track")
    flaws[f"{len(tracks)} of the {num_tracks} tracks that its header counts"] = len(tracks) != num_tracks
    changes = sorted((change for track in tracks for change in track), key=lambda change: change[0])
    events, seconds = _timed(changes, division)
    texts = tuple(what if count == 1 else f"{count} times {what}" for what, count in flaws.items() if count)
    return Performance(events, seconds, texts)


def _read_tracks(content: bytes, at: int, flaws: Counter[str]) -> Iterator[list[Change]]:
    while at < len(content):
        name, length = content[at : at + 4], int.from_bytes(content[at + 4 : at + 8], "big")
        if name == _TRACK:
            changes, end = _read_track(content, at + 8, at + 8 + length, flaws)
            flaws["track of another length than it says"] += end != at + 8 + length
            at = end
            yield changes
        elif name.isalnum() and at + 8 + length <= len(content):
            flaws["chunk that is no track"] += 1
            at += 8 + length
        else:
            flaws["bytes outside of chunks"] += 1
            at = content.find(_TRACK, at)
            if at < 0:
                return


def _read_track(content: bytes, at: int, end: int, flaws: Counter[str]) -> tuple[list[Change], int]:
    """The changes of a track whose first event is at `at`, and where it ends, which should be at `end`."""
    changes: list[Change] = []
    tick = running = 0
    try:
        while at < len(content) and not (at == end and content[at : at + 4].isalnum()):
            delta, at = _read_number(content, at)
            tick += delta
            status = content[at]
            if status >= 0x80:
                at += 1
            elif running:
                status = running
            else:
                raise ValueError(f"byte {at} belongs to no event")
            if status == _META:
                kind, at = content[at], at + 1
                changes.append((tick, _META, 0, 0))
                if kind == _END_OF_TRACK:
                    flaws["track without an end mark"] += at == len(content)  # of which half is there
                    return changes, min(at + 1, len(content))
                data, at = _read_data(content, at)
                if len(data) < _META_LENGTHS.get(kind, 0):
                    flaws[f"meta event {kind:#04x} that is too short"] += 1
                elif kind == _TEMPO:
                    changes[-1] = tick, _META, int.from_bytes(data[:3], "big"), 0
                    flaws["tempo of 0"] += not changes[-1][2]
            elif status in (_SYSTEM_EXCLUSIVE, _ESCAPE):
                _, at = _read_data(content, at)
            elif status > _SYSTEM_EXCLUSIVE:
                flaws[f"event {status:#04x}, which no file has"] += 1
                at += _SYSTEM_LENGTHS.get(status, 0)
            else:
                running, kind = status, status & 0xF0
                first, second = content[at], 0 if kind in _SHORT_KINDS else content[at + 1]
                at += 1 if kind in _SHORT_KINDS else 2
                if first > _HIGHEST or second > _HIGHEST:
                    flaws[f"data byte above {_HIGHEST}"] += 1
                    first, second = min(first, _HIGHEST), min(second, _HIGHEST)
                if kind in (NOTE_OFF, NOTE_ON, CONTROLLER):
                    changes.append((tick, status, first, second))
    except IndexError:
        at = -1
    if at < end:
        raise ValueError("a track is cut short")
    flaws["track without an end mark"] += 1
    return [*changes, (tick, _META, 0, 0)], at


def _read_number(content: bytes, at: int) -> tuple[int, int]:
    """A number of up to four bytes with 7 bits each, and where it ends."""
    number = 0
    for index in range(at, at + 4):
        number = number << 7 | content[index] & 0x7F
        if content[index] < 0x80:
            return number, index + 1
    raise ValueError(f"byte {at} begins a number of more than four bytes")


def _read_data(content: bytes, at: int) -> tuple[bytes, int]:
    """The data of an event that says how many there are, and where they end."""
    length, at = _read_number(content, at)
    if at + length > len(content):
        raise IndexError
    return content[at : at + length], at + length


def _timed(changes: list[Change], division: int) -> tuple[list[Event], float]:
    """The events among changes in the order of time, and when the last change is.

    Args:
        changes: of all tracks.
        division: ticks of a beat; below 0, film frames a second less than 0, and ticks of a frame in the lower byte.
    """
    ticks, tempo = division, _FIRST_TEMPO
    if division < 0:
        frames, tempo = _FILM.get(-(division >> 8), (0, 0))
        ticks = frames * (division & 0xFF)
    if not ticks:
        raise ValueError("it does not say how long a tick is")
    events: list[Event] = []
    second, last = 0.0, 0
    for tick, status, number, value in changes:
        second += (tick - last) * tempo * 1e-6 / ticks
        last = tick
        if second > MAX_MIDI_SECONDS:
            raise ValueError(f"it lasts longer than {MAX_MIDI_SECONDS / 3600:g} hours")
        if status != _META:
            events.append(Event(second, status & 0xF0, status & 0x0F, number, value))
        elif number and division > 0:
            tempo = number
    return events, second
