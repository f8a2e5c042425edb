"""Status, logs, resume and summary from what jobs left on disk, where the controller has forgotten them."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tests.cluster.submitting import TRAIN, refusal, slurm
from tests.small import small_config
from wavenet_pl.cluster.options import JobOptions
from wavenet_pl.cluster.records import Record, find_records, read_records, records_folder
from wavenet_pl.cluster.scheduler import Scheduler
from wavenet_pl.cluster.script import Job, build_script
from wavenet_pl.cluster.submission import submit_script
from wavenet_pl.config.tree import to_yaml
from wavenet_pl.errors import UserError
from wavenet_pl.runs.folder import RunFolder
from wavenet_pl.runs.starts import Start

TASKS = (("seed=0",), ("seed=1",), ("seed=2",))
BITS = (5.5, 4.5, 5.0)


@pytest.fixture
def sweep(here: Path) -> Record:
    """Three tasks: the first came to its end, the second was killed at step 3 of 4, the third never started."""
    records = records_folder("runs")
    job = Job(
        name="small", command=["train"], folder=here, records=records, tasks=TASKS, max_parallel=2, requeues=True,
        after=["afterok:7"],
    )  # fmt: skip
    runs = [here / f"runs/small-{task}" for task in range(3)]
    record = Record(
        job=12, name="small", command=["train"], tasks=TASKS, runs=[str(run) for run in runs], requeues=True,
        time=1.0, records=records,
    )  # fmt: skip
    record.write(build_script(JobOptions(), job))
    for task, steps in ((0, 4), (1, 3)):
        run = RunFolder(runs[task])
        run.checkpoints.mkdir(parents=True)
        (run.checkpoints / "step-000000002.ckpt").touch()
        run.config.write_text(to_yaml(small_config("data", "trainer.max_steps=4")))
        rows = [
            {"step": step, "time": 10.0 * step, "train/loss": 1.0, "train/bits": 6.0}
            for step in range(1, steps + 1)
        ]
        rows += [{"step": 2, "time": 21.0, "val/bits": BITS[task]}]
        run.metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))
        start = asdict(Start(restart=0, time=1.0, nodes="n1", runs=0, step=0))
        lines = [
            {key: value for key, value in start.items() if value is not None},
            {"run": str(run.path), "restart": 0},
        ]
        lines += [{"exit": 0, "restart": 0}] if task == 0 else []
        (records / f"12_{task}.starts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        (records / f"12_{task}.log").write_text(f"batch of {task}\n")
        for restart in (0, 10, 9):
            (records / f"slurm-12_{task}-{restart}-0.log").write_text(
                f"rank 0 of {task} at start {restart}\n"
            )
        (records / f"slurm-12_{task}-0-1.log").write_text("rank 1\n")
    return record


def test_a_record_is_read_as_it_was_written(sweep: Record) -> None:
    [record] = read_records("runs")
    assert json.loads(json.dumps(asdict(record), default=str)) == json.loads(
        json.dumps(asdict(sweep), default=str)
    )
    assert record.ids == ["12_0", "12_1", "12_2"]
    assert record.overrides("12_1") == "seed=1"


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [("12", 3), ("12_1", 1), ("runs/small-2", 1), ("small-0", 1), (None, 3)],
)
def test_jobs_are_found_by_id_and_by_run(sweep: Record, wanted: str | None, ids: int) -> None:
    assert len(find_records("runs", wanted)) == ids


@pytest.mark.parametrize("wanted", ["13", "12_5", "runs/other", "1"])
def test_a_job_that_is_not_known_is_said_so(sweep: Record, wanted: str) -> None:
    with pytest.raises(UserError, match=r"knows no job of .*; known are 12; submit one"):
        find_records("runs", wanted)


def test_a_folder_without_jobs(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for action in ("status", "logs", "resume", "summary"):
        assert "knows no job" in refusal(capsys, action)
    assert "JOB is missing" in refusal(capsys, "stop")


def test_a_damaged_record_is_named(sweep: Record, capsys: pytest.CaptureFixture[str]) -> None:
    (sweep.records / "12.json").write_text("{")
    assert "12.json cannot be read" in refusal(capsys, "status")


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ('{"train/loss": 1}', "expected numbers as step and"),
        ('{"step": 5, "train/loss": "x"}', "expected numbers as step and"),
        ('{"val/bits": 2, "step": []}', "its step is [] and no number of steps"),
    ],
)
def test_a_damaged_row_is_named(
    sweep: Record, capsys: pytest.CaptureFixture[str], row: str, named: str
) -> None:
    with open(RunFolder(Path(sweep.runs[0])).metrics, "a", encoding="utf-8") as file:
        file.write(row + "\n")
    assert named in refusal(capsys, "status")


def test_status_of_what_the_controller_forgot(sweep: Record, capsys: pytest.CaptureFixture[str]) -> None:
    assert slurm("status") == 0
    head, first, second, third = capsys.readouterr().out.rstrip().split("\n")
    assert head.split() == [
        "job",
        "name",
        "state",
        "step",
        "bits",
        "left",
        "restarts",
        "saved",
        "run",
        "or",
        "reason",
    ]
    assert first.split() == [
        "12_0",
        "small",
        "seed=0",
        "ended",
        "with",
        "0",
        "4/4",
        "5.5000",
        "-",
        "0",
        "2",
        "runs/small-0",
    ]
    assert second.split() == [
        "12_1",
        "small",
        "seed=1",
        "ended",
        "3/4",
        "4.5000",
        "-",
        "0",
        "2",
        "runs/small-1",
    ]
    assert third.split() == ["12_2", "small", "seed=2", "ended", "0", "-", "-", "0", "-", "runs/small-2"]


def test_status_reads_the_end_of_a_file_however_long_it_is(
    sweep: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = RunFolder(Path(sweep.runs[1])).metrics
    rows = metrics.read_bytes()
    with open(metrics, "r+b") as file:
        file.truncate(2**42)  # a hole, which no memory would hold
        file.seek(0, os.SEEK_END)
        file.write(b"\n" + 70 * rows)
    assert slurm("status", "12_1") == 0
    assert capsys.readouterr().out.split("\n")[1].split()[4:6] == ["3/4", "4.5000"]


def test_summary_names_the_best(sweep: Record, capsys: pytest.CaptureFixture[str]) -> None:
    assert slurm("summary") == 0
    lines = capsys.readouterr().out.rstrip().split("\n")
    assert [line.split()[0] for line in lines[1:4]] == ["12_1", "12_0", "12_2"]
    assert lines[-1] == "best: runs/small-1 (seed=1); 2 of 3 have not come to their end"


def test_summary_has_every_task_where_some_were_resumed(
    sweep: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    replace(sweep, job=15, chosen=[1, 2], time=2.0).write("")
    for arguments in ([], ["12"], ["15"]):
        assert slurm("summary", *arguments) == 0
        lines = capsys.readouterr().out.rstrip().split("\n")
        assert [line.split()[0] for line in lines[1:4]] == ["15_1", "12_0", "15_2"]


def test_resume_takes_the_tasks_that_did_not_come_to_their_end(
    sweep: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    assert slurm("resume", "--dry-run") == 0
    said = capsys.readouterr()
    assert "#SBATCH --array=1,2%2\n" in said.out
    assert "dependency" not in said.out
    assert "12_1 (small), ended, goes on from step 2" in said.err
    assert "12_2 (small), ended, goes on from the start" in said.err
    assert "nothing left to do" in refusal(capsys, "resume", "runs/small-0")


def test_resume_needs_the_script(sweep: Record, capsys: pytest.CaptureFixture[str]) -> None:
    (sweep.records / "12.sh").unlink()
    assert "12.sh cannot be read (No such file or directory), expected the script that job 12" in refusal(
        capsys, "resume"
    )


def test_a_job_that_could_not_be_remembered_is_not_submitted(here: Path) -> None:
    Path("file").touch()
    record = Record(job=0, name="small", command=["train"], records=here / "file/.slurm")
    with pytest.raises(UserError, match="file/.slurm cannot be made .Not a directory., .* with --runs"):
        submit_script(record, "", Scheduler())


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        (
            "r" * 300,
            "cannot be listed (File name too long), expected what `wavenet-pl slurm` wrote; mend that",
        ),
        ("loop", "--runs loop is a link to itself, expected a folder; name another one"),
    ],
)
def test_a_folder_of_runs_that_cannot_be_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str], runs: str, message: str
) -> None:
    Path("loop").symlink_to("loop")
    error = refusal(capsys, *TRAIN, "--runs", runs)
    assert message in error and error.count("\n") == 1


def test_logs_of_one_rank_over_all_starts(sweep: Record, capsys: pytest.CaptureFixture[str]) -> None:
    assert slurm("logs", "12_1") == 0
    said = capsys.readouterr().out
    assert [line for line in said.split("\n") if "==>" not in line][:-1] == [
        "batch of 1", "rank 0 of 1 at start 0", "rank 0 of 1 at start 9", "rank 0 of 1 at start 10",
    ]  # fmt: skip
    assert slurm("logs", "12_1", "--rank", "1") == 0
    assert "==> slurm-12_1-0-1.log <==\nrank 1\n" in capsys.readouterr().out
    assert "has written nothing yet" in refusal(capsys, "logs", "12_2")
