"""Notes: what a MIDI file says is where and when the roll has it, whatever the file's tempo and tracks."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import mido
import numpy as np
import pytest

from wavenet_pl.audio.midi import (
    LOWEST_KEY,
    MAX_MIDI_BYTES,
    NUM_KEYS,
    PianoRoll,
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


Move = tuple[int, str, int]
"""Tick, what happens (on, off, or the number of a controller), and the key or the value."""


def played(path: Path, *moves: Move, channel: int = 0, seconds: int = 9) -> Score:
    """The notes of one track with a tick of a millisecond."""
    file, last = mido.MidiFile(ticks_per_beat=500), 0
    track = mido.MidiTrack()
    for tick, what, value in moves:
        message = (
            mido.Message(f"note_{what}", note=value, velocity=64, channel=channel)
            if what in ("on", "off")
            else mido.Message("control_change", control=int(what), value=value, channel=channel)
        )
        track.append(message.copy(time=tick - last))
        last = tick
    track.append(mido.MetaMessage("end_of_track", time=1000 * seconds - last))
    file.tracks.append(track)
    file.save(path)
    return read_midi(path)


PAIRS: dict[str, tuple[list[Move], list[tuple[float, float]]]] = {
    "at one moment": (
        [(0, "on", 60), (1000, "on", 60), (1000, "off", 60), (1000, "off", 60)],
        [(0, 1), (1, 1)],
    ),
    "one within another": (
        [(0, "on", 60), (1000, "on", 60), (2000, "off", 60), (3000, "off", 60)],
        [(0, 2), (1, 3)],
    ),
    "three": (
        [(1000 * at, "on" if at < 3 else "off", 60) for at in range(6)],
        [(0, 3), (1, 4), (2, 5)],
    ),
    "struck before it is let go": (
        [(0, "on", 60), (1000, "on", 60), (1000, "off", 60), (2000, "off", 60)],
        [(0, 1), (1, 2)],
    ),
    "one without an end, and others after it": (
        [(0, "on", 60), (1000, "on", 60), (2000, "off", 60), (3000, "on", 60), (4000, "off", 60)],
        [(0, 1), (1, 2), (3, 4)],
    ),
    "ends too many": (
        [(0, "on", 60), (1000, "off", 60), (2000, "off", 60), (3000, "on", 60), (4000, "off", 60)],
        [(0, 1), (3, 4)],
    ),
    "other keys": (
        [(0, "on", 60), (1000, "on", 64), (2000, "off", 60), (3000, "off", 64)],
        [(0, 2), (1, 3)],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("moves", "spans"), PAIRS.values(), ids=PAIRS)
def test_what_is_let_go_is_the_oldest_note_of_its_key(
    tmp_path: Path, moves: list[Move], spans: list[tuple[float, float]]
) -> None:
    notes = played(tmp_path / "a.mid", *moves)
    assert list(zip(notes.onsets, notes.offsets, strict=True)) == spans


@pytest.mark.parametrize("number", [120, 123, 124, 125, 126, 127])
def test_all_notes_of_a_channel_can_be_ended_at_once(tmp_path: Path, number: int) -> None:
    moves: list[Move] = [
        (0, "on", 60),
        (500, "on", 64),
        (1000, str(number), 0),
        (2000, "on", 60),
        (3000, "off", 60),
    ]
    notes = played(tmp_path / "a.mid", *moves)
    assert notes.offsets.tolist() == [1, 1, 3]


def test_all_notes_off_is_for_its_channel_alone(tmp_path: Path) -> None:
    moves = [("note_on", 0), ("note_on", 1), ("control_change", 1)]
    numbers = {"note_on": {"note": 60, "velocity": 9}, "control_change": {"control": 123}}
    track = [mido.Message(kind, channel=at, time=500, **numbers[kind]) for kind, at in moves]
    file = mido.MidiFile(ticks_per_beat=500)
    file.tracks.append(mido.MidiTrack([*track, mido.MetaMessage("end_of_track", time=500)]))
    file.save(tmp_path / "a.mid")
    assert read_midi(tmp_path / "a.mid").offsets.tolist() == [2, 1.5]


@pytest.mark.parametrize(("number", "held"), [(121, True), (120, False)])
def test_the_pedal_comes_up_where_controllers_are_reset_or_all_sound_ends(
    tmp_path: Path, number: int, held: bool
) -> None:
    notes = played(tmp_path / "a.mid", (0, "64", 127), (0, "on", 60), (1000, str(number), 0))
    assert notes.pedal_seconds.tolist() == [0, 1] and notes.pedal_values.tolist() == [127, 0]
    assert notes.offsets.tolist() == [9 if held else 1]


def test_each_channel_has_a_pedal_and_the_deepest_counts(tmp_path: Path) -> None:
    def move(channel: int, value: int) -> mido.Message:
        return mido.Message("control_change", control=64, value=value, channel=channel, time=500)

    strikes = [mido.Message("note_on", note=60 + channel, velocity=9, channel=channel) for channel in (0, 1)]
    moves = [move(0, 127), move(1, 40), move(2, 99), move(1, 0), move(0, 0)]
    file = mido.MidiFile(ticks_per_beat=500)
    file.tracks.append(mido.MidiTrack([*strikes, *moves]))
    file.save(tmp_path / "a.mid")
    notes = read_midi(tmp_path / "a.mid")
    assert notes.pedal_values.tolist() == [127, 127, 127, 0], "a channel without notes has no pedal"
    assert notes.pedal_seconds.tolist() == [0.5, 1.0, 2.0, 2.5]


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


def test_a_roll_that_is_made_piece_by_piece_is_the_whole(tmp_path: Path) -> None:
    strikes = [*some_notes(), *((n / 4, n / 4 + 0.25, 60, 50) for n in range(20))]  # one key without a pause
    roll = PianoRoll(read_midi(write_midi(tmp_path / "a.mid", strikes, [(0.5, 127), (0.9, 40)])), HOP, RATE)
    whole = np.asarray(roll)
    assert whole.shape == (len(roll), NUM_KEYS + 1)
    for size in (1, 7, 125, len(roll)):
        pieces = [roll[first : first + size] for first in range(0, len(roll), size)]
        assert np.array_equal(np.concatenate(pieces), whole)


def test_a_roll_of_a_day_takes_the_memory_of_what_is_asked_for(tmp_path: Path) -> None:
    note = b"\0\x90\x3c\x50\x8a\xc5\0\x80\x3c\0"  # 172,672 beats of half a second
    content = b"MThd\0\0\0\6\0\0\0\1\0\1MTrk\0\0\0\x0e" + note + b"\0\xff\x2f\0"
    (tmp_path / "day.mid").write_bytes(content)
    tracemalloc.start()
    roll = PianoRoll(read_midi(tmp_path / "day.mid"), HOP, RATE)
    assert len(content) == 36 and len(roll) == 86_336 * 250
    assert roll[-100:].shape == (100, NUM_KEYS + 1) and roll[-100:].any()
    assert tracemalloc.get_traced_memory()[1] < 2**23
    tracemalloc.stop()


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


def test_bounds_are_kept(tmp_path: Path) -> None:
    large = tmp_path / "large.mid"
    large.write_bytes(b"MThd" + bytes(MAX_MIDI_BYTES))
    with pytest.raises(UserError, match="is larger than"):
        read_midi(large)
    with pytest.raises(UserError, match="lasts longer than 24 hours"):
        read_midi(
            write_midi(tmp_path / "long.mid", [(20_000 * n, 20_000 * (n + 1), 60, 1) for n in range(5)])
        )
    with pytest.raises(UserError, match="no such file|No such file"):
        read_midi(tmp_path / "none.mid")
