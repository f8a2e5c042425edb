"""`prepare` from the command line: what comes out, and one message for each mistake."""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data_prep.options import Options, RuleOptions
from tests.data_prep.corpus import (
    dropped,
    entries,
    make_corpus,
    noise,
    prepare,
    records,
    tally,
    tree,
    write,
    write_table,
)
from tests.full_disk import full_disk
from tests.shards.indexes import as_text
from wavenet_pl.cli import main
from wavenet_pl.errors import UserError
from wavenet_pl.shards.format import encode_audio
from wavenet_pl.shards.index import load_index

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_shards_open_with_plain_webdataset(tmp_path: Path) -> None:
    assert prepare("folder", make_corpus(tmp_path / "src"), tmp_path / "out") == 0
    program = (
        "import io, sys, json, soundfile, webdataset as wds\n"
        "for sample in wds.WebDataset(sys.argv[1], shardshuffle=False):\n"
        "    audio, rate = soundfile.read(io.BytesIO(sample['flac']))\n"
        "    print(sample['__key__'], len(audio), rate, json.loads(sample['json'])['speaker'])\n"
    )
    shard = tmp_path / "out/train/shard-000000.tar"
    done = subprocess.run([sys.executable, "-c", program, shard], capture_output=True, text=True, check=True)
    expected = entries(tmp_path / "out", "train")
    assert done.stdout.splitlines() == [
        f"{key} {len(entry['audio'])} {entry['rate']} {entry['speaker']}" for key, entry in expected.items()
    ]


def test_shards_open_with_tar(tmp_path: Path) -> None:
    assert prepare("folder", make_corpus(tmp_path / "src"), tmp_path / "out") == 0
    listed = subprocess.run(
        ["tar", "tf", tmp_path / "out/train/shard-000000.tar"], capture_output=True, text=True, check=True
    ).stdout.split()
    keys = list(entries(tmp_path / "out", "train"))
    assert listed == [f"{key}.{extension}" for key in keys for extension in ("flac", "json")]


def test_index_agrees_with_the_shards(tmp_path: Path) -> None:
    assert (
        prepare("folder", make_corpus(tmp_path / "src"), tmp_path / "out", "--recordings-per-shard", 3) == 0
    )
    index = load_index(tmp_path / "out")
    assert index.labels.tables == {"speaker": ("ann", "bob")}
    found = entries(tmp_path / "out")
    for split, shards in index.splits.items():
        for shard in shards:
            data = (tmp_path / "out" / shard.name).read_bytes()
            assert len(data) == shard.bytes
            for recording in shard.recordings:
                entry = found.pop(recording.key)
                offset, size, _ = recording.members["json"]
                assert (
                    json.loads(data[offset : offset + size])["frames"]
                    == recording.frames
                    == len(entry["audio"])
                )
                (speaker,) = recording.rows["speaker"]
                assert index.labels.tables["speaker"][speaker] == entry["speaker"]
                assert entry["split"] == split
    assert not found


def test_what_is_known_of_a_recording_goes_with_it(tmp_path: Path) -> None:
    source = make_corpus(tmp_path / "src")
    write_table(
        source,
        ["file", "speaker", "text", "tags", "split"],
        ["ann/take0.wav", "Ann B.", "Grüß Gott", "calm", "val"],
    )
    assert prepare("folder", source, tmp_path / "out") == 0
    entry = entries(tmp_path / "out")["ann/take0"]
    expected = {
        "speaker": "Ann B.",
        "text": "Grüß Gott",
        "tags": ["calm"],
        "source": "ann/take0.wav",
        "start": 0,
    }
    assert {name: entry[name] for name in expected} == expected
    assert (entry["split"], entry["frames"], entry["sample_rate"]) == ("val", 4_800, 16_000)
    assert load_index(tmp_path / "out").labels.tables["tags"] == ("calm",)


def test_sixteen_bit_sources_come_out_exactly(tmp_path: Path) -> None:
    audio = np.random.default_rng(0).integers(-32768, 32768, (2, 8_000)).astype(np.int16)
    for name, samples in zip(("a.wav", "b.flac"), audio, strict=True):
        write(tmp_path / "src" / name, samples)
    assert prepare("folder", tmp_path / "src", tmp_path / "out") == 0
    written = entries(tmp_path / "out")
    for key, samples in zip("ab", audio, strict=True):
        np.testing.assert_array_equal(written[key]["audio"], samples)


def test_long_recordings_become_parts_of_one_split(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d"):
        write(tmp_path / f"src/{name}.wav", noise(150, 1_000, seed=ord(name)), 1_000)
    assert prepare("folder", tmp_path / "src", tmp_path / "out", "--sample-rate", 1_000) == 0
    found = entries(tmp_path / "out")
    for name in ("a", "b", "c", "d"):
        parts = [found[f"{name}--{number:03d}"] for number in range(3)]
        assert {part["source"] for part in parts} == {f"{name}.wav"}
        assert [part["start"] for part in parts] == [0, 50_000, 100_000]
        assert len({part["split"] for part in parts}) == 1
    cut = tally(tmp_path / "out", "cut")
    assert (cut["kept"], cut["dropped"], cut["recordings_changed"]) == (600.0, 0.0, 4)


def test_held_out_speakers_are_the_test_split(tmp_path: Path) -> None:
    source = make_corpus(tmp_path / "src", speakers=("ann", "bob", "cleo"))
    assert prepare("folder", source, tmp_path / "out", "--holdout-speakers", "bob") == 0
    found = entries(tmp_path / "out").values()
    assert {entry["speaker"] for entry in found if entry["split"] == "test"} == {"bob"}
    assert {entry["split"] for entry in found if entry["speaker"] == "bob"} == {"test"}


def damaged_corpus(folder: Path) -> Path:
    """Six good recordings of 0.3 s, and one for each reason to drop one."""
    make_corpus(folder, each=3)
    (folder / "text.wav").write_text("not audio")
    write(folder / "silent.wav", np.zeros(8_000))
    write(folder / "short.wav", noise(0.05))
    write(folder / "nan.wav", np.full(4_000, np.nan), subtype="FLOAT")
    one_hertz = bytearray(write(folder / "hertz.wav", noise(1)).read_bytes())
    one_hertz[24:28] = struct.pack("<I", 1)
    (folder / "hertz.wav").write_bytes(one_hertz)
    rows = [
        ["gone.wav", "train"],
        *([f"ann/take{take}.wav", "train"] for take in range(3)),
        ["bob/take0.wav", "val"],
    ]
    return write_table(folder, ["file", "split"], *rows)


def test_what_is_dropped_is_counted_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare("folder", damaged_corpus(tmp_path / "src"), tmp_path / "out", "--test-fraction", 0) == 0
    out = tmp_path / "out"
    assert {name: rule for name, (rule, _) in dropped(out).items()} == {
        "text.wav": "decode",
        "hertz.wav": "decode",
        "gone.wav": "decode",
        "nan.wav": "finite",
        "silent.wav": "silence",
        "short.wav": "length",
    }
    assert tally(out, "decode")["kept"] == pytest.approx(6 * 0.3 + 0.5 + 0.05 + 0.25)
    assert tally(out, "finite")["dropped"] == pytest.approx(0.25)
    assert tally(out, "silence")["dropped"] == pytest.approx(0.5)
    assert tally(out, "length")["dropped"] == pytest.approx(0.05)
    assert tally(out, "cut")["kept"] == pytest.approx(6 * 0.3)
    report = (out / "report.md").read_text()
    for name, (rule, _) in dropped(out).items():
        assert any(name in line and f"| {rule} |" in line for line in report.splitlines())
    said = capsys.readouterr().out
    for rule in ("decode", "mono", "resample", "trim", "silence", "level", "length", "cut"):
        assert any(
            line.split()[:1] == [rule] and "kept" in line and "dropped" in line for line in said.splitlines()
        )
    assert "6 of 12 sources dropped" in said


@pytest.mark.slow
def test_dropped_recordings_leave_gaps(tmp_path: Path) -> None:
    """The runs of sources that make the shards are fixed before anything is read."""
    source = make_corpus(tmp_path / "src", each=10)
    assert prepare("folder", source, tmp_path / "whole", "--recordings-per-shard", 4) == 0
    second = next(
        record for record in records(tmp_path / "whole") if record["shard"] == "train/shard-000001.tar"
    )
    victim = second["recordings"][0]["source"]
    size = (source / victim).stat().st_size
    (source / victim).write_bytes(b"x" * size)
    assert prepare("folder", source, tmp_path / "holed", "--recordings-per-shard", 4) == 0
    whole, holed = tree(tmp_path / "whole"), tree(tmp_path / "holed")
    changed = [name for name in whole if name.endswith(".tar") and whole[name] != holed[name]]
    assert changed == ["train/shard-000001.tar"]


def test_everything_dropped_is_exit_3_with_a_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        write(tmp_path / f"src/{number}.wav", np.zeros(8_000))
    assert prepare("folder", tmp_path / "src", tmp_path / "out") == 3
    error = capsys.readouterr().err
    assert "was dropped, such as" in error
    assert "silent" in error
    assert "report.md lists each" in error
    assert not (tmp_path / "out/index.safetensors").exists()
    assert (tmp_path / "out/report.md").read_text().count("| silence | silent") == 3


def test_a_run_without_validation_left_is_exit_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = make_corpus(tmp_path / "src")
    write(source / "quiet.wav", np.zeros(8_000))
    write_table(source, ["file", "split"], ["quiet.wav", "val"])
    assert prepare("folder", source, tmp_path / "out", "--val-fraction", 0.0) == 3
    assert "every recording of val was dropped, such as quiet.wav: silent" in capsys.readouterr().err


def test_names_of_any_kind_come_through(tmp_path: Path) -> None:
    source = make_corpus(tmp_path / "src")
    names = [
        "a b.wav",
        "a.b.c.wav",
        "grüße.wav",
        "日本.wav",
        "-x.wav",
        "x'\"`|$.wav",
        "a\nb.wav",
        "ann/take0.mp3",
    ]
    for number, name in enumerate(names):
        write(source / name, noise(0.3, seed=1_000 + number), format="MP3" if name.endswith("mp3") else "WAV")
    os.rename(os.fsencode(source / "ann/take1.wav"), os.fsencode(source) + b"/caf\xe9.wav")
    assert prepare("folder", source, tmp_path / "out") == 0
    found = {entry["source"] for entry in entries(tmp_path / "out").values()}
    assert found >= {*names, "caf\\xe9.wav"}
    assert len(found) == len(entries(tmp_path / "out")) == 20
    assert load_index(tmp_path / "out")


def test_a_set_of_an_earlier_version_gets_an_index_of_today_under_its_fingerprint(tmp_path: Path) -> None:
    source, out = make_corpus(tmp_path / "src", seconds=0.2), tmp_path / "out"
    assert prepare("folder", source, out) == 0
    index, before = load_index(out), tree(out)
    as_text(out)
    assert prepare("folder", source, out) == 0
    assert tree(out) == before, "index.json is gone"
    assert load_index(out).fingerprint == index.fingerprint


def test_an_index_of_an_earlier_version_that_nobody_knows_is_in_the_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/index.json").write_text("{}")
    assert prepare("folder", make_corpus(tmp_path / "src", seconds=0.2), tmp_path / "out") == 2
    assert "out holds index.json, but no .prepare/plan.json" in capsys.readouterr().err


def test_dry_run_says_the_plan_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = make_corpus(tmp_path / "src")
    assert prepare("folder", source, tmp_path / "out", "--recordings-per-shard", 4, "--dry-run") == 0
    said = capsys.readouterr().out
    assert "12 sources in 5 shards; hours are not known" in said
    assert "nothing was written" in said
    assert not (tmp_path / "out").exists()


def test_two_sines_are_two_frequencies_and_nothing_else(tmp_path: Path) -> None:
    assert prepare("two_sines", tmp_path / "out", "--recordings", 8, "--frequencies", "500,1250") == 0
    found = entries(tmp_path / "out")
    assert len(found) == 8
    for entry in found.values():
        audio = entry["audio"] / 32768
        spectrum = np.abs(np.fft.rfft(audio)) / len(audio) * 2
        frequencies = np.fft.rfftfreq(len(audio), 1 / 16_000)
        assert set(frequencies[spectrum > 1e-3]) == {500, 1250}
        np.testing.assert_allclose(spectrum[spectrum > 1e-3], 0.4, atol=1e-3)
    assert len({entry["audio"].tobytes() for entry in found.values()}) == 8


def test_many_sines_are_two_frequencies_of_their_own_in_each_recording(tmp_path: Path) -> None:
    assert prepare("many_sines", tmp_path / "out", "--recordings", 12, "--seconds", 1) == 0
    found = entries(tmp_path / "out")
    loudest, floors = [], []
    for entry in found.values():
        audio = entry["audio"] / 32768
        spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio)))) / len(audio) * 4
        peak = int(np.argmax(spectrum))
        assert 78 <= peak <= 3202, "bins of 1 Hz"
        assert 0.02 < spectrum[peak] < 0.45
        loudest.append(peak)
        floors.append(20 * np.log10(np.median(spectrum)))
    assert len(set(loudest)) >= 11 and max(loudest) > 4 * min(loudest)
    assert max(floors) < -60 and max(floors) > min(floors) + 5, "noise of its own"


def test_two_sines_are_enough_to_train_on_by_default(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert prepare("two_sines", "-", tmp_path / "out", "--dry-run") == 0
    assert "200 sources" in capsys.readouterr().out


@pytest.mark.slow
def test_the_module_is_the_command(tmp_path: Path) -> None:
    arguments = ["two_sines", str(tmp_path / "out"), "--recordings", "3", "--dry-run"]
    done = subprocess.run(
        [sys.executable, "-m", "data_prep", *arguments], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "3 sources in 3 shards" in done.stdout
    wrong = subprocess.run(
        [sys.executable, "-m", "data_prep", "demo"], cwd=ROOT, capture_output=True, text=True
    )
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)


@pytest.mark.slow
@pytest.mark.cold("what is imported")
def test_a_corpus_at_the_sets_own_rate_does_not_wait_for_torch(tmp_path: Path) -> None:
    arguments = ["folder", str(make_corpus(tmp_path / "src")), str(tmp_path / "out"), "--slice", "1/2"]
    program = "import sys, wavenet_pl.cli as cli; code = cli.main(sys.argv[1:]); print(code, 'torch' in sys.modules)"
    command = [sys.executable, "-c", program, "prepare", *arguments, "--jobs", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1:] == ["0 False"], done.stderr


MISTAKES = {
    "no such corpus": (
        ["foldr", "SRC", "OUT"],
        "CORPUS is 'foldr', expected one of folder, shards, two_sines, many_sines, demo, or merge",
    ),
    "folder without SRC": (["folder", "OUT"], "folder got 1 paths, expected two: SRC DEST"),
    "demo with SRC": (["demo", "SRC", "OUT"], "demo got SRC .*src, and reads none"),
    "two_sines with SRC": (["two_sines", "SRC", "OUT"], "two_sines got SRC .*src, and reads none"),
    "demo without DEST": (["demo"], "demo got 0 paths, expected one: DEST"),
    "no folder": (["folder", "NONE", "OUT"], "SRC .*none is no folder"),
    "DEST is a file": (["folder", "SRC", "FILE"], "DEST .*file cannot be made or opened"),
    "jobs": (["demo", "OUT", "--jobs", "0"], "--jobs is 0, expected 1 or more"),
    "slice zero": (["demo", "OUT", "--slice", "0/4"], "expected 1/4 to 4/4"),
    "slice beyond": (["demo", "OUT", "--slice", "5/4"], "expected 1/4 to 4/4"),
    "slice word": (["demo", "OUT", "--slice", "one"], "'one' is no slice, expected I/N such as 1/8"),
    "slice and overwrite": (["demo", "OUT", "--slice", "1/2", "--overwrite"], "remove DEST first"),
    "sample rate": (
        ["demo", "OUT", "--sample-rate", "16"],
        "--sample-rate is 16, expected 1000 to 192000 Hz",
    ),
    "two levels": (["demo", "OUT", "--rms", "-20", "--loudness", "-23"], "--loudness and --rms are both set"),
    "loudness": (["demo", "OUT", "--loudness", "23"], "--loudness is 23, expected -60 to -1 LUFS"),
    "trim": (["demo", "OUT", "--trim", "nan"], "--trim is nan, expected 1 to 120 dB"),
    "fraction": (["demo", "OUT", "--val-fraction", "5"], "--val-fraction is 5, expected 0 to 0.9"),
    "fractions": (
        ["demo", "OUT", "--val-fraction", ".5", "--test-fraction", ".5"],
        "leave less than 0.05 to train on",
    ),
    "fraction beside holdout": (
        ["folder", "SRC", "OUT", "--holdout-speakers", "ann", "--test-fraction", "0.1"],
        "--test-fraction 0.1 would put others among them",
    ),
    "holdout split alone": (["demo", "OUT", "--holdout-split", "val"], "--holdout-split is set without"),
    "unknown speaker": (["folder", "SRC", "OUT", "--holdout-speakers", "anne"], "did you mean ann?"),
    "empty speaker": (["folder", "SRC", "OUT", "--holdout-speakers", "ann,"], "has an empty name"),
    "tags of the demo": (["demo", "OUT", "--tag-columns", "x"], "demo has none; drop it"),
    "a layout of the demo": (
        ["demo", "OUT", "--metadata", "none"],
        "--metadata is for files of a folder or of shards",
    ),
    "shards without SRC": (["shards", "OUT"], "shards got 1 paths, expected two: SRC DEST"),
    "sines of a folder": (
        ["folder", "SRC", "OUT", "--seconds", "3"],
        "--seconds is for the corpus two_sines",
    ),
    "frequencies of many": (
        ["many_sines", "OUT", "--frequencies", "440,660"],
        "--frequencies is for the corpus two_sines, and would be ignored for many_sines",
    ),
    "frequencies": (["two_sines", "OUT", "--frequencies", "440"], "'440' is no pair of frequencies"),
    "frequency too high": (
        ["two_sines", "OUT", "--frequencies", "440,9000"],
        "has 9000 Hz, expected above 0 and below 8000",
    ),
    "amplitude": (
        ["two_sines", "OUT", "--amplitude", "0.9"],
        "--amplitude is 0.9, expected above 0 and at most 0.5",
    ),
    "sines held out": (["two_sines", "OUT", "--holdout-speakers", "x"], "two_sines has no speakers"),
    "merge of nothing": (["merge", "NONE"], "has no .prepare/plan.json"),
    "merge of two": (["merge", "OUT", "NONE"], "merge got 2 paths, expected one: DEST"),
    "merge with options": (["merge", "NONE", "--sample-rate", "8000"], "--sample-rate would be ignored"),
    "trim before the paths": (
        ["folder", "--trim", "SRC", "OUT"],
        "is no number of dB, .* put --trim after the paths",
    ),
    "unknown option": (["demo", "OUT", "--samplerate", "8000"], "did you mean --sample-rate?"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_one_message_and_exit_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    make_corpus(tmp_path / "src", each=2, seconds=0.1)
    (tmp_path / "file").write_text("x")
    places = {name: str(tmp_path / name.lower()) for name in ("SRC", "OUT", "NONE", "FILE")}
    arguments, message = MISTAKES[case]
    try:
        code: object = main(["prepare", *(places.get(argument, argument) for argument in arguments)])
    except SystemExit as stop:
        code = stop.code
    said = capsys.readouterr()
    assert code == 2
    assert re.search(message, said.err)
    assert said.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("rate", [65_534, 65_535, 65_536, 65_540, 88_199, 88_200, 191_999, 192_000])
def test_a_rate_is_taken_where_flac_can_be_written_at_it(rate: int) -> None:
    try:
        encode_audio(np.zeros(9, np.int16), rate)
    except soundfile.LibsndfileError:
        with pytest.raises(
            UserError, match=rf"--sample-rate is {rate}, expected a multiple of 10 above 65535 Hz"
        ):
            Options(corpus="demo", rules=RuleOptions(sample_rate=rate)).check()
    else:
        Options(corpus="demo", rules=RuleOptions(sample_rate=rate)).check()


def test_a_full_disk_is_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = make_corpus(tmp_path / "src")
    with full_disk(20_000):
        assert prepare("folder", source, tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert "out/train/shard-000000.tar (File too large); mend that, and run the same command" in error
    assert error.count("\n") == 1 and "Traceback" not in error
    assert prepare("folder", source, tmp_path / "out") == 0


def test_an_archive_of_the_result_is_all_there_is_to_it(tmp_path: Path) -> None:
    """No path of this machine is written anywhere."""
    assert prepare("folder", make_corpus(tmp_path / "src"), tmp_path / "out") == 0
    for path in (tmp_path / "out").rglob("*"):
        if path.is_file():
            assert str(tmp_path).encode() not in path.read_bytes()
    with tarfile.open(tmp_path / "out/train/shard-000000.tar") as tar:
        assert {(member.mtime, member.uid, member.gid) for member in tar} == {(0, 0, 0)}
