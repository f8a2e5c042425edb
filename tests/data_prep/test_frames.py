"""`prepare --notes --mel`: what is heard, what is written in the score, and whether the two belong together."""

from __future__ import annotations

import json
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from data_prep.corpora import read_corpus
from data_prep.options import Options, RuleOptions, read_frames
from data_prep.plan import build_plan
from tests.audio.test_midi import Strike, some_notes, write_midi
from tests.data_prep.corpus import (
    dropped,
    make_corpus,
    noise,
    prepare,
    records,
    stored_frames,
    tree,
    write,
    write_table,
)
from tests.shards.damages import audio_bytes, write_tar
from wavenet_pl.audio.midi import piano_roll, read_midi
from wavenet_pl.cli import main
from wavenet_pl.inputs.mel import Mel
from wavenet_pl.inputs.notes import Notes
from wavenet_pl.shards.index import load_index

RATE = 16_000
SECONDS = 8.0


def played(notes: list[Strike], seconds: float = SECONDS) -> npt.NDArray[np.float32]:
    """Each note as a sine that begins at once and dies away."""
    audio = noise(seconds, RATE, level=1e-4).astype(np.float64)
    for onset, _, key, velocity in notes:
        begin = round(onset * RATE)
        time = np.arange(max(0, min(RATE, len(audio) - begin))) / RATE
        tone = np.sin(2 * np.pi * 440 * 2 ** ((key - 69) / 12) * time)
        audio[begin : begin + len(time)] += 0.1 * velocity / 127 * np.exp(-6 * time) * tone
    return audio.astype(np.float32)


def make_pieces(folder: Path, count: int = 4, late: float = 0.0) -> Path:
    """Recordings with their MIDI beside them, which begins `late` seconds after what is heard."""
    for number in range(count):
        notes = some_notes(50, seed=number)
        write(folder / f"piece{number}.wav", played(notes), subtype="PCM_16")
        moved = [(on + late, off + late, key, velocity) for on, off, key, velocity in notes]
        write_midi(folder / f"piece{number}.mid", moved, [(1.0, 127), (5.0, 0)])
    return folder


def test_the_set_has_what_is_heard_and_what_is_written(tmp_path: Path) -> None:
    source = make_pieces(tmp_path / "in")
    assert prepare("folder", source, tmp_path / "out", "--notes", "--mel") == 0
    index = load_index(tmp_path / "out")
    assert index.labels.frames == {"notes": Notes.default(RATE).spec, "mel": Mel.default(RATE).spec}
    rolls, mels = stored_frames(tmp_path / "out", "notes"), stored_frames(tmp_path / "out", "mel")
    assert set(rolls) == {f"piece{number}" for number in range(4)}
    for key, roll in rolls.items():
        audio, _ = soundfile.read(source / f"{key}.wav", dtype="float32")
        notes = read_midi(source / f"{key}.mid")
        assert np.array_equal(roll, piano_roll(notes, Notes.default(RATE).hop_length, len(audio), RATE))
        assert np.array_equal(mels[key], Mel.default(RATE).of_audio(audio, RATE))
    report = (tmp_path / "out" / "report.md").read_text()
    assert (
        "- notes: 0.53 min, 6.25 notes a second, the pedal down in 50.0% of the frames (hop_length 64)."
        in report
    )
    assert "- mel: 0.53 min, mean 0." in report
    assert "No source has one." in report  # no flaw: the notes are where they are heard


@pytest.mark.slow
def test_notes_are_cut_with_the_audio(tmp_path: Path) -> None:
    notes = [(3.0, 3.5, 60, 90), (4.0, 4.5, 62, 90)]
    for number in range(2):
        write(tmp_path / "in" / f"a{number}.wav", (1 - 0.1 * number) * played(notes), subtype="PCM_16")
        write_midi(tmp_path / "in" / f"a{number}.mid", notes)
    assert prepare("folder", tmp_path / "in", tmp_path / "out", "--notes", "--trim", "30") == 0
    roll = stored_frames(tmp_path / "out", "notes")["a0"]
    onset = np.flatnonzero(roll[:, 60 - 21])[0] * Notes.default(RATE).hop_length / RATE
    assert onset == pytest.approx(0.1, abs=0.025)  # trim keeps a tenth of a second before what is loud


@pytest.mark.slow
@pytest.mark.parametrize("how", ["slices", pytest.param("processes", marks=pytest.mark.slow)])
def test_the_bytes_do_not_depend_on_how_it_is_done(tmp_path: Path, how: str) -> None:
    source = make_pieces(tmp_path / "in")
    options = ("--notes", "--mel", "--recordings-per-shard", 2)
    assert prepare("folder", source, tmp_path / "one", *options) == 0
    if how == "processes":
        assert prepare("folder", source, tmp_path / "two", *options, jobs=2) == 0
    else:
        for number in (2, 1):
            assert prepare("folder", source, tmp_path / "two", *options, "--slice", f"{number}/2") == 0
        assert prepare("merge", tmp_path / "two") == 0
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_what_has_no_notes_that_fit_is_dropped_and_says_which_file(tmp_path: Path) -> None:
    source = make_pieces(tmp_path / "in")
    audio = played(some_notes(50))
    for name in ("none", "broken", "empty", "late", "long"):
        write(source / f"{name}.wav", audio, subtype="PCM_16")
    (source / "broken.mid").write_bytes(b"RIFF\0\0\0\0")
    write_midi(source / "empty.mid", [])
    write_midi(source / "late.mid", [(9.0, 9.5, 60, 9)])
    write_midi(source / "long.midi", [(1.0, 1.5, 60, 9), (8.5, 9.5, 60, 9)])
    assert prepare("folder", source, tmp_path / "out", "--notes") == 0
    found = dropped(tmp_path / "out")
    assert {name: rule for name, (rule, _) in found.items()} == dict.fromkeys(
        ("none.wav", "broken.wav", "empty.wav", "late.wav", "long.wav"), "notes"
    )
    reasons = {name.split(".")[0]: reason for name, (_, reason) in found.items()}
    assert reasons["none"] == "no file *.mid or *.midi beside it, expected one with its notes"
    assert reasons["broken"].startswith("broken.mid cannot be used as MIDI (")
    assert reasons["empty"] == "empty.mid has no notes that a piano can play, expected one or more"
    assert reasons["late"] == (
        "late.mid does not fit: its notes begin from 9.00 to 9.00 s, the audio has 8.00 s"
    )
    assert reasons["long"] == (
        "long.midi does not fit: its notes begin from 1.00 to 8.50 s, the audio has 8.00 s"
    )


def test_the_table_names_the_notes_and_what_it_names_has_to_be_there(tmp_path: Path) -> None:
    source = make_pieces(tmp_path / "in", count=8)
    (source / "scores").mkdir()
    (source / "piece0.mid").rename(source / "scores" / "first.mid")
    rows = ["piece0.wav", "scores/first.mid"], ["piece1.wav", "scores/gone.mid"]
    write_table(source, ["file", "midi"], *rows)
    assert prepare("folder", source, tmp_path / "out", "--notes") == 0
    reason = "its table names scores/gone.mid, and there is no such file, expected one with its notes"
    assert dropped(tmp_path / "out") == {"piece1.wav": ("notes", reason)}


@pytest.mark.parametrize("named", [True, False])
def test_a_name_may_be_spelled_in_two_ways(tmp_path: Path, named: bool) -> None:
    source = make_pieces(tmp_path / "in", count=2)
    one, two = "pi\u00e8ce", "pie\u0300ce"
    (source / "piece0.wav").rename(source / f"{one}.wav")
    (source / "piece0.mid").rename(source / f"{two}.MID")
    if named:
        write_table(source, ["file", "midi"], [f"{one}.wav", f"{one}.MID"])
    assert prepare("folder", source, tmp_path / "out", "--notes") == 0
    assert not dropped(tmp_path / "out")


@pytest.mark.parametrize("frames", [-50, -4, 3, 50])
def test_notes_that_are_shifted_are_a_flaw(tmp_path: Path, frames: int) -> None:
    source = make_pieces(tmp_path / "in", count=2, late=0.2)  # so that there is room before the first
    for number in range(2):
        notes = [
            (a + 0.2 + 0.004 * frames, b + 0.2 + 0.004 * frames, k, v)
            for a, b, k, v in some_notes(50, seed=number)
        ]
        write_midi(source / f"piece{number}.mid", notes)
        audio = played([(a + 0.2, b, k, v) for a, b, k, v in some_notes(50, seed=number)], SECONDS + 1)
        write(source / f"piece{number}.wav", audio, subtype="PCM_16")
    assert prepare("folder", source, tmp_path / "out", "--notes") == 0
    flaws = [row for record in records(tmp_path / "out") for row in record["flaws"]]
    assert [row["flaw"] for row in flaws] == ["shifted"] * 2
    for row in flaws:
        told, name = row["found"].split(" ms, ")
        assert float(told) == pytest.approx(-4 * frames, abs=8)
        assert name == row["source"].replace(".wav", ".mid")


@pytest.mark.slow
def test_notes_of_something_else_are_a_flaw_and_have_no_shift(tmp_path: Path) -> None:
    for number in range(2):
        write(tmp_path / "in" / f"a{number}.wav", noise(SECONDS, seed=number), subtype="PCM_16")
        write_midi(tmp_path / "in" / f"a{number}.mid", some_notes(50, seed=number))
    assert prepare("folder", tmp_path / "in", tmp_path / "out", "--notes") == 0
    flaws = [row for record in records(tmp_path / "out") for row in record["flaws"]]
    assert [(row["flaw"], row["found"].split(", ")[1]) for row in flaws] == [
        ("unheard", row["source"].replace(".wav", ".mid")) for row in flaws
    ]
    assert len(flaws) == 2


def test_too_few_notes_tell_no_shift(tmp_path: Path) -> None:
    for number in range(2):
        write(tmp_path / "in" / f"a{number}.wav", noise(SECONDS, seed=number), subtype="PCM_16")
        write_midi(tmp_path / "in" / f"a{number}.mid", some_notes(7, seed=number))
    assert prepare("folder", tmp_path / "in", tmp_path / "out", "--notes") == 0
    assert not [row for record in records(tmp_path / "out") for row in record["flaws"]]


def test_a_midi_file_that_breaks_the_format_is_used_and_told(tmp_path: Path) -> None:
    source = make_pieces(tmp_path / "in", count=2)
    content = (source / "piece1.mid").read_bytes()
    (source / "piece1.mid").write_bytes(content[:14] + b"XFIH\0\0\0\4abcd" + content[14:])
    wide = [*some_notes(50), (1.0, 1.5, 110, 9)]
    write_midi(source / "piece0.mid", wide, [(1.0, 127), (5.0, 0)])
    assert prepare("folder", source, tmp_path / "out", "--notes") == 0
    flaws = {row["source"]: row for record in records(tmp_path / "out") for row in record["flaws"]}
    assert {name: (row["flaw"], row["found"]) for name, row in flaws.items()} == {
        "piece0.wav": ("beyond", "1 of them, piece0.mid"),
        "piece1.wav": ("malformed", "chunk that is no track, piece1.mid"),
    }
    assert "1 x malformed: the MIDI file breaks the format" in (tmp_path / "out" / "report.md").read_text()


MEL, NOTES = Mel.default(RATE), Notes.default(RATE)


def test_a_plan_without_frames_is_what_it_was_and_midi_counts_only_with_notes(tmp_path: Path) -> None:
    source = make_pieces(tmp_path / "in", count=2)

    def fingerprint(**asked: Any) -> str:
        options = Options(corpus="folder", rules=RuleOptions(**asked))
        return build_plan(read_corpus(options, source, tmp_path / "out"), options).fingerprint

    before = [
        fingerprint(),
        fingerprint(frames=(NOTES,)),
        fingerprint(frames=(MEL,)),
        fingerprint(frames=(NOTES, MEL)),
    ]
    assert len(set(before)) == 4
    write_midi(source / "piece0.mid", some_notes(51))
    assert [fingerprint(), fingerprint(frames=(MEL,))] == [before[0], before[2]]
    assert fingerprint(frames=(NOTES,)) != before[1]
    # From before there were frames: what was begun then goes on.
    described = Options(corpus="folder").describe()
    assert set(described) == {"corpus", "rules", "splits", "tag_columns", "recordings_per_shard"}
    assert set(described["rules"]) == {"sample_rate", "trim", "loudness", "rms", "min_seconds"}


def test_a_plan_with_notes_and_mel_says_it_as_it_did(tmp_path: Path) -> None:
    """What version 0.1.0 began with them goes on, too: its words are written out here."""
    rules = Options(corpus="folder", rules=RuleOptions(frames=(NOTES, MEL))).describe()["rules"]
    assert rules["notes"] is True
    assert json.dumps(rules["mel"]) == (
        '{"floor_db": -80.0, "highest_hz": 7600.0, "hop_length": 200, "lowest_hz": 55.0, "num_mels": 80, '
        '"window_length": 800}'
    )
    assert read_frames(json.loads(json.dumps(rules)), RATE) == (NOTES, MEL)


def as_before(record: Path) -> None:
    """Write a record as version 0.1.0 did: no tables, tallies and MIDI hashes in places of their own."""
    tree = json.loads(record.read_text())
    tree["midi"] = tree.pop("files")["notes"]
    del tree["rules"]["frames"]
    for row in tree["recordings"]:
        del row["tables"]
        for tallies in row.pop("arrays").values():
            row.update(tallies)
    record.write_text(json.dumps(tree))


@pytest.mark.slow
def test_what_version_0_1_0_began_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, options = make_pieces(tmp_path / "in"), ("--notes", "--mel", "--recordings-per-shard", 1)
    assert prepare("folder", source, tmp_path / "one", *options) == 0
    assert prepare("folder", source, tmp_path / "two", *options, "--slice", "1/2") == 0
    for record in (tmp_path / "two").glob(".prepare/*/shard-*.json"):
        as_before(record)
    for path in source.iterdir():
        path.touch()  # so that the hashes of the records are asked
    assert prepare("folder", source, tmp_path / "two", *options) == 0
    assert "goes on after 2 recordings that were done before" in capsys.readouterr().err
    one, two = tree(tmp_path / "one"), tree(tmp_path / "two")
    assert {name for name in one if one[name] != two[name]} <= {
        name for name in one if name.startswith(".prepare/")
    } | {"report.md", "report.png"}
    told = [(tmp_path / out / "report.md").read_text().split("## Frames")[1] for out in ("one", "two")]
    assert told[0] == told[1]


def test_the_record_has_the_hash_of_the_midi_file(tmp_path: Path) -> None:
    source = make_pieces(tmp_path / "in", count=2)
    assert prepare("folder", source, tmp_path / "out", "--notes") == 0
    hashes = {
        name: sha for record in records(tmp_path / "out") for name, sha in record["files"]["notes"].items()
    }
    assert hashes == {f"piece{n}.wav": tree(source)[f"piece{n}.mid"] for n in range(2)}


def test_a_midi_file_of_the_same_size_with_other_notes_is_noticed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = make_pieces(tmp_path / "in", count=2)
    assert prepare("folder", source, tmp_path / "out", "--notes") == 0
    notes = [(on, off, key, 128 - velocity) for on, off, key, velocity in some_notes(50, seed=1)]
    write_midi(source / "piece1.mid", notes, [(1.0, 127), (5.0, 0)])
    assert prepare("folder", source, tmp_path / "out", "--notes") == 2
    assert "piece1.mid in SRC has changed since it was packed into" in capsys.readouterr().err


def test_notes_of_what_has_none_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare("two_sines", tmp_path / "out", "--notes") == 2
    assert (
        "--notes is for files beside those of a folder, and two_sines has none; drop it"
        in capsys.readouterr().err
    )


def test_without_the_options_nothing_is_made(tmp_path: Path) -> None:
    assert prepare("folder", make_corpus(tmp_path / "in"), tmp_path / "out") == 0
    assert not load_index(tmp_path / "out").labels.frames
    assert "## Frames" not in (tmp_path / "out" / "report.md").read_text()


def test_index_takes_shards_with_frames(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare("folder", make_pieces(tmp_path / "in", count=2), tmp_path / "out", "--notes", "--mel") == 0
    before = load_index(tmp_path / "out")
    assert main(["index", str(tmp_path / "out")]) == 0
    assert "nothing was changed" in capsys.readouterr().out
    assert load_index(tmp_path / "out") == before
    assert main(["index", str(tmp_path / "out"), "--out", str(tmp_path / "foreign")]) == 0
    assert load_index(tmp_path / "foreign").labels == before.labels  # as the index beside the shards says


@pytest.mark.parametrize("whole", [True, False])
def test_index_keeps_the_frames_that_every_recording_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], whole: bool
) -> None:
    out = tmp_path / "out"
    assert prepare("folder", make_pieces(tmp_path / "in", count=3), out, "--notes", "--test-fraction", 0) == 0
    before = load_index(out)
    (path,) = (out / "val").glob("*.tar")
    with tarfile.open(path) as tar:
        members = [(member.name, tar.extractfile(member).read()) for member in tar]  # type: ignore[union-attr]
    write_tar(
        path, [("other.wav", audio_bytes(rate=RATE)), ("other.json", b"{}")] if not whole else members[::-1]
    )
    assert main(["index", str(out), "--skip-damaged"]) == 0
    assert load_index(out).fingerprint != before.fingerprint
    assert load_index(out).labels.frames == (before.labels.frames if whole else {})
    said = "not every recording has notes: the index says nothing of them any more"
    assert (said in capsys.readouterr().out) is not whole


def test_index_of_shards_alone_says_nothing_of_frames(tmp_path: Path) -> None:
    assert prepare("folder", make_pieces(tmp_path / "in", count=2), tmp_path / "out", "--notes") == 0
    (tmp_path / "out/index.safetensors").unlink()
    assert main(["index", str(tmp_path / "out")]) == 0
    assert not load_index(tmp_path / "out").labels.frames  # nobody says how they were made


def test_mel_frames_may_have_settings_of_their_own(tmp_path: Path) -> None:
    source = make_pieces(tmp_path / "in", count=2)
    assert prepare("folder", source, tmp_path / "out", "--mel", "hop_length=80,window_length=320") == 0
    index = load_index(tmp_path / "out")
    assert index.labels.frames == {"mel": replace(MEL, hop_length=80, window_length=320).spec}
    frames = stored_frames(tmp_path / "out", "mel")
    rows = [row for shards in index.splits.values() for shard in shards for row in shard.recordings]
    assert {row.key: len(frames[row.key]) for row in rows} == {row.key: -(-row.frames // 80) for row in rows}
    assert prepare("folder", source, tmp_path / "out", "--mel") == 2, "other frames are another set"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("hops=80", "'hops=80' is none of hop_length=N, window_length=N, num_mels=N"),
        ("hop_length", "'hop_length' is none of"),
        ("hop_length=ten", "invalid literal"),
        ("hop_length=0", "mel has hop_length 0, expected a whole number from 1"),
        ("hop_length=900", "mel has window_length 800, expected hop_length 900 or more"),
        ("floor_db=nan", "floor_db nan"),
    ],
)
def test_mel_settings_that_cannot_be_are_one_message(
    tmp_path: Path, settings: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert prepare("folder", tmp_path, tmp_path / "out", "--mel", settings) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and message in error and "expected settings such as hop_length=80" in error
