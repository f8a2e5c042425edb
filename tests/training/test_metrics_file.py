"""metrics.jsonl: exact numbers, complete rows, and the cut to a checkpoint's step."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from wavenet_pl.errors import UserError
from wavenet_pl.tracking.rows import cut_back, encode_row, logged_numbers, missing_steps, read_metrics
from wavenet_pl.training.metrics_file import MetricsFile


def write_steps(path: Path, *steps: int) -> None:
    logger = MetricsFile(path)
    for step in steps:
        logger.log_metrics({"train/loss": 1 / step, "epoch": 0}, step=step)
    logger.finalize("success")


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_floats_come_back_bit_for_bit(tmp_path_factory: pytest.TempPathFactory, number: float) -> None:
    path = tmp_path_factory.mktemp("metrics") / "metrics.jsonl"
    path.write_bytes(encode_row({"step": 1, "train/loss": number}))
    (row,) = read_metrics(path)
    assert math.isnan(row["train/loss"]) if math.isnan(number) else row["train/loss"] == number
    assert row.keys() == {"step", "train/loss"}


def test_every_row_is_json_for_every_reader(tmp_path: Path) -> None:
    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    line = encode_row({"a": math.nan, "b": math.inf, "c": -math.inf, "d": 1.5})
    row = json.loads(line, parse_constant=refuse)
    assert row == {
        "a": None,
        "b": None,
        "c": None,
        "d": 1.5,
        "not_finite": {"a": "nan", "b": "inf", "c": "-inf"},
    }


def test_tensors_become_numbers(tmp_path: Path) -> None:
    assert json.loads(encode_row({"a": torch.tensor(3), "b": torch.tensor(0.5)})) == {"a": 3, "b": 0.5}


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(TypeError):
        encode_row({"val/clips": object()})


def test_rows_have_step_epoch_and_time_first(tmp_path: Path) -> None:
    path = tmp_path / "run" / "metrics.jsonl"
    logger = MetricsFile(path)
    logger.log_metrics({"train/loss": 2.5, "epoch": 3}, step=7)
    (row,) = read_metrics(path)
    assert list(row) == ["step", "epoch", "time", "train/loss"]
    assert (row["step"], row["epoch"], row["train/loss"]) == (7, 3, 2.5)
    assert abs(row["time"] - path.stat().st_mtime) < 5


@pytest.mark.slow
def test_rows_are_there_when_the_call_returns(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    program = (
        "import os, signal, sys\n"
        "from wavenet_pl.training.metrics_file import MetricsFile\n"
        "logger = MetricsFile(sys.argv[1])\n"
        "for step in range(1, 101): logger.log_metrics({'train/loss': step / 3}, step=step)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], cwd=Path(__file__).parents[2], check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert [row["train/loss"] for row in read_metrics(path)] == [step / 3 for step in range(1, 101)]


def test_a_torn_last_row_is_passed_over_and_written_over(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    write_steps(path, 1, 2)
    with open(path, "ab") as file:
        file.write(b'{"step": 3, "train/lo')
    assert [row["step"] for row in read_metrics(path)] == [1, 2]
    write_steps(path, 3)
    assert [row["step"] for row in read_metrics(path)] == [1, 2, 3]


DAMAGED = {
    "no JSON": b"nonsense", "a list": b"[1]", "a number": b"3", "cut": b'{"step": 1', "text": b'"text"',
    "a step that is text": b'{"step": "3"}', "a step that is half a number": b'{"step": 1.5}',
    "a step that is NaN": b'{"step": NaN}', "a step in a list": b'{"step": [1]}',
    "a step that is true": b'{"step": true}',
    "a nested value": b'{"step": 1, "val/bits": {"a": 1}}', "nested lists": b'{"step": 1, "keys": [["a"]]}',
    "a list of what is not finite": b'{"step": 1, "not_finite": ["nan"]}',
}  # fmt: skip


@pytest.mark.parametrize("line", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_row_in_the_middle_is_named(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "metrics.jsonl"
    write_steps(path, 1)
    path.write_bytes(path.read_bytes() + line + b"\n")
    write_steps(path, 2)
    with pytest.raises(
        UserError, match=r"metrics\.jsonl line 2 is .* expected a row of JSON .* remove the line"
    ):
        cut_back(path, 1)
    assert path.read_bytes().splitlines()[1] == line


READERS: list[Callable[[Path], object]] = [
    lambda path: cut_back(path, 1_990),
    lambda path: logged_numbers(path, "val/bits"),
    lambda path: missing_steps(path, 2_000),
]


@pytest.mark.parametrize("read", READERS, ids=["cut back", "numbers", "missing steps"])
def test_a_long_file_takes_little_memory(tmp_path: Path, read: Callable[[Path], object]) -> None:
    path = tmp_path / "metrics.jsonl"
    rows = ({"step": step, "train/loss": 1 / step, "note": "x" * 100} for step in range(1, 2_001))
    path.write_bytes(b"".join(map(encode_row, rows)))
    size = path.stat().st_size
    tracemalloc.start()
    try:
        read(path)
        assert tracemalloc.get_traced_memory()[1] < size / 4
    finally:
        tracemalloc.stop()


def test_a_line_without_end_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with open(path, "wb") as file:
        file.truncate(2**40)
    with pytest.raises(UserError, match=r"cannot be read \(it has a line of more than 16777216 bytes\)"):
        cut_back(path, 1)


@pytest.mark.parametrize(
    ("kept", "missing"),
    [
        ([1, 2, 3, 4], []),
        ([1, 2, 2, 3, 4], []),
        ([1, 2], [range(3, 5)]),
        ([3, 4], [range(1, 3)]),
        ([1, 3], [range(2, 3), range(4, 5)]),
        ([], [range(1, 5)]),
    ],
)
def test_steps_without_a_row_are_known(tmp_path: Path, kept: list[int], missing: list[range]) -> None:
    path = tmp_path / "metrics.jsonl"
    assert missing_steps(path, 4) == [range(1, 5)]
    write_steps(path, *kept)
    MetricsFile(path).log_metrics({"perf/save_seconds": 1.0}, step=4)
    assert missing_steps(path, 4) == missing


def test_cutting_back_keeps_the_bytes_up_to_the_step(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    write_steps(path, 1, 2, 2, 3)
    whole = path.read_bytes()
    assert cut_back(path, 2) == 1
    assert whole.startswith(path.read_bytes())
    assert [row["step"] for row in read_metrics(path)] == [1, 2, 2]
    assert [entry.name for entry in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_cutting_back_where_nothing_is_later_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert cut_back(path, 5) == 0
    assert not path.exists()
    write_steps(path, 1, 2)
    before = path.stat().st_ino
    assert cut_back(path, 2) == 0
    assert path.stat().st_ino == before


@pytest.mark.parametrize(
    "read",
    [
        lambda path: cut_back(path, 1),
        lambda path: missing_steps(path, 1),
        lambda path: logged_numbers(path, "x"),
    ],
    ids=["cut back", "missing steps", "numbers"],
)
def test_rows_that_cannot_be_looked_at_are_not_taken_for_none(
    tmp_path: Path, read: Callable[[Path], object]
) -> None:
    """As of a file system that does not answer."""
    (tmp_path / "metrics.jsonl").symlink_to("metrics.jsonl")
    with pytest.raises(UserError, match="metrics.jsonl cannot be read"):
        read(tmp_path / "metrics.jsonl")


def test_a_run_cut_back_and_gone_on_with_logs_no_step_twice(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    write_steps(path, 1, 2, 3, 4)
    cut_back(path, 2)
    write_steps(path, 3, 4, 5)
    assert [row["step"] for row in read_metrics(path)] == [1, 2, 3, 4, 5]


def test_a_logger_goes_on_after_the_trainer_finalized_it(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    logger = MetricsFile(path)
    logger.finalize("success")
    assert not path.exists()
    logger.log_metrics({"a": 1.0}, step=1)
    logger.finalize("success")
    logger.log_metrics({"a": 2.0}, step=2)
    assert [row["a"] for row in read_metrics(path)] == [1.0, 2.0]
    assert (logger.save_dir, os.path.basename(logger.save_dir)) == (str(tmp_path), logger.name)
