"""Layouts of the best-known corpora, in small, by the commands that the page gives for them."""

from __future__ import annotations

import argparse
import io
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

from data_prep.arguments import add_arguments
from data_prep.command import check_arguments
from data_prep.corpora import read_corpus
from data_prep.layout import Layout
from data_prep.plan import build_plan
from data_prep.sources import Source
from tests.data_prep.corpus import noise
from wavenet_pl.errors import UserError

PAGE = Path(__file__).resolve().parents[2] / "docs/preparing.md"


def sound(format: str = "WAV") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, noise(0.2), 16_000, format=format)
    return file.getvalue()


WAV, FLAC, MP3 = map(sound, ("WAV", "FLAC", "MP3"))


def lay(folder: Path, files: dict[str, bytes | str]) -> Path:
    """A folder with these files."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def planned(command: str, folder: Path) -> tuple[dict[str, tuple[Source, str]], tuple[str, ...]]:
    """(file -> (source, split), notes) of a `wavenet-pl prepare` command whose corpus is this folder."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    words = shlex.split(command)[2:]
    words[1:3] = [str(folder), str(folder.parent / "out")]
    request = check_arguments(parser.parse_intermixed_args(words))
    assert request is not None
    corpus = read_corpus(request.options, request.source, request.folder)
    shards = build_plan(corpus, request.options).shards
    return {each.name: (each, shard.split) for shard in shards for each in shard.sources}, corpus.notes


def documented(corpus: str) -> str:
    (command,) = re.findall(rf"^wavenet-pl prepare folder {corpus}.*$", PAGE.read_text(), flags=re.MULTILINE)
    return str(command)


def librispeech(folder: Path) -> dict[str, tuple[str | None, str | None, str]]:
    files: dict[str, bytes | str] = {
        "README.TXT": "x",
        "SPEAKERS.TXT": "; ID | SEX\n19 | F | train-clean-100\n",
    }
    expected: dict[str, tuple[str | None, str | None, str]] = {}
    for subset, split, reader, chapters in (
        ("train-clean-100", "train", "19", ("198", "227")),
        ("train-clean-100", "train", "26", ("495", "19")),
        ("dev-clean", "val", "84", ("121123", "121550")),
        ("test-clean", "test", "61", ("70968", "70970")),
    ):
        for chapter in chapters:
            key, at = f"{reader}-{chapter}", f"{subset}/{reader}/{chapter}"
            lines = [f"{key}-{number:04d} IT'S UTTERANCE {number}" for number in range(2)]
            files[f"{at}/{key}.trans.txt"] = "\n".join(lines) + "\n"
            for number in range(2):
                name = f"{at}/{key}-{number:04d}.flac"
                files[name] = FLAC
                expected[name] = reader, f"IT'S UTTERANCE {number}", split
    lay(folder, files)
    return expected


def ljspeech(folder: Path) -> dict[str, tuple[str | None, str | None, str]]:
    keys = [f"LJ001-{number:04d}" for number in range(1, 5)]
    rows = [f'{key}|Said "in {n}, 1.|Said "in number {n}, one.' for n, key in enumerate(keys)]
    lay(folder, {"README": "x", "metadata.csv": "\n".join(rows), **{f"wavs/{key}.wav": WAV for key in keys}})
    return {f"wavs/{k}.wav": ("LJ", f'Said "in number {n}, one.', "") for n, k in enumerate(keys)}


def vctk(folder: Path) -> dict[str, tuple[str | None, str | None, str]]:
    files: dict[str, bytes | str] = {"speaker-info.txt": "ID AGE GENDER\np225 23 F\n"}
    expected: dict[str, tuple[str | None, str | None, str]] = {}
    for speaker, texts in (
        ("p225", ("Please call, Stella.", '"Ask', "Six")),
        ("p226", ("Please", "A")),
        ("p315", ()),
    ):
        for number in range(1, 3):
            key = f"{speaker}_{number:03d}"
            for microphone in (1, 2):
                files[f"wav48_silence_trimmed/{speaker}/{key}_mic{microphone}.flac"] = FLAC
            text = texts[number - 1] if texts else None
            if text is not None:
                files[f"txt/{speaker}/{key}.txt"] = f"{text}\n"
            expected[f"wav48_silence_trimmed/{speaker}/{key}_mic1.flac"] = speaker, text, ""
    lay(folder, files)
    return expected


def common_voice(folder: Path) -> dict[str, tuple[str | None, str | None, str]]:
    files: dict[str, bytes | str] = {}
    expected: dict[str, tuple[str | None, str | None, str]] = {}
    tables = (("train", "train"), ("dev", "val"), ("test", "test"), ("other", ""), ("invalidated", ""))
    for at, (table, split) in enumerate(tables):
        lines = ["client_id\tpath\tsentence\tup_votes\tlocale"]
        for number in range(2):
            name = f"common_voice_en_{10 * at + number}.mp3"
            files[f"clips/{name}"] = MP3
            lines.append(f'{at}{number:0100x}\t{name}\tHe said "no, {number}\t2\ten')
            if split:
                expected[f"clips/{name}"] = f"{at}{number:0100x}", f'He said "no, {number}', split
        files[f"{table}.tsv"] = "\n".join(lines) + "\n"
    lay(folder, files)
    return expected


def maestro(folder: Path) -> dict[str, tuple[str | None, str | None, str]]:
    header = "canonical_composer,canonical_title,split,year,midi_filename,audio_filename,duration"
    files: dict[str, bytes | str] = {"LICENSE": "x"}
    expected: dict[str, tuple[str | None, str | None, str]] = {}
    rows = [header]
    for number, (word, split) in enumerate(
        (("train", "train"), ("train", "train"), ("validation", "val"), ("test", "test"))
    ):
        stem = f"20{10 + number}/MIDI-Unprocessed_{number}"
        rows.append(f'Bach,"Prelude, in ""C""",{word},{2010 + number},{stem}.midi,{stem}.wav,0.2')
        files |= {f"{stem}.wav": WAV, f"{stem}.midi": b"MThd"}
        expected[f"{stem}.wav"] = None, None, split
    lay(folder, {**files, "maestro-v3.0.0.csv": "\n".join(rows)})
    return expected


CORPORA: dict[str, Callable[[Path], dict[str, tuple[str | None, str | None, str]]]] = {
    "LibriSpeech": librispeech,
    "LJSpeech": ljspeech,
    "VCTK": vctk,
    "cv-corpus": common_voice,
    "maestro": maestro,
}


@pytest.mark.parametrize("corpus", CORPORA)
def test_the_documented_command_gives_speakers_texts_and_splits(corpus: str, tmp_path: Path) -> None:
    expected = CORPORA[corpus](tmp_path / "in")
    sources, notes = planned(documented(corpus), tmp_path / "in")
    assert {name: (each.speaker, each.text) for name, (each, _) in sources.items()} == {
        name: (speaker, text) for name, (speaker, text, _) in expected.items()
    }
    for name, (_, split) in sources.items():
        assert expected[name][2] in ("", split), name
    assert {split for _, split in sources.values()} == {"train", "val", "test"}
    assert all(each.exists and not each.problem for each, _ in sources.values())
    assert not any("too many" in note for note in notes)
    if corpus == "maestro":
        assert all(
            each.files["notes"].name == each.name.replace(".wav", ".midi") for each, _ in sources.values()
        )


PLAIN = "wavenet-pl prepare folder IN OUT "


def test_chapters_that_count_as_speakers_are_told(tmp_path: Path) -> None:
    librispeech(tmp_path / "in")
    sources, notes = planned(PLAIN, tmp_path / "in")
    assert len({each.speaker for each, _ in sources.values()}) == 8
    assert any(
        note.startswith("speakers may be taken for too many: dev-clean/84 has 121123, 121550")
        for note in notes
    )


@pytest.mark.parametrize(
    "names",
    [("ann/1.wav", "bob/1.wav"), ("wav/ann/1.wav", "wav/bob/1.wav"),
     ("train/ann/1.wav", "train/bob/1.wav", "test/cleo/1.wav", "test/dora/1.wav"), ("1.wav", "2.wav")],
)  # fmt: skip
def test_folders_that_are_speakers_are_not(names: tuple[str, ...], tmp_path: Path) -> None:
    _, notes = planned(PLAIN, lay(tmp_path / "in", dict.fromkeys(names, WAV)))
    assert not any("too many" in note for note in notes)


SPEAKERS = {
    "the first folder": ("1", {"a/x/1_ann.wav": "a", "b/y/2_bob.wav": "b"}),
    "the folder of the file": ("-1", {"a/x/1_ann.wav": "x", "b/y/2_bob.wav": "y"}),
    "a pattern": ("'_([a-z]+)[.]'", {"a/x/1_ann.wav": "ann", "b/y/2_bob.wav": "bob"}),
    "a list": ("LIST.TXT", {"a/x/1_ann.wav": "x", "b/y/2_bob.wav": "y"}),
    "a list of what names begin with": ("few.txt", {"a/x/1_ann.wav": "1", "b/y/2_bob.wav": "2"}),
    "a column": ("reader", {"a/x/1_ann.wav": "Ann", "b/y/2_bob.wav": "Bob"}),
    "nobody": ("none", {"a/x/1_ann.wav": None, "b/y/2_bob.wav": None}),
}


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """Two recordings of two speakers, who are named in every way that there is."""
    table = "file,speaker,reader\na/x/1_ann.wav,p,Ann\nb/y/2_bob.wav,q,Bob\n"
    lists = {"LIST.TXT": "; names\nx | F\ny | M\na\n", "few.txt": "1,F\n2,M\n"}
    return lay(tmp_path / "in", {"a/x/1_ann.wav": WAV, "b/y/2_bob.wav": WAV, "metadata.csv": table, **lists})


@pytest.mark.parametrize(("where_from", "expected"), SPEAKERS.values(), ids=SPEAKERS)
def test_a_speaker_is_what_the_user_says(two: Path, where_from: str, expected: dict[str, str | None]) -> None:
    sources, _ = planned(f"{PLAIN} --speaker-from {where_from}", two)
    assert {name: each.speaker for name, (each, _) in sources.items()} == expected


def test_recordings_without_the_speaker_that_was_asked_for_are_counted(two: Path) -> None:
    _, notes = planned(f"{PLAIN} --speaker-from '(ann)'", two)
    assert "--speaker-from (ann) names no speaker of 1 recordings, such as b/y/2_bob.wav" in notes


# --- splits ---


@pytest.mark.parametrize(
    ("word", "split"),
    [("Train", "train"), ("TRAINING", "train"), ("train-clean-100", "train"), ("Validation", "val"), ("valid", "val"),
     ("dev", "val"), ("EVAL", "val"), ("dev_other", "val"), ("Test", "test"), ("testing", "test"),
     ("test.clean", "test")],
)  # fmt: skip
def test_a_word_of_a_split_counts_by_its_meaning(word: str, split: str, tmp_path: Path) -> None:
    table = f"file,Split\n1.wav,{word}\n2.wav,train\n3.wav,val\n"
    sources, _ = planned(
        PLAIN, lay(tmp_path / "in", {"metadata.csv": table, **{f"{n}.wav": WAV for n in (1, 2, 3)}})
    )
    assert sources["1.wav"][1] == split


@pytest.mark.parametrize("word", ["holdout", "train+test", "0", "trainee"])
def test_a_word_that_means_no_split_is_refused_by_name(word: str, tmp_path: Path) -> None:
    folder = lay(tmp_path / "in", {"metadata.csv": f"file,split\n1.wav,{word}\n", "1.wav": WAV, "2.wav": WAV})
    with pytest.raises(
        UserError, match=re.escape(f"line 2, has split {word!r}, expected a word for one of them")
    ):
        planned(PLAIN, folder)
    assert len(planned(f"{PLAIN} --split-from none", folder)[0]) == 2


def test_folders_of_splits_are_splits_unless_the_user_says_no(tmp_path: Path) -> None:
    names = {f"{part}/ann/{n}.wav": WAV for part in ("Training", "dev", "test-1") for n in range(2)}
    folder = lay(tmp_path / "in", names)
    sources, notes = planned(PLAIN, folder)
    assert {name: split for name, (_, split) in sources.items()} == {
        name: {"T": "train", "d": "val", "t": "test"}[name[0]] for name in names
    }
    assert "splits by folder: Training train, dev val, test-1 test (--split-from none ignores that)" in notes
    free, notes = planned(f"{PLAIN} --split-from none --val-fraction .2", folder)
    assert {each.split for each, _ in free.values()} == {None}
    assert not any("splits" in note for note in notes)


def test_a_folder_that_may_be_for_a_test_is_never_trained_on_in_silence(tmp_path: Path) -> None:
    _, notes = planned(
        PLAIN, lay(tmp_path / "in", {f"{part}/{n}.wav": WAV for part in ("ann", "test") for n in "12"})
    )
    assert any(note.startswith("test may be for a test, and chance decides") for note in notes)


@pytest.mark.parametrize("level", ["1", "'^([a-z]+)'"])
def test_a_split_that_the_user_points_at_is_taken_or_refused(level: str, tmp_path: Path) -> None:
    folder = lay(tmp_path / "in", {f"{part}/{n}.wav": WAV for part in ("train", "dev") for n in "12"})
    sources, _ = planned(f"{PLAIN} --split-from {level}", folder)
    assert {name: split for name, (_, split) in sources.items()} == {
        f"{part}/{n}.wav": split for part, split in (("train", "train"), ("dev", "val")) for n in "12"
    }
    lay(folder, {"noise/1.wav": WAV})
    with pytest.raises(UserError, match=r"--split-from: noise/1.wav has split 'noise', expected a word"):
        planned(f"{PLAIN} --split-from {level}", folder)


# --- tables ---


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_any_delimiter_is_read_with_names_without_folder_and_suffix(delimiter: str, tmp_path: Path) -> None:
    rows = [["Path", "sentence", "age"], ["1", "One: it's, well", "30"], ["2.wav", "Two", ""]]
    quoted = [[f'"{cell}"' if "," in cell and delimiter == "," else cell for cell in row] for row in rows]
    table = "\r\n".join(delimiter.join(row) for row in quoted)
    folder = lay(tmp_path / "in", {"list.txt": table, "x/y/1.wav": WAV, "x/z/2.wav": WAV})
    sources, notes = planned(f"{PLAIN} --metadata list.txt", folder)
    assert {n: each.text for n, (each, _) in sources.items()} == {
        "x/y/1.wav": "One: it's, well",
        "x/z/2.wav": "Two",
    }
    assert "columns taken: file from Path, text from sentence" in notes
    assert "columns not used: age" in notes


def test_a_table_that_is_not_read_is_told(tmp_path: Path) -> None:
    maestro(tmp_path / "in")
    _, notes = planned(PLAIN, tmp_path / "in")
    assert "maestro-v3.0.0.csv: tables that are not read; --metadata names those to read" in notes
    assert not planned(f"{PLAIN} --metadata none --speaker-from -1", tmp_path / "in")[1]


def test_a_table_may_lie_anywhere_and_its_columns_be_called_anything(tmp_path: Path) -> None:
    table = "clip,path,words\n1.wav,x,One\n"
    folder = lay(tmp_path / "in", {"1.wav": WAV, "2.wav": WAV, "metadata.csv": "nonsense"})
    lay(tmp_path, {"lists/mine.csv": table})
    command = f"{PLAIN} --columns file=clip,text=words --metadata {tmp_path}/lists/mine.csv"
    sources, notes = planned(command, folder)
    assert (sources["1.wav"][0].text, sources["2.wav"][0].text) == ("One", None)
    assert "1 files are in no table, such as 2.wav: taken as well (--only-listed leaves them out)" in notes
    with pytest.raises(UserError, match="of 1 recordings"):
        planned(f"{command} --only-listed", folder)
    assert len(planned(f"{PLAIN} --metadata none", folder)[0]) == 2


def test_a_name_means_the_file_whose_folders_are_most_like_its_own(tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {"txt/ann/1.txt": "Ann's", "txt/bob/1.txt": "Bob's"}
    folder = lay(tmp_path / "in", {**files, "wav/ann/1.wav": WAV, "wav/bob/1.wav": WAV})
    sources, _ = planned(f"{PLAIN} --metadata 'txt/*.txt' --columns text", folder)
    assert {n: each.text for n, (each, _) in sources.items()} == {
        "wav/ann/1.wav": "Ann's",
        "wav/bob/1.wav": "Bob's",
    }


def test_tables_called_like_splits_say_the_split(tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {"validation_list.txt": "x/1.wav\n", "testing_list.txt": "x/2.wav\n"}
    folder = lay(tmp_path / "in", {**files, **{f"x/{n}.wav": WAV for n in range(1, 7)}})
    sources, notes = planned(f"{PLAIN} --metadata '*_list.txt' --columns file --val-fraction 0", folder)
    assert {n: s for n, (each, s) in sources.items() if each.split} == {"x/1.wav": "val", "x/2.wav": "test"}
    assert "splits by table: testing_list.txt test, validation_list.txt val" in notes


TABLES: dict[str, tuple[dict[str, bytes | str], str, str]] = {
    "LJSpeech's": (
        {"metadata.csv": "1|One, well, 1|one\n2|Two|two\n"},
        "",
        r"has the columns 1, One, well, 1, one, expected .*LJSpeech's, .*`prepare --columns 'file\|original\|text'`",
    ),
    "no names": (
        {"metadata.csv": "1.wav,One\n"},
        "",
        "where it has no such line, `prepare --columns file,speaker,text`",
    ),
    "several files": (
        {"metadata.csv": "file\n1\n", "x/1.flac": WAV, "y/1.flac": WAV},
        "--suffix .flac",
        "line 2, names 1, which may be x/1.flac or y/1.flac, expected one file",
    ),
    "no file": (
        {"metadata.csv": "file\nz.wav\n"},
        "",
        "names z.wav, and no row names a file of SRC, .* such as 1.wav",
    ),
    "twice in two tables": (
        {"train.csv": "file\n1\n", "test.csv": "file\n1.wav\n"},
        "--metadata train.csv,test.csv",
        r"train.csv, line 2, names 1.wav again, .*test.csv, line 2 has it",
    ),
    "no such table": (
        {"list.csv": "file\n"},
        "--metadata lsit.csv",
        "--metadata names lsit.csv, .*did you mean list.csv?",
    ),
    "no such column": (
        {"metadata.csv": "file,reader\n1.wav,x\n"},
        "--speaker-from raeder",
        "--speaker-from names raeder, expected columns of .*did you mean reader?",
    ),
    "no table for a column": (
        {},
        "--speaker-from reader",
        "--speaker-from is set, expected .*metadata.csv, and there is",
    ),
    "too many cells": (
        {"metadata.csv": "1|a|b|c\n"},
        "--columns 'file|text'",
        r"line 1, has 4 cells, expected file, text",
    ),
    "a pattern that catches nobody": (
        {},
        "--speaker-from '(zoe)'",
        r"\(zoe\) names no speaker of any recording, such as 1",
    ),
    "a list of others": (
        {"l.txt": "zoe\n"},
        "--speaker-from l.txt",
        "--speaker-from l.txt lists zoe, expected names of",
    ),
    "a pattern without a group": ({}, "--split-from 'x(?:y)'", r"expected a part of it in \( \)"),
    "no pattern": ({}, "--speaker-from '(x'", "which is no regular expression"),
    "level 0": ({}, "--speaker-from 0", "--speaker-from is 0, expected 1 for the first folder"),
    "no meaning": (
        {},
        "--columns flie=x",
        "--columns has flie=x, expected NAME=COLUMN with a NAME of file, speaker",
    ),
    "two delimiters": (
        {},
        "--columns 'file|text,x'",
        "--columns is .*expected the first line that the tables lack",
    ),
    "no known name": ({}, "--columns 'a b'", "expected some of file, speaker"),
    "no file among several": (
        {},
        "--columns 'text|speaker'",
        "expected one column called file, or a single column",
    ),
    "empty name": ({}, "--metadata a,,b", "--metadata is 'a,,b', expected names with commas"),
}


@pytest.mark.parametrize(("files", "options", "message"), TABLES.values(), ids=TABLES)
def test_a_layout_that_does_not_fit_is_one_message(
    tmp_path: Path, files: dict[str, bytes | str], options: str, message: str
) -> None:
    folder = lay(tmp_path / "in", {"1.wav": WAV, "2.wav": WAV, **files})
    with pytest.raises(UserError, match=message) as caught:
        planned(f"{PLAIN} {options}", folder)
    assert "\n" not in str(caught.value)


def test_what_is_not_said_of_a_layout_is_not_in_the_plan() -> None:
    assert Layout().describe() == {}
    assert Layout.read("none", columns=None, only_listed=False) == Layout(metadata=())
