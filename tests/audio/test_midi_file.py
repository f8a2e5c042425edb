"""MIDI files as players read them: what breaks the format costs no note and is told, what lacks notes is refused."""

from __future__ import annotations

import io
import os
from contextlib import suppress
from pathlib import Path

import mido
import numpy as np
import pytest

from tests.audio.test_midi import some_notes, write_midi
from tests.memory import taking_at_most
from wavenet_pl.audio.midi import MAX_MIDI_BYTES, read_midi
from wavenet_pl.audio.midi_file import CONTROLLER, NOTE_OFF, NOTE_ON, Performance, read_performance
from wavenet_pl.errors import UserError
from wavenet_pl.inputs.input import Columns
from wavenet_pl.inputs.notes import Notes, file_flaws

RATE = 16_000
MUTATIONS = int(os.environ.get("MUTATED_HEADERS", "500"))
"""Damaged files that are tried: 20,000 take three minutes."""
MOST_MEMORY = 500 * 2**20
END = b"\0\xff\x2f\0"
NOTE = b"\0\x90\x3c\x50\x60\x80\x3c\0"
"""A beat, where a beat has 96 ticks."""


def chunk(content: bytes, name: bytes = b"MTrk", length: int | None = None) -> bytes:
    return name + (len(content) if length is None else length).to_bytes(4, "big") + content


def header(tracks: int = 1, kind: int = 1, division: int = 96, length: int = 6) -> bytes:
    fields = b"".join(number.to_bytes(2, "big") for number in (kind, tracks, division & 0xFFFF))
    return b"MThd" + length.to_bytes(4, "big") + fields


def beat(content: bytes) -> Performance:
    """A file whose only note should be the beat that `NOTE` is."""
    read = read_performance(content)
    notes = [event for event in read.events if event.kind != CONTROLLER]
    struck = [event.kind == NOTE_ON and event.value > 0 for event in notes]
    assert struck == [True, False]
    assert [(event.second, event.number) for event in notes] == [(0.0, 60), (0.5, 60)]
    return read


def by_mido(content: bytes) -> list[tuple[float, str, int, int, int]]:
    """Notes and controllers as another reader has them."""
    second, events = 0.0, []
    for message in mido.MidiFile(file=io.BytesIO(content)):
        second += message.time
        if message.type in ("note_on", "note_off"):
            events.append((second, message.type, message.channel, message.note, message.velocity))
        elif message.type == "control_change":
            events.append((second, message.type, message.channel, message.control, message.value))
    return events


def by_us(read: Performance) -> list[tuple[float, str, int, int, int]]:
    names = {NOTE_ON: "note_on", NOTE_OFF: "note_off", CONTROLLER: "control_change"}
    return [(event.second, names[event.kind], *event[2:]) for event in read.events]


def mixed(seed: int = 0) -> bytes:
    """A file with tracks, tempos, and events of all kinds, as another program writes them."""
    random = np.random.default_rng(seed)
    file = mido.MidiFile(type=1, ticks_per_beat=int(random.integers(24, 960)))
    for number in range(3):
        track = mido.MidiTrack([mido.MetaMessage("track_name", name="abc"), mido.Message("program_change")])
        for _ in range(40):
            at = int(random.integers(0, 300))
            key, value, channel = (int(random.integers(0, most)) for most in (128, 128, 16))
            pick = random.integers(0, 9)
            if pick < 5:
                kind = ("note_on", "note_off")[pick % 2]
                track.append(mido.Message(kind, note=key, velocity=value, channel=channel, time=at))
            elif pick < 7:
                numbers = {"control": key, "value": value, "channel": channel}
                track.append(mido.Message("control_change", **numbers, time=at))
            elif pick < 8:
                track.append(mido.Message("sysex", data=(1, 2, 3), time=at))
            elif number == 0:
                track.append(mido.MetaMessage("set_tempo", tempo=int(random.integers(1e5, 1e6)), time=at))
        file.tracks.append(track)
    written = io.BytesIO()
    file.save(file=written)
    return written.getvalue()


@pytest.mark.parametrize("seed", range(5))
def test_a_sound_file_is_what_another_reader_makes_of_it(seed: int) -> None:
    read = read_performance(mixed(seed))
    ours, theirs = by_us(read), by_mido(mixed(seed))
    assert [event[1:] for event in ours] == [event[1:] for event in theirs]
    assert [event[0] for event in ours] == pytest.approx([event[0] for event in theirs])
    assert read.flaws == ()
    assert read.seconds == pytest.approx(mido.MidiFile(file=io.BytesIO(mixed(seed))).length)


MALFORMED = {
    "data byte above 127": (header() + chunk(b"\0\xb0\x07\xff" + NOTE + END), "data byte above 127"),
    "chunk before": (header() + chunk(b"abcd", b"XFIH") + chunk(NOTE + END), "chunk that is no track"),
    "chunk behind": (header() + chunk(NOTE + END) + chunk(b"MTrk", b"XFKM"), "chunk that is no track"),
    "zeros behind": (header() + chunk(NOTE + END) + bytes(100), "bytes outside of chunks"),
    "bytes between tracks": (
        header(2) + chunk(NOTE + END) + b"\0\1" + chunk(END),
        "bytes outside of chunks",
    ),
    "more tracks than counted": (header(1) + 2 * chunk(END) + chunk(NOTE + END), "3 of the 1 tracks"),
    "fewer tracks than counted": (header(9) + chunk(NOTE + END), "1 of the 9 tracks"),
    "no track counted": (header(0) + chunk(NOTE + END), "1 of the 0 tracks"),
    "type that is none": (header(kind=7) + chunk(NOTE + END), "type 7 in place of 0 or 1"),
    "long header": (header(length=8) + b"\0\0" + chunk(NOTE + END), "header of 8 bytes in place of 6"),
    "wrong length of the header": (header(length=0) + chunk(NOTE + END), "header of 0 bytes"),
    "in a container": (b"RIFF\0\0\0\0RMIDdata" + header() + chunk(NOTE + END), "bytes before its header"),
    "track longer than it says": (header() + chunk(NOTE + END, length=5), "another length than it says"),
    "track that says it has nothing": (
        header(2) + chunk(NOTE + END, length=0) + chunk(END),
        "another length",
    ),
    "track shorter than it says": (header() + chunk(NOTE + END, length=5000), "another length than it says"),
    "track that swallows the next": (
        header(2) + chunk(END, length=99) + chunk(NOTE + END),
        "another length",
    ),
    "track without its end": (header(2) + chunk(NOTE) + chunk(END), "track without an end mark"),
    "last track without its end": (header() + chunk(NOTE), "track without an end mark"),
    "half an end": (header() + chunk(NOTE + END[:3]), "track without an end mark"),
    "short tempo": (header() + chunk(b"\0\xff\x51\2\x07\xa1" + NOTE + END), "meta event 0x51 that is too short"),
    "short time signature": (header() + chunk(b"\0\xff\x58\1\4" + NOTE + END), "meta event 0x58 that is too"),
    "short key signature": (header() + chunk(b"\0\xff\x59\0" + NOTE + END), "meta event 0x59 that is too short"),
    "tempo of nothing": (header() + chunk(b"\0\xff\x51\3\0\0\0" + NOTE + END), "tempo of 0"),
    "event of a cable": (header() + chunk(b"\0\xf2\1\2\0\xf8" + NOTE + END), "event 0xf2, which no file has"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "told"), MALFORMED.values(), ids=MALFORMED)
def test_what_breaks_the_format_loses_no_note_and_is_told(content: bytes, told: str) -> None:
    assert told in " and ".join(beat(content).flaws)


def test_flaws_are_counted() -> None:
    twice = b"\0\xb0\x07\xff\0\x90\xff\x50"
    read = read_performance(header(3) + chunk(twice + NOTE) + chunk(END))
    assert read.flaws == (
        "2 times data byte above 127",
        "track without an end mark",
        "2 of the 3 tracks that its header counts",
    )


def test_an_unusual_file_that_keeps_to_the_format_has_no_flaw() -> None:
    running = b"\0\x90\x3c\x50\0\xff\x01\1x\x60\x3c\0"  # a text within running status
    signature = b"\0\xff\x59\2\x09\5\0\xff\x7f\3abc\0\xf0\2\x01\xf7\0\xf7\1\xf8"
    assert beat(header() + chunk(signature + running + END)).flaws == ()


@pytest.mark.parametrize(("frames", "fps"), [(24, 24), (25, 25), (29, 30_000 / 1001), (30, 30)])
def test_time_may_be_counted_in_film_frames(frames: int, fps: float) -> None:
    tempo = b"\0\xff\x51\3\0\0\1"  # says nothing there
    content = header(division=-frames << 8 | 40) + chunk(
        tempo + b"\x87\x68\x90\x3c\x50" + b"\0\x80\x3c\0" + END
    )
    assert read_performance(content).events[0].second == pytest.approx(1000 / (40 * fps))


REFUSED = {
    "no header": (b"RIFF" + chunk(NOTE + END), "it has no header"),
    "half a header": (header()[:13], "it has no header"),
    "no track": (header(), "it has no track"),
    "type 2": (header(kind=2) + chunk(NOTE + END), "type 2"),
    "no ticks": (header(division=0) + chunk(NOTE + END), "it does not say how long a tick is"),
    "27 frames a second": (header(division=-27 << 8 | 4) + chunk(NOTE + END), "does not say how long a tick is"),
    "frames without ticks": (header(division=-25 << 8) + chunk(NOTE + END), "does not say how long a tick is"),
    "cut in an event": (header() + chunk(NOTE + END)[:-6], "a track is cut short"),
    "cut between events": (header() + chunk(NOTE + NOTE + END)[:-12], "a track is cut short"),
    "cut in a text": (header() + chunk(NOTE + b"\0\xff\1\x09abc", length=20), "a track is cut short"),
    "no status": (header() + chunk(b"\0\x3c\x50" + END), "byte 23 belongs to no event"),
    "endless number": (header() + chunk(NOTE + b"\xff" * 200_000), "begins a number of more than four bytes"),
    "for days": (header() + chunk((b"\xff\xff\xff\x7f" + NOTE[1:]) * 2 + END), "lasts longer than 24 hours"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_lacks_notes_or_means_nothing_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_performance(content)


def test_no_cut_is_silent() -> None:
    content = mixed()
    for length in range(len(content)):
        with suppress(ValueError):
            assert read_performance(content[:length]).flaws, length


def test_no_byte_of_a_header_can_take_notes_away_in_silence() -> None:
    """But for the two that say how long a tick is."""
    content, whole = mixed(), by_us(read_performance(mixed()))
    starts = [at for at in range(len(content)) if content[at : at + 4] == b"MTrk"]
    places = [*range(12), *(at + byte for at in starts for byte in range(8))]
    for place in places:
        for value in (0, 1, 2, 3, 127, 255):
            damaged = content[:place] + bytes([value]) + content[place + 1 :]
            try:
                read = read_performance(damaged)
            except ValueError:
                continue
            assert read.flaws or by_us(read) == whole, (place, value)


def damaged(random: np.random.Generator, content: bytes) -> bytes:
    """A file after a few accidents."""
    bad = bytearray(content)
    for _ in range(int(random.integers(1, 4))):
        place = int(random.integers(0, len(bad))) if random.random() < 0.6 else int(random.integers(0, 40))
        length, pick = int(random.integers(1, 8)), random.integers(0, 4)
        if pick == 0:
            del bad[place : place + length]
        elif pick == 1:
            bad[place:place] = random.bytes(length)
        elif pick == 2:
            bad[place : place + 1] = random.choice([b"\0", b"\x7f", b"\x80", b"\xff", b"MTrk", b"\xff\x2f\0"])
        elif place < len(bad):
            bad[place] ^= 1 << int(random.integers(0, 8))
    return bytes(bad or b"\0")


def test_no_damage_breaks_hangs_or_fills_memory_and_what_has_no_flaw_is_what_others_read(
    tmp_path: Path,
) -> None:
    random, notes, path = np.random.default_rng(0), Notes.default(RATE), tmp_path / "damaged.mid"
    originals = [mixed(), write_midi(tmp_path / "plain.mid", some_notes(20), [(0.5, 127)]).read_bytes()]
    sound = 0
    with taking_at_most(MOST_MEMORY):
        for number in range(MUTATIONS):
            content = damaged(random, originals[number % 2])
            path.write_bytes(content)
            refused, flaws = "", {}
            try:
                roll = notes.resolve(path, RATE)
                notes.fields(roll, Columns(first=0, number=RATE, frame_context=2))
                flaws = file_flaws(read_midi(path))
            except UserError as error:
                refused = str(error)
            assert "\n" not in refused
            if refused or flaws:
                continue
            try:
                theirs = by_mido(content)
            except Exception:  # noqa: BLE001 - it takes less than players do
                continue
            ours = by_us(read_performance(content))
            assert [event[1:] for event in ours] == [event[1:] for event in theirs], content.hex()
            sound += 1
    assert sound > MUTATIONS / 100, "and some of it can be read"


@pytest.mark.slow
def test_the_largest_file_is_read_in_little_memory(tmp_path: Path) -> None:
    pairs = (MAX_MIDI_BYTES - 100) // 6
    events = b"\0\x90\x3c\x01" + b"\0\x3c\0\0\x3c\1" * pairs + b"\0\x3c\0"
    (tmp_path / "large.mid").write_bytes(header() + chunk(events + END))
    with taking_at_most(MOST_MEMORY):  # a loop over all pairs of notes would run out of time
        assert len(read_midi(tmp_path / "large.mid").keys) == pairs + 1
