"""Jobs that lead nowhere are stopped, and jobs that get on are not."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavenet_pl.cluster import guard
from wavenet_pl.runs.folder import RunFolder, checkpoint_path
from wavenet_pl.runs.starts import START_VARIABLE, enter, read_starts


class JobThatStarts:
    """A job's records, and what each of its starts leaves."""

    def __init__(self, folder: Path, max_restarts: int = 50) -> None:
        self.records, self.max_restarts, self.restart = folder / ".slurm", max_restarts, 0
        self.records.mkdir(parents=True)
        self.path = self.records / "12.starts.jsonl"

    def start(self, monkeypatch: pytest.MonkeyPatch, run: RunFolder | None, step: int | None) -> bool:
        """One start that reaches a checkpoint; whether the guard let it begin."""
        arguments = [str(self.path), str(self.restart), str(self.max_restarts)]
        if guard.main(["start", *arguments]):
            return False
        prefix = self.records / f"slurm-12-{self.restart}"
        monkeypatch.setenv(START_VARIABLE, str(prefix))
        if run is not None:
            for rank in range(2):
                Path(f"{prefix}-{rank}.log").write_text(f"rank {rank}\n")
                enter(run, rank)
            run.checkpoints.mkdir(exist_ok=True)
            if step is not None:
                checkpoint_path(run, step).touch()
        self.restart += 1
        return True

    def again(self) -> bool:
        """Whether the guard would let it be started again."""
        return not guard.main(["85", str(self.path), str(self.restart - 1), str(self.max_restarts)])


@pytest.fixture
def job(tmp_path: Path) -> JobThatStarts:
    return JobThatStarts(tmp_path)


def test_a_job_that_gets_on_is_started_as_often_as_allowed(tmp_path, monkeypatch, capsys):
    job, run = JobThatStarts(tmp_path, max_restarts=4), RunFolder(tmp_path / "demo-1a2b3c")
    assert [job.start(monkeypatch, run, step) for step in range(10, 60, 10)] == [True] * 5
    assert not job.again()
    assert "stopped: the job was started again 4 times, which is --max-restarts" in capsys.readouterr().out


def test_two_starts_without_a_new_checkpoint_are_one_too_many(job, tmp_path, monkeypatch, capsys):
    run = RunFolder(tmp_path / "demo-1a2b3c")
    assert job.start(monkeypatch, run, 100) and job.again()
    assert job.start(monkeypatch, run, None) and job.again(), "once may be bad luck"
    assert job.start(monkeypatch, run, None)
    assert not job.again() and not job.start(monkeypatch, run, None)
    said = capsys.readouterr().out
    assert "2 times in a row without a new checkpoint" in said and "demo-1a2b3c is at step 100" in said


def test_a_job_that_never_enters_a_run_is_stopped(job, monkeypatch, capsys):
    assert job.start(monkeypatch, None, None) and job.start(monkeypatch, None, None)
    assert not job.again()
    assert "no run folder was entered" in capsys.readouterr().out


def test_checkpoints_that_cannot_be_listed_stop_the_job_and_say_so(job, tmp_path, monkeypatch, capsys):
    run = RunFolder(tmp_path / "demo-1a2b3c")
    assert job.start(monkeypatch, run, None)
    run.checkpoints.rmdir()
    run.checkpoints.symlink_to("checkpoints")
    assert not job.again()
    assert "stopped: " in (said := capsys.readouterr().out) and "checkpoints cannot be listed" in said


def test_entering_the_run_folder_alone_is_no_progress(job, tmp_path, monkeypatch):
    run = RunFolder(tmp_path / "demo-1a2b3c")
    assert job.start(monkeypatch, run, None) and job.again()
    assert job.start(monkeypatch, run, None) and not job.again()


def test_a_second_run_folder_is_progress(job, tmp_path, monkeypatch):
    """An adaptation trains a row, and then every weight in a run of its own."""
    row, every_weight = RunFolder(tmp_path / "a-embedding"), RunFolder(tmp_path / "a-all")
    assert job.start(monkeypatch, row, 50) and job.start(monkeypatch, row, None)
    assert job.start(monkeypatch, every_weight, None) and job.again()
    assert [run.name for run in read_starts(job.path).runs] == ["a-embedding", "a-all"]


@given(steps=st.lists(st.booleans(), min_size=1, max_size=12))
def test_it_stops_at_the_second_futile_start_in_a_row_and_never_else(steps, tmp_path_factory):
    job = JobThatStarts(tmp_path_factory.mktemp("job"))
    run, step, idle = RunFolder(job.records.parent / "demo-1a2b3c"), 0, 0
    with pytest.MonkeyPatch.context() as monkeypatch:
        for moves in steps:
            step, idle = (step + 10, 0) if moves else (step, idle + 1)
            assert job.start(monkeypatch, run, step if moves else None)
            assert job.again() == (idle < 2)
            if idle == 2:
                break


def test_ranks_find_their_logs_in_the_run_folder(job, tmp_path, monkeypatch):
    run = RunFolder(tmp_path / "demo-1a2b3c")
    job.start(monkeypatch, run, 10)
    assert [(run.logs / f"slurm-12-0-{rank}.log").read_text() for rank in range(2)] == [
        "rank 0\n",
        "rank 1\n",
    ]
    [start] = read_starts(job.path).starts
    assert (start.restart, start.runs, start.step, start.exit) == (0, 0, 0, None)
    assert job.again()
    [start] = read_starts(job.path).starts
    assert start.exit == 85


@pytest.mark.parametrize("line", ["{", "[1]", "7", '{"restart": 0, "colour": 1}'])
def test_a_damaged_file_of_starts_is_named(job, capsys, line):
    job.path.write_text(line + "\n")
    assert guard.main(["start", str(job.path), "0", "50"]) == 3
    assert f"{job.path} has the line" in capsys.readouterr().out
    assert job.path.read_text() == line + "\n"


def test_outside_of_a_job_nothing_is_written(tmp_path):
    enter(RunFolder(tmp_path / "demo-1a2b3c"), 0)
    assert not list(tmp_path.iterdir())
