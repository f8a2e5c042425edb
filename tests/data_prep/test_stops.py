"""The same bytes, however the work was cut up or cut short."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.data_prep.corpus import entries, make_corpus, noise, prepare, records, tree, write
from tests.started import ends_with_test

ROOT = Path(__file__).resolve().parents[2]
OPTIONS = ("--recordings-per-shard", 3, "--trim", "--loudness", -25)
SINES = ("two_sines", "--recordings", 240, "--recordings-per-shard", 4, "--seconds", 0.5)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus that needs every rule: two rates, two channels, one recording that is dropped."""
    folder = make_corpus(tmp_path_factory.mktemp("src"), each=8)
    for number in range(4):
        write(folder / f"cleo/{number}.wav", noise(0.4, 44_100, seed=number), 44_100)
    write(folder / "cleo/silent.flac", 0 * noise(1))
    return folder


@pytest.fixture(scope="module")
def whole(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What one process makes of it in one go."""
    folder = tmp_path_factory.mktemp("out")
    assert prepare("folder", source, folder, *OPTIONS) == 0
    assert len(records(folder)) > 6
    return tree(folder)


@pytest.fixture(scope="module")
def sines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What one process makes of many small shards in one go."""
    folder = tmp_path_factory.mktemp("sines")
    assert prepare(*SINES, folder) == 0
    return tree(folder)


@pytest.mark.slow
def test_two_runs_make_the_same_bytes(source: Path, whole: dict[str, str], tmp_path: Path) -> None:
    assert prepare("folder", source, tmp_path / "out", *OPTIONS) == 0
    assert tree(tmp_path / "out") == whole


@pytest.mark.slow
def test_several_processes_make_the_same_bytes(source: Path, whole: dict[str, str], tmp_path: Path) -> None:
    assert prepare("folder", source, tmp_path / "out", *OPTIONS, jobs=2) == 0
    assert tree(tmp_path / "out") == whole


@pytest.mark.slow
@pytest.mark.parametrize("order", [pytest.param((1, 2, 3), marks=pytest.mark.slow), (3, 1, 2)])
def test_slices_in_any_order_and_merge_make_the_same_bytes(
    source: Path, whole: dict[str, str], tmp_path: Path, order: tuple[int, ...]
) -> None:
    for number in order:
        assert prepare("folder", source, tmp_path / "out", *OPTIONS, "--slice", f"{number}/3") == 0
        assert not (tmp_path / "out/index.safetensors").exists()
    assert prepare("merge", tmp_path / "out") == 0
    assert tree(tmp_path / "out") == whole


def test_the_place_and_the_times_of_the_corpus_do_not_matter(
    source: Path, whole: dict[str, str], tmp_path: Path
) -> None:
    copy = tmp_path / "elsewhere" / "copy"
    for path in source.rglob("*"):
        if path.is_file():
            target = copy / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
            os.utime(target, (1, 1))
    assert prepare("folder", copy, tmp_path / "out", *OPTIONS) == 0
    assert tree(tmp_path / "out") == whole


def test_merge_names_what_is_missing(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert prepare("folder", source, tmp_path / "out", *OPTIONS, "--slice", "1/3") == 0
    assert prepare("merge", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert "shards are not there yet (train/shard-000001.tar, train/shard-000002.tar" in error
    assert "run the slices that are missing" in error


def test_a_whole_run_takes_over_from_slices(source: Path, whole: dict[str, str], tmp_path: Path) -> None:
    assert prepare("folder", source, tmp_path / "out", *OPTIONS, "--slice", "2/3") == 0
    assert prepare("folder", source, tmp_path / "out", *OPTIONS) == 0
    assert tree(tmp_path / "out") == whole


def state(folder: Path) -> dict[str, tuple[int, int]]:
    """Modification time and inode of everything, folders included."""
    return {
        str(path): (path.stat().st_mtime_ns, path.stat().st_ino)
        for path in [folder, *sorted(folder.rglob("*"))]
    }


@pytest.mark.slow
@pytest.mark.parametrize("again", ["prepare", "merge", "slice"])
def test_run_twice_it_does_nothing(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], again: str
) -> None:
    assert prepare("folder", source, tmp_path / "out", *OPTIONS) == 0
    before = state(tmp_path / "out")
    capsys.readouterr()
    arguments = {
        "prepare": ("folder", source, tmp_path / "out", *OPTIONS),
        "merge": ("merge", tmp_path / "out"),
        "slice": ("folder", source, tmp_path / "out", *OPTIONS, "--slice", "1/2"),
    }
    assert prepare(*arguments[again]) == 0
    assert state(tmp_path / "out") == before
    assert again == "slice" or "nothing to do" in capsys.readouterr().out


def test_touching_the_corpus_changes_nothing(source: Path, tmp_path: Path) -> None:
    assert prepare("folder", source, tmp_path / "out", *OPTIONS) == 0
    before = state(tmp_path / "out")
    for path in source.rglob("*.wav"):
        path.touch()
    assert prepare("folder", source, tmp_path / "out", *OPTIONS) == 0
    assert state(tmp_path / "out") == before


@pytest.mark.slow
def test_what_was_lost_is_made_again(source: Path, whole: dict[str, str], tmp_path: Path) -> None:
    assert prepare("folder", source, tmp_path / "out", *OPTIONS) == 0
    for names in (("train/shard-000001.tar", "index.safetensors"), ("report.png",)):
        for name in names:
            (tmp_path / "out" / name).unlink()
        assert prepare("folder", source, tmp_path / "out", *OPTIONS) == 0
        assert tree(tmp_path / "out") == whole


def test_another_plan_is_refused_and_overwrite_starts_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = make_corpus(tmp_path / "src"), tmp_path / "out"
    assert prepare("folder", source, out) == 0
    (out / "mine.txt").write_text("stays")
    before = tree(out)
    assert prepare("folder", source, out, "--sample-rate", 8_000) == 2
    assert "was begun with rules.sample_rate 16000, now it is 8000" in capsys.readouterr().err
    write(source / "ann/new.wav", noise(0.3, seed=77))
    assert prepare("folder", source, out) == 2
    error = capsys.readouterr().err
    assert "was begun with 12 sources, now there are 13" in error
    assert "--overwrite" in error
    assert tree(out) == before
    assert prepare("folder", source, out, "--overwrite") == 0
    assert len(entries(out)) == 13
    assert (out / "mine.txt").read_text() == "stays"


def test_a_source_of_the_same_size_with_other_content_is_noticed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = make_corpus(tmp_path / "src"), tmp_path / "out"
    assert prepare("folder", source, out) == 0
    write(source / "bob/take3.wav", noise(0.3, seed=55), subtype="PCM_16")
    assert prepare("folder", source, out) == 2
    assert "bob/take3.wav in SRC has changed since it was packed" in capsys.readouterr().err


def test_a_folder_that_is_somebody_elses_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = make_corpus(tmp_path / "src"), tmp_path / "out"
    (out / "train").mkdir(parents=True)
    (out / "train/shard-000000.tar").write_bytes(b"theirs")
    for option in ((), ("--overwrite",)):
        assert prepare("folder", source, out, *option) == 2
        assert "holds train/shard-000000.tar, but no .prepare/plan.json" in capsys.readouterr().err
        assert tree(out).keys() == {"train/shard-000000.tar"}


def start(*arguments: object) -> subprocess.Popen[str]:
    """`prepare` as a process of its own, in a process group of its own: as a terminal starts it."""
    command = [sys.executable, "-m", "data_prep", *map(str, arguments)]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    return ends_with_test(process)


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 100
    while not condition():
        assert process.poll() is None, "ended before it was stopped"
        assert time.monotonic() < until
        time.sleep(0.005)


def finished(folder: Path) -> int:
    return len(list(folder.glob(".prepare/*/shard-*.json")))


def group_is_gone(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_killed_in_the_middle_it_goes_on_to_the_same_bytes(
    sines: dict[str, str], tmp_path: Path, jobs: int
) -> None:
    out = tmp_path / "out"
    process = start(*SINES, out, "--jobs", jobs)
    wait_for(lambda: finished(out) >= 3, process)
    process.kill()  # the first process only: its workers have to notice
    process.communicate()
    until = time.monotonic() + 30
    while not group_is_gone(process.pid) and time.monotonic() < until:
        time.sleep(0.02)
    assert group_is_gone(process.pid), "a worker outlived the process that it worked for"
    kept = finished(out)
    assert 3 <= kept < 60
    assert prepare(*SINES, out) == 0
    assert tree(out) == sines


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_ctrl_c_is_exit_130_and_the_same_command_goes_on(
    sines: dict[str, str], tmp_path: Path, jobs: int
) -> None:
    for attempt in range(3):
        out = tmp_path / f"out-{attempt}"
        process = start(*SINES, out, "--jobs", jobs)
        wait_for(lambda out=out: finished(out) >= 3, process)  # type: ignore[misc]
        os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to all
        said, error = process.communicate(timeout=60)
        if finished(out) < 60:  # else this test was too late, on a busy machine
            break
    assert process.returncode == 130
    assert "the same command goes on" in error
    assert "Traceback" not in said + error
    assert not list(out.rglob("*.tmp"))
    assert 3 <= finished(out) < 60
    assert prepare(*SINES, out) == 0
    assert tree(out) == sines


@pytest.mark.slow
def test_what_was_half_written_is_swept_up(sines: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert prepare(*SINES, out, "--slice", "1/2") == 0
    for name in (
        "train/.shard-000001.tar.77.tmp",
        ".index.safetensors.77.tmp",
        ".prepare/train/.shard-000001.json.77.tmp",
    ):
        (out / name).write_bytes(b"half")
    assert prepare(*SINES, out) == 0
    assert tree(out) == sines


@pytest.mark.slow
def test_one_run_at_a_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from data_prep.destination import working_in

    source = make_corpus(tmp_path / "src")
    with working_in(tmp_path / "out", alone=False):  # a slice is at work
        assert prepare("folder", source, tmp_path / "out", "--slice", "1/2") == 0
        assert prepare("folder", source, tmp_path / "out") == 2
    assert "another `prepare` is at work" in capsys.readouterr().err
    assert prepare("folder", source, tmp_path / "out") == 0


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the workers in /proc")
@pytest.mark.slow
@pytest.mark.cold("processes are found by the command they began with")
def test_a_process_that_dies_is_one_message(tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = start(*SINES, out, "--jobs", 2)
    wait_for(lambda: finished(out) >= 2, process)
    workers = [
        pid for pid in children(process.pid) if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    os.kill(workers[-1], signal.SIGKILL)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 3
    assert "a process that packs shards died" in error
    assert "Traceback" not in error
