"""The corpus `shards`: webdatasets as other programs write them, and what becomes of them."""

from __future__ import annotations

import re
import shlex
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import pytest

from data_prep.columns import Wanted
from data_prep.files import FileRule
from data_prep.layout import Layout
from data_prep.options import SplitOptions
from data_prep.shards import read_shards
from data_prep.sources import Source, readable
from data_prep.splits import assign_splits
from tests.data_prep.corpus import dropped, entries, prepare, stored_frames, tree
from tests.full_disk import full_disk
from tests.shards.damages import audio_bytes, cut_payload, metadata_bytes, write_tar
from wavenet_pl.cli import main
from wavenet_pl.shards.index import load_index

WAV = audio_bytes(1_600)


def by_name(folder: Path, **options: object) -> dict[str, Source]:
    return {source.name: source for source in read_shards(folder, **options).sources}  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two shards as nobody should write them: every key again in the second, channels, rates, a long one."""
    folder = tmp_path_factory.mktemp("foreign")
    for shard in range(2):
        members: list[tuple[str | tarfile.TarInfo, bytes]] = []
        for row, (extension, rate, channels, frames) in enumerate(
            (("wav", 11_025, 2, 9_000), ("mp3", 22_050, 1, 30_000), ("flac", 1_000, 1, 70_000),
             ("ogg", 16_000, 2, 8_000), ("wav", 8_000, 1, 4_000), ("wav", 8_000, 1, 4_001), ("wav", 8_000, 1, 4_002))
        ):  # fmt: skip
            key = f"clip.{row}" if row == 4 else f"clip{row}"
            data = audio_bytes(frames, extension, rate=rate, channels=channels, seed=10 * shard + row)
            known = metadata_bytes(
                speaker=f"p{row % 2}", text=f"Take {row}", accent=["x", "y"][shard], votes=3
            )
            members += [(f"{key}.{extension}", data), (f"{key}.json", known)]
        write_tar(folder / f"part-{shard}.tar", members)
    return folder


@pytest.fixture(scope="module")
def prepared(foreign: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command makes of it that `index` prints."""
    copy = tmp_path_factory.mktemp("with a blank") / "set"
    copy.symlink_to(foreign)
    with pytest.MonkeyPatch.context() as patch:
        said: list[str] = []
        patch.setattr("sys.stderr.write", said.append)
        assert main(["index", str(copy), "--tables", "accent"]) == 2
    (command,) = re.findall(r"are written by `(wavenet-pl prepare shards .*)`", "".join(said))
    assert shlex.split(command)[3:] == [
        str(copy), f"{copy}-prepared", "--sample-rate", "8000", "--tables", "accent",
    ]  # fmt: skip
    assert main([*shlex.split(command)[1:], "--jobs", "1"]) == 0
    return Path(f"{copy}-prepared")


def test_the_command_that_index_prints_makes_shards_that_index_takes(
    prepared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["index", str(prepared)]) == 0
    assert "nothing was changed: the index is right" in capsys.readouterr().out
    assert load_index(prepared).labels.tables == {"accent": ("x", "y"), "speaker": ("p0", "p1")}
    report = (prepared / "report.md").read_text()
    assert "Columns not used: votes." in report


def test_members_become_what_files_of_their_content_become(
    foreign: Path, prepared: Path, tmp_path: Path
) -> None:
    for shard in foreign.glob("*.tar"):
        with tarfile.open(shard) as tar:
            tar.extractall(tmp_path / "in" / shard.stem, filter="data")
    assert prepare("folder", tmp_path / "in", tmp_path / "out", "--sample-rate", 8_000) == 0
    as_files = {(e["source"], e["start"]): e for e in entries(tmp_path / "out").values()}
    as_members = {(e["source"], e["start"]): e for e in entries(prepared).values()}
    assert as_members.keys() == as_files.keys()
    assert len(as_members) == 2 * (6 + 2)
    for key, entry in as_members.items():
        np.testing.assert_array_equal(entry["audio"], as_files[key]["audio"])
        row = int(re.findall(r"(\d)\.\w+$", key[0])[0])
        assert (entry["speaker"], entry["text"]) == (f"p{row % 2}", f"Take {row}")


@pytest.mark.slow
def test_slices_have_the_bytes_of_one_run_and_a_second_run_has_nothing_to_do(
    foreign: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--sample-rate", 8_000, "--recordings-per-shard", 5, "--test-fraction", 0)
    assert prepare("shards", foreign, tmp_path / "one", *options) == 0
    for number in (2, 1):
        assert prepare("shards", foreign, tmp_path / "two", *options, "--slice", f"{number}/2") == 0
    assert prepare("merge", tmp_path / "two") == 0
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    capsys.readouterr()
    assert prepare("shards", foreign, tmp_path / "one", *options) == 0
    assert "is prepared already: nothing to do" in capsys.readouterr().out


@pytest.mark.slow
def test_a_shard_that_changed_since_it_was_packed_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    members = {f"k{n}.wav": audio_bytes(1_600, seed=n) for n in range(4)}
    shard = write_tar(tmp_path / "in/a.tar", members.items())
    assert prepare("shards", tmp_path / "in", tmp_path / "out") == 0
    write_tar(shard, {**members, "k0.wav": audio_bytes(1_600, seed=9)}.items())
    assert prepare("shards", tmp_path / "in", tmp_path / "out") == 2
    assert "k0.wav in SRC has changed since it was packed" in capsys.readouterr().err


def test_json_is_read_as_a_row_and_text_as_text(tmp_path: Path) -> None:
    known = metadata_bytes(
        client_id="ann", sentence="Hello", tags=["calm", "slow"], split="Dev", year=1999, deep={}
    )
    write_tar(
        tmp_path / "a.tar", [("k.wav", WAV), ("k.json", known), ("x/l.wav", WAV), ("x/l.txt", b" Bye \n")]
    )
    first, second = (
        by_name(tmp_path, wanted=Wanted(tables=("year",)))[name] for name in ("k.wav", "x/l.wav")
    )
    assert (first.speaker, first.text, first.tags, first.split, first.tables) == (
        "ann",
        "Hello",
        ("calm", "slow"),
        "val",
        {"year": "1999"},
    )
    assert (second.speaker, second.text, second.split) == ("x", "Bye", None)
    renamed = by_name(tmp_path, layout=Layout(columns="speaker=sentence", split_from="none"))["k.wav"]
    assert (renamed.speaker, renamed.split) == ("Hello", None)


def test_names_of_shards_and_their_folders_say_the_split(tmp_path: Path) -> None:
    for shard in ("train/a-0.tar", "train/a-1.tar", "valid/b.tar", "test-clean/c.tar"):
        write_tar(tmp_path / "folders" / shard, [("same.wav", WAV)])
    assert {name: source.split for name, source in by_name(tmp_path / "folders").items()} == {
        "train/a-0/same.wav": "train",
        "train/a-1/same.wav": "train",
        "valid/b/same.wav": "val",
        "test-clean/c/same.wav": "test",
    }
    for shard in ("mine-train-0.tar", "mine-dev-0.tar"):
        write_tar(tmp_path / "names" / shard, [(f"{shard[:-4]}.wav", WAV)])
    assert sorted(source.split or "" for source in by_name(tmp_path / "names").values()) == ["train", "val"]


def test_what_a_shard_is_called_is_no_speaker(tmp_path: Path) -> None:
    for shard in "ab":
        write_tar(tmp_path / f"set/{shard}.tar", [("k.wav", WAV), ("ann/k.wav", WAV)])
    assert {name: source.speaker for name, source in by_name(tmp_path).items()} == {
        "set/a/k.wav": None, "set/a/ann/k.wav": "ann", "set/b/k.wav": None, "set/b/ann/k.wav": "ann",
    }  # fmt: skip


def test_parts_of_a_recording_stay_in_one_split(tmp_path: Path) -> None:
    members = []
    for number in range(90):
        members += [(f"k{number}.wav", WAV)]
        members += [(f"k{number}.json", metadata_bytes(source=f"talk{number // 6}.wav", start=number))]
    members += [(f"both{number}.{extension}", WAV) for number in range(20) for extension in ("wav", "mp3")]
    sources = read_shards(write_tar(tmp_path / "a.tar", members)).sources
    splits = assign_splits(sources, SplitOptions(val_fraction=0.2, test_fraction=0.2), lambda source: True)
    assert set(splits) == {0, 1, 2}
    groups = np.array([source.group for source in sources])
    for group in set(groups):
        assert len(set(splits[groups == group])) == 1, group


def test_what_is_damaged_is_dropped_by_name_and_the_rest_is_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    members = [(f"k{n}.wav", audio_bytes(1_600, seed=n)) for n in range(6)]
    write_tar(tmp_path / "in/a.tar", [*members, ("k0.json", b"{"), ("k1.wav", WAV), ("k2.cls", b"1")])
    others = [(f"l{n}.flac", audio_bytes(1_600, "flac", seed=10 + n)) for n in range(4)]
    write_tar(
        tmp_path / "in/b.tar", [each for one in others for each in (one, (f"{one[0][:2]}.json", b"{}"))]
    )
    lost = cut_payload(tmp_path / "in/b.tar")
    assert prepare("shards", tmp_path / "in", tmp_path / "out", "--test-fraction", 0) == 0
    assert dropped(tmp_path / "out").keys() == {"l2.flac"} <= {f"{key}.flac" for key in lost}
    assert all("in b.tar" in reason for _, reason in dropped(tmp_path / "out").values())
    assert len(entries(tmp_path / "out")) == 8
    said = capsys.readouterr().err
    assert re.search(r"prepare: \d places in shards that are damaged, such as b.tar: ", said)
    assert "prepare: 1 JSON or texts that cannot be read, such as k0.json has broken JSON" in said
    assert "1 .cls, 1 twice in a shard" in (tmp_path / "out/report.md").read_text()


def test_what_lies_beside_a_member_is_found_in_its_shard(tmp_path: Path) -> None:
    members = []
    for number in range(4):
        f0 = np.full((100, 1), number, np.float32)
        np.save(tmp_path / "f0.npy", f0)
        members += [
            (f"k{number}.wav", audio_bytes(8_000, rate=16_000, seed=number)),
            (f"k{number}.mid", b"MThd"),
        ]
        members += [(f"k{number}.f0.npy", (tmp_path / "f0.npy").read_bytes())]
    write_tar(tmp_path / "in/a.tar", members)
    (notes,) = {
        source.files["notes"].name: source.files["notes"]
        for source in by_name(tmp_path / "in", frames={"notes": FileRule(suffixes=(".mid",))}).values()
        if source.name == "k2.wav"
    }.values()
    with readable(notes) as path:
        assert (notes.name, Path(path).read_bytes()) == ("k2.mid", b"MThd")
    assert not Path(path).exists()
    assert prepare("shards", tmp_path / "in", tmp_path / "out", "--frames", "f0:hop=80,mean=0,std=1") == 0
    assert {key: float(stored[0, 0]) for key, stored in stored_frames(tmp_path / "out", "f0").items()} == {
        f"k{number}": number for number in range(4)
    }


@pytest.mark.parametrize(
    "known", [{}, {"split": "train"}]
)  # what is planned by chance is looked at while that is done
def test_a_full_temporary_disk_drops_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], known: dict[str, str]
) -> None:
    members = []
    for number in range(4):
        members.append((f"k{number}.wav", audio_bytes(40_000, seed=number)))
        members.append(
            (f"k{number}.json", metadata_bytes(**known | ({"split": "val"} if known and number else {})))
        )
    write_tar(tmp_path / "in/a.tar", members)
    with full_disk(50_000):
        assert prepare("shards", tmp_path / "in", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert (
        f"temporary files cannot be written to {tempfile.gettempdir()} (File too large), expected room"
        in error
    )
    assert "Traceback" not in error and not list(tmp_path.glob("out/.prepare/*/shard-*.json"))
    assert prepare("shards", tmp_path / "in", tmp_path / "out") == 0
    assert len(entries(tmp_path / "out")) == 4


def test_text_that_no_file_can_hold_is_taken_without_it(tmp_path: Path) -> None:
    """JSON can spell half a sign, which is no text."""
    members = []
    for number in range(4):
        known = metadata_bytes(
            source="\ud800", start=0, speaker="a\ud800", tags=["\udfff", "calm"], text="\ud801"
        )
        members += [(f"k{number}.wav", audio_bytes(1_600, seed=number)), (f"k{number}.json", known)]
    write_tar(tmp_path / "in/a.tar", members)
    assert prepare("shards", tmp_path / "in", tmp_path / "out") == 0
    prepared = entries(tmp_path / "out").values()
    assert {(e["speaker"], e["text"], *e["tags"]) for e in prepared} == {("a?", "?", "?", "calm")}
    assert len({e["split"] for e in prepared}) > 1, "nothing says that they are parts of one"


MISTAKES = {
    "nothing": ("none", [], "is no folder, expected one with shards"),
    "no shards": ("empty", [], "has no shards .*; check the path"),
    "compressed": ("gz", [], "has no shards .*but a.tar.gz: unpack such to plain .tar"),
    "no audio": ("texts", [], "holds no audio file, only 1 .cls"),
    "a URL": (
        "s3://bucket/set",
        [],
        "SRC is the URL s3://bucket/set, expected a folder; copy it to one first",
    ),
    "a table": (
        "good",
        ["--metadata", "x.csv"],
        "--metadata is for tables of a folder, and shards have JSON",
    ),
    "a first line": ("good", ["--columns", "file,text"], "--columns is for tables of a folder"),
    "no such field": (
        "good",
        ["--tables", "accent"],
        "--tables names accent, expected columns of the JSON in .*: votes",
    ),
}


@pytest.mark.parametrize(("name", "options", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, options: list[str], message: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "gz").mkdir()
    (tmp_path / "gz/a.tar.gz").touch()
    write_tar(tmp_path / "texts/a.tar", [("k.cls", b"1")])
    write_tar(tmp_path / "good/a.tar", [("k.wav", WAV), ("k.json", metadata_bytes(votes=1))])
    source = name if "://" in name else tmp_path / name
    assert prepare("shards", source, tmp_path / "out", *options) == 2
    error = capsys.readouterr().err
    assert re.search(message, error) and error.count("\n") == 1


def test_one_shard_may_be_all(tmp_path: Path) -> None:
    assert set(by_name(write_tar(tmp_path / "a.tar", [("k.wav", WAV)]))) == {"k.wav"}
