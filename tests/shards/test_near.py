"""Copies of shards: whole or not there, never a condition, and every trouble is said once."""

from __future__ import annotations

import os
import pickle
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.full_disk import full_disk
from tests.nobody import as_nobody
from wavenet_pl.errors import BadDataError
from wavenet_pl.shards.index import load_index
from wavenet_pl.shards.near import NearFolder, NearStorage, room_of
from wavenet_pl.shards.recording import Shard
from wavenet_pl.shards.storage import Storage

MEANWHILE = "shards are read from the set itself meanwhile, and no batch changes"


@pytest.fixture
def near(tmp_path: Path) -> NearFolder:
    return NearFolder(tmp_path / "near")


def first_shard(folder: Path) -> Shard:
    return load_index(folder).splits["train"][0]


def fetch(near: NearFolder, folder: Path, **options: object) -> Shard:
    shard = first_shard(folder)
    near.fetch(Storage(str(folder)), shard.name, shard.bytes, shard.sha256, **options)  # type: ignore[arg-type]
    return shard


def contents(storage: Storage, shard: Shard) -> list[bytes]:
    """Of the audio of all its recordings, none of them kept from before."""
    fresh = pickle.loads(pickle.dumps(storage))
    fresh.near._warned = storage.near._warned  # type: ignore[attr-defined]  # what is said once is said once here too
    return [fresh.read_member(shard.name, row.key, *row.audio) for row in shard.recordings]


def test_a_copy_is_whole_and_has_the_name_of_its_shard(near: NearFolder, shard_set: Path) -> None:
    assert near.sizes() == {}
    shard = fetch(near, shard_set)
    assert near.sizes() == {shard.name: shard.bytes}
    assert (near.path / shard.name).read_bytes() == (shard_set / shard.name).read_bytes()
    assert near.read_range(shard.name, 100, 9) == (shard_set / shard.name).read_bytes()[100:109]
    assert near.read_range("train/other.tar", 0, 9) is None
    assert near.remove(shard.name) and not near.remove(shard.name)
    assert near.sizes() == {}


def test_a_shard_that_is_not_the_indexed_one_gets_no_name(near: NearFolder, shard_set: Path) -> None:
    shard = first_shard(shard_set)
    with pytest.raises(
        BadDataError, match=r"other bytes than the index says \(SHA-256\); run `wavenet-pl index`"
    ):
        near.fetch(Storage(str(shard_set)), shard.name, shard.bytes, "0" * 64)
    with pytest.raises(BadDataError, match="SHA-256"):  # one that was cut
        near.fetch(Storage(str(shard_set)), shard.name, shard.bytes - 1, shard.sha256)
    assert list(near.path.rglob("*.*")) == []


def test_what_is_given_up_or_does_not_fit_leaves_nothing(near: NearFolder, shard_set: Path) -> None:
    with pytest.raises(InterruptedError):
        fetch(near, shard_set, goes_on=lambda: False)
    with full_disk(5_000), pytest.raises(OSError, match="File too large"):
        fetch(near, shard_set)
    assert list(near.path.rglob("*.*")) == []


def test_what_dead_processes_left_half_is_swept_and_what_living_ones_write_is_not(near: NearFolder) -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    (near.path / "train").mkdir(parents=True)
    names = {
        "dead": f".a.tar.{process.pid}.tmp",
        "alive": f".b.tar.{os.getpid()}.tmp",
        "old": f".c.tar.{os.getppid()}.tmp",
        "foreign": "notes.tmp",
    }
    for name in names.values():
        (near.path / "train" / name).write_bytes(b"half")
    os.utime(near.path / "train" / names["old"], (0, 0))
    assert near.sizes() == {"train/notes.tmp": 4}, "what is half copied is no copy"
    near.sweep()
    assert {path.name for path in near.path.glob("train/*")} | {
        path.name for path in near.path.glob("train/.*")
    } == {names["alive"], names["foreign"]}


@pytest.mark.parametrize("harm", ["changed", "cut", "empty", "other"])
def test_a_damaged_copy_is_read_past_removed_and_said_once(
    near: NearFolder, shard_set: Path, caplog: pytest.LogCaptureFixture, harm: str
) -> None:
    shard = fetch(near, shard_set)
    storage = NearStorage(Storage(str(shard_set)), near)
    sound = contents(storage, shard)
    data = (near.path / shard.name).read_bytes()
    harmed = {
        "changed": bytearray(data),
        "cut": data[:9_000],
        "empty": b"",
        "other": data[512:] + bytes(512),
    }[harm]
    if harm == "changed":
        harmed[shard.recordings[1].audio[1].offset + 40] ^= 1  # type: ignore[index]
    for _ in range(2):
        (near.path / shard.name).write_bytes(harmed)
        assert contents(storage, shard) == sound
        assert near.sizes() == {}
    [said] = caplog.messages
    assert said.startswith(f"the copy of {shard.name} in {near.path} is damaged (") and said.endswith(
        f") and was removed; {MEANWHILE}"
    )


def test_a_shard_that_is_damaged_itself_is_not_the_copys_fault(
    near: NearFolder, tmp_path: Path, shard_set: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shard = fetch(near, shard_set)
    broken = tmp_path / "broken"
    for path in (broken / shard.name, near.path / shard.name):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(shard.bytes))
    row = shard.recordings[0]
    with pytest.raises(BadDataError):
        NearStorage(Storage(str(broken)), near).read_member(shard.name, row.key, *row.audio)
    assert near.sizes() and not caplog.messages


def test_a_copy_that_cannot_be_read_is_read_past_and_said_once(
    near: NearFolder, shard_set: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shard = first_shard(shard_set)
    storage = NearStorage(Storage(str(shard_set)), near)
    sound = contents(storage, shard)
    (near.path / shard.name).mkdir(parents=True)
    assert contents(storage, shard) == sound
    assert caplog.messages == [
        f"the copy of {shard.name} in {near.path} cannot be read (Is a directory); {MEANWHILE}"
    ]


def test_the_folder_of_a_set_is_below_that_of_all_or_where_the_node_keeps_what_is_temporary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert NearFolder.of("/nvme/near", "ab" * 32).path == Path("/nvme/near/abababababababab")
    monkeypatch.setenv("SLURM_TMPDIR", str(tmp_path))
    assert NearFolder.of("tmpdir", "ab" * 32).path == tmp_path / f"wavenet-pl-{os.getuid()}/abababababababab"


def test_room_is_what_is_free_and_what_copies_take(
    near: NearFolder, shard_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = NearFolder(tmp_path / "other")
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1_000))
    assert room_of([near, other]) == 1_000
    size = fetch(near, shard_set).bytes
    assert room_of([near, other]) == room_of([other, near]) == 1_000 + size
    fetch(other, shard_set)
    assert room_of([near, other]) == 1_000 + 2 * size


@pytest.mark.parametrize("below", ["x" * 300, "file", "closed"])
def test_room_is_that_of_the_nearest_folder_that_can_be_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, below: str
) -> None:
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o755)
    (tmp_path / "file").touch()
    (tmp_path / "closed").mkdir(mode=0)
    with as_nobody():
        assert room_of([NearFolder(f"{below}/near/set")]) > 0


def test_copies_out_of_reach_are_none(
    near: NearFolder, shard_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o755)
    shard = fetch(near, shard_set)
    (near.path / shard.name).parent.chmod(0o444)  # its names can be listed, and no more
    with as_nobody():
        assert NearFolder("near").sizes() == {}
    (near.path / shard.name).parent.chmod(0o755)
    assert near.sizes() == {shard.name: shard.bytes}
