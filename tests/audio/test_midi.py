"""Notes: what a MIDI file says is where and when the roll has it, whatever the file's tempo and tracks."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import mido
import numpy as np
import pytest

from wavenet_pl.audio.midi import (
    LOWEST_KEY,
    MAX_EVENTS,
    MAX_MIDI_BYTES,
    NUM_KEYS,
    Score,
    piano_roll,
    read_midi,
)
from wavenet_pl.errors import UserError

RATE = 16_000
HOP = 64
"""Four milliseconds."""
Strike = tuple[float, float, int, int]


def write_midi(
    path: Path,
    notes: list[Strike],
    pedal: list[tuple[float, int]] | None = None,
    channel: int = 0,
    tempo: int = 500_000,
) -> Path:
    """A file with (onset, offset, key, velocity), in seconds."""
    events = [
        (on, 1, mido.Message("note_on", note=key, velocity=v, channel=channel)) for on, _, key, v in notes
    ]
    events += [(off, 0, mido.Message("note_off", note=key, channel=channel)) for _, off, key, _ in notes]
    events += [
        (at, 0, mido.Message("control_change", control=64, value=value, channel=channel))
        for at, value in pedal or []
    ]
    file = mido.MidiFile(ticks_per_beat=5000)
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=tempo)])
    last = 0
    for second, _, message in sorted(events, key=lambda event: event[:2]):
        tick = round(second * 5000 * 1e6 / tempo)
        track.append(message.copy(time=tick - last))
        last = tick
    file.tracks.append(track)
    path.parent.mkdir(parents=True, exist_ok=True)
    file.save(path)
    return path


def some_notes(number: int = 60, seed: int = 0) -> list[Strike]:
    """Such that no key is struck while it is down."""
    random = np.random.default_rng(seed)
    onsets = np.cumsum(random.uniform(0.05, 0.2, number)).round(3)
    return [
        (float(at), round(float(at) + 0.03 + 0.2 * random.random(), 3), 21 + (7 * n) % 88, 1 + n % 127)
        for n, at in enumerate(onsets)
    ]


def roll_by_frames(notes: Score, num_samples: int, start: int) -> np.ndarray:
    """The same by asking every frame, for notes that are apart."""
    roll = np.zeros((len(range(0, num_samples, HOP)), NUM_KEYS + 1), np.uint8)
    for frame in range(len(roll)):
        begin = start + frame * HOP
        for on, off, key, velocity in zip(
            notes.onsets, notes.offsets, notes.keys, notes.velocities, strict=True
        ):
            if round(on * RATE) < begin + HOP and max(round(off * RATE), round(on * RATE) + 1) > begin:
                roll[frame, key - LOWEST_KEY] = velocity
        for second, value in zip(notes.pedal_seconds, notes.pedal_values, strict=True):
            if round(second * RATE) < begin + HOP:
                roll[frame, NUM_KEYS] = value
    return roll


@pytest.mark.parametrize("tempo", [250_000, 500_000, 750_000])
def test_notes_come_back_at_their_seconds_whatever_the_tempo(tmp_path: Path, tempo: int) -> None:
    wanted = some_notes()
    notes = read_midi(write_midi(tmp_path / "a.mid", wanted, [(0.5, 127), (1.0, 0)], tempo=tempo))
    assert notes.onsets == pytest.approx([row[0] for row in wanted], abs=2e-4)
    assert notes.offsets == pytest.approx([row[1] for row in wanted], abs=2e-4)
    assert notes.keys.tolist() == [row[2] for row in wanted]
    assert notes.velocities.tolist() == [row[3] for row in wanted]
    assert notes.pedal_seconds == pytest.approx([0.5, 1.0], abs=2e-4)
    assert notes.pedal_values.tolist() == [127, 0]


def test_a_change_of_tempo_in_one_track_moves_the_notes_of_another(tmp_path: Path) -> None:
    file = mido.MidiFile(type=1, ticks_per_beat=100)
    slow, fast = (mido.MetaMessage("set_tempo", tempo=tempo, time=200) for tempo in (1_000_000, 250_000))
    file.tracks.append(mido.MidiTrack([slow.copy(time=0), fast]))
    file.tracks.append(
        mido.MidiTrack(
            [
                mido.Message("note_on", note=60, velocity=9, time=100),
                mido.Message("note_on", note=60, velocity=0, time=200),
            ]
        )
    )
    file.save(tmp_path / "a.mid")
    notes = read_midi(tmp_path / "a.mid")
    assert notes.onsets == pytest.approx([1.0])  # a beat of a second
    assert notes.offsets == pytest.approx([2.25])  # and one more, and one of a quarter


def test_drums_are_left_out_and_keys_beside_the_piano_counted(tmp_path: Path) -> None:
    assert len(read_midi(write_midi(tmp_path / "drums.mid", [(0, 1, 40, 9)], channel=9)).keys) == 0
    notes = read_midi(write_midi(tmp_path / "wide.mid", [(0, 1, 20, 9), (0, 1, 21, 9), (0, 1, 109, 9)]))
    assert notes.keys.tolist() == [21] and notes.left_out == 2


def test_a_key_struck_again_is_let_go_and_one_never_let_go_is_held(tmp_path: Path) -> None:
    track = [("note_on", 60, 0), ("note_on", 60, 480), ("note_on", 62, 480), ("note_off", 62, 480)]
    file = mido.MidiFile(ticks_per_beat=480)
    file.tracks.append(
        mido.MidiTrack([mido.Message(kind, note=key, velocity=5, time=time) for kind, key, time in track])
    )
    file.save(tmp_path / "a.mid")
    notes = read_midi(tmp_path / "a.mid")
    assert notes.onsets == pytest.approx([0.0, 0.5, 1.0])
    assert notes.offsets == pytest.approx([0.5, 1.5, 1.5])
    assert notes.keys.tolist() == [60, 60, 62]


@pytest.mark.parametrize("order", [1, -1])
def test_a_note_that_another_hand_takes_over_is_not_let_go(tmp_path: Path, order: int) -> None:
    """One channel, a track for each hand, and at one moment the one strikes what the other lets go of."""
    file = mido.MidiFile(ticks_per_beat=480)
    for begin in (0, 480)[::order]:
        on, off = (mido.Message(kind, note=60, velocity=5, time=480) for kind in ("note_on", "note_off"))
        file.tracks.append(mido.MidiTrack([on.copy(time=begin), off]))
    file.save(tmp_path / "a.mid")
    notes = read_midi(tmp_path / "a.mid")
    assert notes.onsets == pytest.approx([0.0, 0.5])
    assert notes.offsets == pytest.approx([0.5, 1.0])


@pytest.mark.parametrize("start", [0, 12_345, 16_000])
def test_the_roll_is_what_every_frame_says_for_itself(tmp_path: Path, start: int) -> None:
    notes = read_midi(write_midi(tmp_path / "a.mid", some_notes(), [(0.5, 127), (0.9, 40), (2.0, 0)]))
    made = piano_roll(notes, HOP, 3 * RATE, RATE, start)
    assert made.dtype == np.uint8
    assert np.array_equal(made, roll_by_frames(notes, 3 * RATE, start))


def test_a_repetition_without_a_pause_can_be_seen(tmp_path: Path) -> None:
    strikes = [(0.1, 0.2, 60, 50), (0.2, 0.3, 60, 50), (0.3, 0.4, 60, 50)]
    roll = piano_roll(read_midi(write_midi(tmp_path / "a.mid", strikes)), HOP, RATE, RATE)[:, 60 - 21]
    onsets = np.flatnonzero((roll[1:] > 0) & (roll[:-1] == 0)) + 1
    assert onsets.tolist() == [25, 50, 75]
    assert np.count_nonzero(roll) == 75 - 2


def test_the_shortest_note_has_a_frame(tmp_path: Path) -> None:
    roll = piano_roll(read_midi(write_midi(tmp_path / "a.mid", [(0.1, 0.1001, 60, 50)])), HOP, RATE, RATE)
    assert np.argwhere(roll).tolist() == [[25, 39]]


def test_a_part_of_a_roll_is_the_roll_of_the_part(tmp_path: Path) -> None:
    notes = read_midi(write_midi(tmp_path / "a.mid", some_notes(), [(0.5, 127), (0.9, 40)]))
    whole = piano_roll(notes, HOP, 6 * RATE, RATE)
    part = piano_roll(notes, HOP, 2 * RATE, RATE, start=100 * HOP)
    assert np.array_equal(part, whole[100 : 100 + len(part)])


def good(tmp_path: Path) -> bytes:
    return write_midi(tmp_path / "good.mid", some_notes()).read_bytes()


@pytest.mark.parametrize(
    "content",
    [b"", b"RIFF", b"MThd", b"MThd\0\0\0\6\0\0\0\1", b"\0" * 1000, b"MThd\xff\xff\xff\xff" + b"x" * 99],
)
def test_what_is_no_midi_is_refused_in_a_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.mid").write_bytes(content)
    with pytest.raises(
        UserError, match=r"bad\.mid cannot be used as MIDI \(.*\), expected a Standard MIDI"
    ) as caught:
        read_midi(tmp_path / "bad.mid")
    assert "\n" not in str(caught.value)


def test_any_damage_gives_notes_or_a_line(tmp_path: Path) -> None:
    content, random = good(tmp_path), np.random.default_rng(0)
    for number in range(300):
        bad = bytearray(content[: random.integers(1, len(content) + 1)] if number % 3 == 0 else content)
        for _ in range(int(random.integers(0, 6))):
            bad[random.integers(0, len(bad))] = random.integers(0, 256)
        (tmp_path / "bad.mid").write_bytes(bad)
        with suppress(UserError):
            piano_roll(read_midi(tmp_path / "bad.mid"), HOP, RATE, RATE)


def test_a_key_signature_that_is_none_is_refused_in_a_line(tmp_path: Path) -> None:
    file = mido.MidiFile()
    file.tracks.append(mido.MidiTrack([mido.MetaMessage("key_signature", key="C")]))
    file.save(tmp_path / "bad.mid")
    content = (tmp_path / "bad.mid").read_bytes()
    (tmp_path / "bad.mid").write_bytes(content.replace(b"\xff\x59\2\0\0", b"\xff\x59\2\x09\5"))
    with pytest.raises(UserError, match=r"bad\.mid cannot be used as MIDI \(Could not decode key"):
        read_midi(tmp_path / "bad.mid")


@pytest.mark.slow
def test_bounds_are_kept(tmp_path: Path) -> None:
    large = tmp_path / "large.mid"
    large.write_bytes(b"MThd" + bytes(MAX_MIDI_BYTES))
    with pytest.raises(UserError, match="is larger than"):
        read_midi(large)
    content = bytearray(good(tmp_path))
    content[12:14] = b"\xe7\x28"  # 25 frames a second, 40 ticks each
    (tmp_path / "film.mid").write_bytes(content)
    with pytest.raises(UserError, match="film frames"):
        read_midi(tmp_path / "film.mid")
    content[9:14] = b"\2" + good(tmp_path)[10:14]
    (tmp_path / "two.mid").write_bytes(content)
    with pytest.raises(UserError, match="type 2"):
        read_midi(tmp_path / "two.mid")
    with pytest.raises(UserError, match="lasts longer than 24 hours"):
        read_midi(write_midi(tmp_path / "long.mid", [(0, 90_000, 60, 1)]))
    with pytest.raises(UserError, match="no such file|No such file"):
        read_midi(tmp_path / "none.mid")
    # Running status: two bytes and a delta an event.
    events = b"\0\x90\x3c\x01" + b"\0\x3c\x01" * MAX_EVENTS
    chunk = b"MTrk" + len(events).to_bytes(4, "big") + events
    (tmp_path / "many.mid").write_bytes(good(tmp_path)[:14] + chunk)
    with pytest.raises(UserError, match="has 500001 events, more than 500000"):
        read_midi(tmp_path / "many.mid")
