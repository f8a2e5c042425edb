"""Copies: the same audio is in one split only, whoever packs it, and each is counted."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.data_prep.corpus import (
    dropped,
    entries,
    make_corpus,
    noise,
    prepare,
    records,
    tree,
    write,
    write_table,
)
from tests.data_prep.test_report import table
from wavenet_pl.shards.index import load_index

OPTIONS = ("--recordings-per-shard", 3, "--val-fraction", 0.2, "--test-fraction", 0.2)


def splits_by_audio(folder: Path) -> dict[str, set[str]]:
    """Hash of the audio -> the splits that have it, as any reader of the shards finds it."""
    found: dict[str, set[str]] = {}
    for entry in entries(folder).values():
        found.setdefault(hashlib.sha256(entry["audio"].tobytes()).hexdigest(), set()).add(entry["split"])
    return found


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every recording three times: as it is, the same bytes, and the same audio in another kind of file."""
    folder = make_corpus(tmp_path_factory.mktemp("src"))
    for path in sorted(folder.glob("*/*.wav")):
        shutil.copy(path, path.with_name(f"again-{path.name}"))
        audio, rate = soundfile.read(path, dtype="int16")
        write(path.with_name(f"other-{path.stem}.flac"), np.stack([audio, audio], axis=1), rate)
    return folder


@pytest.fixture(scope="module")
def whole(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out")
    assert prepare("folder", source, folder, *OPTIONS) == 0
    return folder


def test_the_same_audio_is_in_one_split_only(whole: Path) -> None:
    splits = splits_by_audio(whole)
    assert len(splits) == 12, "nothing is lost"
    assert all(len(names) == 1 for names in splits.values())
    assert {name for names in splits.values() for name in names} == {"train", "val", "test"}


def test_every_copy_is_told_and_counted(whole: Path) -> None:
    report = (whole / "report.md").read_text()
    gone = {row[0]: row[1:4] for row in table(report, "Dropped")}
    kept = {row[0]: row[2:] for row in table(report, "Flaws")}
    assert len(gone) + len(kept) == 36 - 12
    assert gone
    where = {entry["source"]: entry["split"] for entry in entries(whole).values()}
    for split, rule, reason in gone.values():
        assert rule == "copy"
        original, kept_in = reason.removeprefix("the same audio as ").split(", which is for ")
        assert where[original] == kept_in != split
    for flaw, found in kept.values():
        assert (flaw, found.split()[-1] in where) == ("copy", True)
    assert f"{len(kept)} x copy: the same audio as another recording" in report
    rule = next(row for row in table(report, "Rules") if row[0] == "copy")
    assert rule[2:5] == [f"{0.3 * len(where):.2f}", f"{0.3 * len(gone):.2f}", str(len(gone))]


def test_the_index_knows_the_shards_that_were_written_anew(whole: Path) -> None:
    index, found = load_index(whole), entries(whole)
    assert {
        row.key: row.frames for shards in index.splits.values() for s in shards for row in s.recordings
    } == {key: entry["frames"] for key, entry in found.items()}
    for shards in index.splits.values():
        for shard in shards:
            assert hashlib.sha256((whole / shard.name).read_bytes()).hexdigest() == shard.sha256
    assert prepare("merge", whole) == 0


@pytest.mark.parametrize("order", [(2, 1)])
def test_slices_and_merge_make_the_same_bytes(
    source: Path, whole: Path, tmp_path: Path, order: tuple[int, ...]
) -> None:
    for number in order:
        assert prepare("folder", source, tmp_path / "out", *OPTIONS, "--slice", f"{number}/2") == 0
    assert prepare("merge", tmp_path / "out") == 0
    assert tree(tmp_path / "out") == tree(whole)


def test_a_shard_that_was_lost_while_it_was_written_anew_is_packed_again(
    source: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A kill leaves the old shard or the new one, and no record where it is unknown which."""
    out = shutil.copytree(whole, tmp_path / "out")
    (out / ".prepare/train/shard-000001.json").unlink()
    (out / ".prepare/done.json").unlink()
    assert prepare("folder", source, out, *OPTIONS) == 0
    assert tree(out) == tree(whole)
    capsys.readouterr()
    assert prepare("folder", source, out, *OPTIONS) == 0
    assert "nothing to do" in capsys.readouterr().out


def test_what_is_tested_with_is_not_trained_on_whatever_the_table_says(tmp_path: Path) -> None:
    source = make_corpus(tmp_path / "src")
    for name in ("train", "val", "test"):
        write(source / f"{name}.wav", noise(0.5, seed=77))
    write_table(source, ["file", "split"], *([f"{name}.wav", name] for name in ("train", "val", "test")))
    assert prepare("folder", source, tmp_path / "out") == 0
    assert dropped(tmp_path / "out") == {
        f"{name}.wav": ("copy", "the same audio as test.wav, which is for test") for name in ("train", "val")
    }
    assert [entry["split"] for entry in entries(tmp_path / "out").values() if entry["frames"] == 8_000] == [
        "test"
    ]


def test_a_part_that_another_split_has_goes_and_the_others_stay(tmp_path: Path) -> None:
    """Both are cut into parts of a minute, of which the first ones are the same."""
    source = make_corpus(tmp_path / "src", seconds=1.0)
    for name, seed in (("a", 1), ("b", 2)):
        audio = np.concatenate([noise(60, 1_000), noise(60, 1_000, seed=seed)])
        write(source / f"{name}.wav", audio, 1_000)
    write_table(source, ["file", "split"], ["a.wav", "train"], ["b.wav", "test"])
    assert prepare("folder", source, tmp_path / "out", "--sample-rate", 1_000) == 0
    assert entries(tmp_path / "out").keys() >= {"a--001", "b--000", "b--001"}
    assert "a--000" not in entries(tmp_path / "out")
    assert not dropped(tmp_path / "out")
    flaws = [row for record in records(tmp_path / "out") for row in record["flaws"] if row["flaw"] == "copy"]
    assert flaws == [
        {
            "source": "a.wav",
            "flaw": "copy",
            "found": "60.0 s of it are dropped: the same audio as b.wav, which is for test",
        }
    ]


def test_a_corpus_of_copies_alone_cannot_be_split(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in "ab":
        write(tmp_path / f"src/{name}.wav", noise(1))
    assert prepare("folder", tmp_path / "src", tmp_path / "out") == 3
    assert "every recording of train was dropped, such as " in (error := capsys.readouterr().err)
    assert ": the same audio as " in error
