"""The corpus `folder`: trees as people have them, tables as people write them."""

from __future__ import annotations

import gc
import os
import re
import tracemalloc
import unicodedata
from pathlib import Path

import pytest

from data_prep.columns import Wanted
from data_prep.corpora import read_corpus
from data_prep.folder import read_folder
from data_prep.options import Options
from data_prep.sources import Source
from tests.data_prep.corpus import make_corpus, noise, write, write_table
from tests.nobody import as_nobody
from wavenet_pl.errors import UserError


def touch(folder: Path, *names: str) -> Path:
    """Files that look like audio from outside."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return folder


def by_name(folder: Path, *tag_columns: str) -> dict[str, Source]:
    return {source.name: source for source in read_folder(folder, Wanted(tag_columns=tag_columns)).sources}


def test_every_kind_is_found_at_any_depth(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav", "b/c.FLAC", "b/d/e.ogg", "b/d/f/g.Mp3", "notes.txt", "b/x.m4a")
    corpus = read_folder(tmp_path)
    assert {s.name for s in corpus.sources} == {"a.wav", "b/c.FLAC", "b/d/e.ogg", "b/d/f/g.Mp3"}
    assert corpus.left_alone == {".txt": 1, ".m4a": 1}


def test_the_speaker_is_the_folder_that_the_file_lies_in(tmp_path: Path) -> None:
    sources = by_name(touch(tmp_path, "top.wav", "ann/1.wav", "set/bob/2.wav"))
    assert {name: source.speaker for name, source in sources.items()} == {
        "top.wav": None,
        "ann/1.wav": "ann",
        "set/bob/2.wav": "bob",
    }


def test_hidden_files_are_left_alone(tmp_path: Path) -> None:
    touch(tmp_path, "a/b.wav", "a/._b.wav", ".cache/c.wav", ".DS_Store")
    corpus = read_folder(tmp_path)
    assert [source.name for source in corpus.sources] == ["a/b.wav"]
    assert corpus.left_alone == {"hidden": 3}


def test_what_is_kept_of_a_recording_is_its_place_on_a_disk(tmp_path: Path) -> None:
    kept = []
    for count in (40, 440):
        folder = touch(tmp_path / str(count), *(f"p{number % 9}/{number:04d}.wav" for number in range(count)))
        tracemalloc.start()
        corpus = read_folder(folder)
        gc.collect()
        kept.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
        assert len({source.name for source in corpus.sources}) == count
    assert (kept[1] - kept[0]) / 400 < 60, "bytes"


def test_links_are_followed_once(tmp_path: Path) -> None:
    touch(tmp_path / "far", "ann/1.wav")
    near = touch(tmp_path / "near", "bob/2.wav")
    (near / "linked").symlink_to(tmp_path / "far")
    (near / "round").symlink_to(near)
    assert set(by_name(near)) == {"bob/2.wav", "linked/ann/1.wav"}


def test_a_link_into_nowhere_and_a_pipe_are_sources_that_are_not_there(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav")
    (tmp_path / "b.wav").symlink_to(tmp_path / "gone.wav")
    os.mkfifo(tmp_path / "c.wav")
    assert {name: source.exists for name, source in by_name(tmp_path).items()} == {
        "a.wav": True,
        "b.wav": False,
        "c.wav": False,
    }


def test_columns_are_taken_and_others_ignored(tmp_path: Path) -> None:
    touch(tmp_path, "x/a.wav", "x/b.wav")
    write_table(
        tmp_path,
        ["lang", "file", "speaker", "text", "tags", "midi", "split", "genre"],
        ["en", "x/a.wav", "ann", "Hello, you", "calm; slow", "x/a.mid", "val", "rock;pop"],
        ["fr", "x/b.wav", "", "", "", "", "", ""],
    )
    a, b = (by_name(tmp_path)[name] for name in ("x/a.wav", "x/b.wav"))
    assert (a.speaker, a.text, a.tags, a.midi, a.split, a.facts) == (
        "ann", "Hello, you", ("calm", "slow"), "x/a.mid", "val", {},
    )  # fmt: skip
    assert (b.speaker, b.text, b.tags, b.midi, b.split) == ("x", None, (), None, None)
    assert by_name(tmp_path, "genre", "lang")["x/a.wav"].tags == ("calm", "en", "pop", "rock", "slow")


def test_files_beyond_the_table_count_and_are_counted(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav", "b.wav", "c.wav")
    corpus = read_folder(write_table(tmp_path, ["file"], ["a.wav"]))
    assert len(corpus.sources) == 3
    assert corpus.notes == (
        "2 files are in no table, such as b.wav: taken as well (--only-listed leaves them out)",
    )


def test_a_row_without_a_file_is_a_source_that_is_not_there(tmp_path: Path) -> None:
    write_table(touch(tmp_path, "a.wav"), ["file"], ["a.wav"], ["gone.wav"])
    assert not by_name(tmp_path)["gone.wav"].exists


def test_accents_match_however_they_are_spelled(tmp_path: Path) -> None:
    composed, split = (unicodedata.normalize(form, "é.wav") for form in ("NFC", "NFD"))
    write_table(touch(tmp_path, split), ["file", "speaker"], [composed, "ann"])
    assert [(s.name, s.speaker) for s in read_folder(tmp_path).sources] == [(split, "ann")]


def test_a_table_from_a_spreadsheet_is_read(tmp_path: Path) -> None:
    touch(tmp_path, "sub/a.wav")
    (tmp_path / "metadata.csv").write_bytes("\ufefffile,speaker\r\nsub\\a.wav,ann\r\n".encode())
    assert by_name(tmp_path)["sub/a.wav"].speaker == "ann"


TABLES = {
    "no file column": (b"clip,speaker\na.wav,x\n", "has the columns clip, speaker, expected `file`"),
    "empty": (b"", "has the columns nothing, expected `file`"),
    "column twice": (b"file,speaker,speaker\na.wav,x,y\n", "names the column speaker twice"),
    "duplicate rows": (b"file\na.wav\nb.wav\na.wav\n", "line 4, names a.wav again, .* line 2 has it"),
    "same file, other words": (b"file\na.wav\n./a.wav\n", "line 3, names a.wav again"),
    "outside": (b"file\n../a.wav\n", r"line 2, has file '../a.wav', expected a path below SRC"),
    "outside by a detour": (b"file\nx/../../a.wav\n", "expected a path below SRC"),
    "absolute": (b"file\n/etc/a.wav\n", "expected a path below SRC"),
    "drive": (b"file\nC:\\a.wav\n", "expected a path below SRC"),
    "no name": (b"file,speaker\n,ann\n", "has file '', expected a path below SRC"),
    "midi outside": (b"file,midi\na.wav,../b.mid\n", "has midi '../b.mid', expected a path below SRC"),
    "too many cells": (b"file,text\na.wav,Hello, you\n", "line 2, has more cells than the first line"),
    "not UTF-8": (b"file,text\na.wav,caf\xe9\n", "is no UTF-8 text"),
    "open quote": (b'file,text\na.wav,"Hello\n', "is no table of comma-separated values"),
}


@pytest.mark.parametrize("case", TABLES)
def test_a_table_that_contradicts_itself_is_one_message(tmp_path: Path, case: str) -> None:
    data, message = TABLES[case]
    (touch(tmp_path, "a.wav", "b.wav") / "metadata.csv").write_bytes(data)
    with pytest.raises(UserError, match=message):
        read_folder(tmp_path)


def test_tag_columns_have_to_be_there(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav")
    with pytest.raises(UserError, match=r"--tag-columns is set, expected .*metadata.csv, and there is none"):
        read_folder(tmp_path, Wanted(tag_columns=["genre"]))
    write_table(tmp_path, ["file", "genre"], ["a.wav", "rock"])
    with pytest.raises(
        UserError, match=r"--tag-columns names gnre, expected columns .*: genre; did you mean genre\?"
    ):
        read_folder(tmp_path, Wanted(tag_columns=["gnre"]))


def test_nothing_to_read_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no folder, expected one with audio files"):
        read_folder(tmp_path / "none")
    with pytest.raises(UserError, match=re.escape("holds no audio file; check the path")):
        read_folder(tmp_path)
    with pytest.raises(UserError, match=re.escape("holds no audio file, only 2 .m4a; check the path")):
        read_folder(touch(tmp_path, "a.m4a", "b.m4a"))


def test_shards_below_the_corpus_are_not_looked_into(tmp_path: Path) -> None:
    make_corpus(tmp_path)
    write(tmp_path / "shards" / "x.wav", noise(1))
    corpus = read_corpus(Options(corpus="folder"), tmp_path, tmp_path / "shards")
    assert not any(source.name.startswith("shards") for source in corpus.sources)


def test_source_and_destination_have_to_differ(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="SRC and DEST are both"):
        read_corpus(Options(corpus="folder"), make_corpus(tmp_path), tmp_path / "ann" / "..")


def test_a_link_that_leads_round_is_no_folder(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav")
    for name in ("round", "round.wav"):
        (tmp_path / name).symlink_to(name)
    assert {source.name: source.exists for source in read_folder(tmp_path).sources} == {
        "a.wav": True,
        "round.wav": False,
    }


@pytest.mark.parametrize("below", ["x" * 300, "closed/corpus"])
def test_a_folder_that_nobody_can_look_at_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, below: str
) -> None:
    monkeypatch.chdir(tmp_path)
    touch(tmp_path, "closed/corpus/a.wav")
    os.chmod("closed", 0)
    with (
        as_nobody(),
        pytest.raises(UserError, match="--audio .* is no folder, expected one with audio files"),
    ):
        read_folder(Path(below), option="--audio")
    os.chmod("closed", 0o700)
