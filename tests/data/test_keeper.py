"""Shards near while a training reads: whatever becomes of the copies, no batch differs; each trouble is said once."""

from __future__ import annotations

import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.data.near_reading import data_of, digest, rows
from tests.processes import are_gone, losses, start, train
from tests.shards.http_server import Server, serving
from tests.shards.made import write_shard_set
from tests.shards.test_near import MEANWHILE, full_disk
from wavenet_pl.data import keeper as keeper_file
from wavenet_pl.data.datamodule import AudioDataModule
from wavenet_pl.errors import UserError

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-four shards of one recording."""
    folder = tmp_path_factory.mktemp("near") / "set"
    return write_shard_set(folder, train=24, val=1, frames=(1_200, 2_100, 700), recordings_per_shard=1)


@pytest.fixture(scope="module")
def batches(folder: Path) -> list[list[Any]]:
    """Two epochs, read without a cache."""
    loader = data_of(folder).train_dataloader()
    return [rows(batch) for _ in range(2) for batch in loader]


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    with serving(folder) as server:
        yield server


@pytest.fixture(autouse=True)
def prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has nothing to do, or has failed, looks again soon."""
    monkeypatch.setattr(keeper_file, "LOOK", 0.01)
    monkeypatch.setattr(keeper_file, "REST", 0.01)


def near_of(data: AudioDataModule) -> Path:
    [near] = data.shard_set.near_folders
    return near.path


def shards_near(data: AudioDataModule) -> set[str]:
    return {name for near in data.shard_set.near_folders for name in near.sizes()}


def wait_until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.002)


def read(data: AudioDataModule, between: Callable[[int], None] = lambda number: None) -> list[list[Any]]:
    """Two epochs; something may happen before each batch."""
    loader, got = data.train_dataloader(), []
    for _ in range(2):
        for number, batch in enumerate(loader):
            between(number)
            got.append(rows(batch))
    data.teardown("fit")
    return got


def test_batches_are_those_without_a_cache_and_shards_come_near_and_go(
    server: Server, batches: list[list[Any]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = data_of(server.url, cache=str(tmp_path))
    seen: set[str] = set()
    most = 0

    def look(number: int) -> None:
        nonlocal most
        keeper = data._keeper
        assert keeper is not None
        wanted = keeper._agenda.wanted(*keeper._position, keeper._limit)
        wait_until(lambda: shards_near(data) == {keeper._shards[number].name for number in wanted})
        near = shards_near(data)
        seen.update(near)
        most = max(most, len(near))

    assert read(data, look) == batches
    assert len(seen) == 24, "each was near at its time"
    assert most < 24, "and not all at a time"
    assert not caplog.messages
    assert list(tmp_path.rglob("*.tmp")) == []


def test_what_is_near_is_not_asked_for(server: Server, batches: list[list[Any]], tmp_path: Path) -> None:
    data = data_of(server.url, cache=str(tmp_path), cache_gib=1.0)
    loader = iter(data.train_dataloader())
    next(loader)
    wait_until(lambda: len(shards_near(data)) == 24)
    early = [rows(next(loader)) for _ in range(3)]  # what was on its way before all were near
    asked = len(server.asked)
    assert [*early, *(rows(batch) for batch in loader)] == batches[1 : len(batches) // 2]
    assert len(server.asked) == asked
    data.teardown("fit")


def test_other_ranks_read_the_copies_that_the_first_one_keeps(folder: Path, tmp_path: Path) -> None:
    """They share the folder, and know nothing of each other."""
    first, other = (data_of(folder, cache=str(tmp_path), cache_gib=1.0) for _ in range(2))
    iterator = iter(first.train_dataloader())
    next(iterator)
    wait_until(lambda: len(shards_near(first)) == 24)
    first.teardown("fit")
    shutil.copytree(folder, tmp_path / "far")
    for shard in (tmp_path / "far" / "train").iterdir():
        shard.write_bytes(b"")
    gone = data_of(tmp_path / "far", cache=str(tmp_path))
    assert gone.splits["train"].read(5).tolist() == other.splits["train"].read(5).tolist()


def delete(near: Path, number: int) -> None:
    shutil.rmtree(near, ignore_errors=True)


def corrupt(near: Path, number: int) -> None:
    for path in near.rglob("shard-*.tar"):
        with suppress(FileNotFoundError):
            data = path.read_bytes()
            path.write_bytes(data[:600] + b"harm" * (len(data) // 4 - 150))


def cut(near: Path, number: int) -> None:
    for path in near.rglob("shard-*.tar"):
        with suppress(FileNotFoundError), open(path, "r+b") as file:
            file.truncate(700)


def block(near: Path, number: int) -> None:
    """A file in the folder's way: nothing can be written there, as where a file system is read-only."""
    while not near.is_file():
        shutil.rmtree(near, ignore_errors=True)
        with suppress(OSError):
            near.write_bytes(b"")


@pytest.mark.parametrize(
    ("harm", "saying"),
    [
        (delete, "was removed while it was in use|could not be copied"),
        (corrupt, "is damaged"),
        (cut, ""),
        (block, "could not be copied"),
    ],
)
def test_no_batch_differs_whatever_becomes_of_the_copies(
    folder: Path,
    batches: list[list[Any]],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    harm: Callable[[Path, int], None],
    saying: str,
) -> None:
    data = data_of(
        folder, cache=str(tmp_path / "near"), decoded_mib=0
    )  # so that copies are read again and again
    near = near_of(data)

    def between(number: int) -> None:
        if number % 3 == 1:
            if not near.is_file():
                wait_until(lambda: bool(shards_near(data)))
            harm(near, number)

    def is_said() -> bool:
        return not saying or any(re.search(saying, message) for message in caplog.messages)

    for _ in range(5):  # a slow machine may come by a harmed copy only in another epoch
        assert read(data, between) == batches
        if is_said():
            break
    assert all(message.endswith(MEANWHILE) for message in caplog.messages)
    kinds = [re.sub(r"\S+\.tar", "", message).split("(")[0] for message in caplog.messages]
    assert len(set(kinds)) == len(kinds), "each trouble once"
    assert is_said()


@pytest.mark.soak
def test_two_ranks_learn_the_same_whatever_becomes_of_the_copies(server: Server, tmp_path: Path) -> None:
    settings = (
        "trainer.devices=2", "trainer.max_steps=300", "data.num_workers=1", "data.window=1", "data.batch_size=4",
        f"data.path={server.url}", "data.decoded_mib=0",
    )  # fmt: skip
    for name in ("far", "near"):
        (tmp_path / name).mkdir()
    train(Path("unused"), tmp_path / "far", *settings)
    server.latency = 0.01
    process = start(Path("unused"), tmp_path / "near", *settings, f"data.cache={tmp_path / 'copies'}")
    harms, harmed = [corrupt, delete, cut, delete, block], 0
    while process.poll() is None:
        if copies := [*tmp_path.glob("copies/**/shard-*.tar")]:
            harms[harmed % len(harms)](copies[0].parents[1], harmed)
            harmed += 1
        time.sleep(0.05)
    _, err = process.communicate()
    assert process.returncode == 0, err[-3000:]
    assert harmed >= 3
    assert losses(tmp_path / "near") == losses(tmp_path / "far")
    troubles = [line for line in err.splitlines() if MEANWHILE in line]
    assert troubles and len(troubles) <= 2 * 3, "each kind once on a rank, whatever the number of batches"


def test_a_full_disk_is_said_once_and_tried_again(
    folder: Path, batches: list[list[Any]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = data_of(folder, cache=str(tmp_path / "near"))
    with full_disk(3_000):
        loader = data.train_dataloader()
        got = [rows(batch) for batch in loader]
        wait_until(lambda: bool(caplog.messages))
        assert shards_near(data) == set()
    wait_until(lambda: bool(shards_near(data)))
    got += [rows(batch) for batch in loader]
    data.teardown("fit")
    assert got == batches
    [said] = caplog.messages
    assert "could not be copied to" in said and "(File too large: " in said


def test_a_shard_that_is_not_the_indexed_one_is_never_near(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_shard_set(tmp_path / "set", train=8, val=1, frames=1_000)
    path = folder / "train/shard-000001.tar"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1  # in no recording, so that none is lost
    path.write_bytes(data)
    module = data_of(folder, cache=str(tmp_path / "near"))
    without = [rows(batch) for batch in data_of(folder).train_dataloader()]
    loader = module.train_dataloader()
    got = [rows(batch) for batch in loader]
    wait_until(lambda: bool(caplog.messages) and shards_near(module) == {"train/shard-000000.tar"})
    module.teardown("fit")
    assert got == without
    [said] = caplog.messages
    assert "train/shard-000001.tar is not copied: it has other bytes than the index says (SHA-256)" in said


def test_a_server_that_is_down_is_said_once_and_asked_again(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = data_of(server.url, cache=str(tmp_path))
    keeper = data.build_keeper(None)
    assert keeper is not None
    server.always = "404"
    keeper.at(0, 0)
    wait_until(lambda: len(server.asked) > 24)
    server.always = ""
    wait_until(lambda: len(shards_near(data)) > 2)
    keeper.stop()
    assert len(caplog.messages) == 1 and "could not be copied to" in caplog.messages[0]


def test_threads_end_when_a_training_does(folder: Path, tmp_path: Path) -> None:
    data = data_of(folder, cache=str(tmp_path))
    next(iter(data.train_dataloader()))
    assert data._keeper is not None
    threads = data._keeper._threads
    assert all(thread.is_alive() for thread in threads)
    data.teardown("fit")
    wait_until(lambda: not any(thread.is_alive() for thread in threads))


def test_too_small_a_limit_stops_before_the_start(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data.cache_gib is 1e-06, expected .* GiB for the shards of a node"):
        data_of(folder, cache=str(tmp_path), cache_gib=1e-6).train_dataloader()
    assert list(tmp_path.iterdir()) == []


# --- kill -9 ---


@pytest.mark.parametrize(
    "kills", [pytest.param(1, marks=pytest.mark.slow), pytest.param(50, marks=pytest.mark.soak)]
)
def test_killed_at_any_moment_no_half_shard_is_left_and_no_batch_differs(
    folder: Path, server: Server, batches: list[list[Any]], tmp_path: Path, kills: int
) -> None:
    """Real processes that read from a slow server, each killed somewhere, over the same folder of copies."""
    draws = random.Random(kills)
    sound = {path.name: path.read_bytes() for path in (folder / "train").iterdir()}
    server.bandwidth = 1e6
    read, killed_while_copying = 0, 0
    command = [sys.executable, "-m", "tests.data.near_reading", server.url, str(tmp_path)]
    for _ in range(kills):
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(draws.randint(1, len(batches) // 2)):
                number, said = process.stdout.readline().split()
                assert said == digest(batches[int(number)])
                read += 1
            time.sleep(draws.uniform(0, 0.05))
            process.send_signal(signal.SIGKILL)
        assert are_gone([process.pid], 10)
        left = [path for path in tmp_path.rglob("*") if path.is_file()]
        killed_while_copying += any(path.name.endswith(f".{process.pid}.tmp") for path in left)
        for path in left:
            assert path.name.endswith(".tmp") or path.read_bytes() == sound[path.name]
    assert read >= kills
    assert killed_while_copying or kills == 1
    server.bandwidth = 0
    data = data_of(server.url, cache=str(tmp_path))
    loader = iter(data.train_dataloader())
    next(loader)
    wait_until(lambda: not [path for path in tmp_path.rglob("*.tmp") if f".{process.pid}." in path.name])
    data.teardown("fit")
