"""Rows of what should not happen, on a disk that does not take them."""

from __future__ import annotations

from pathlib import Path

from tests.full_disk import full_disk
from wavenet_pl.tracking.row_file import RowFile
from wavenet_pl.tracking.rows import read_metrics


def test_rows_that_a_full_disk_refuses_go_with_the_next_ones(tmp_path: Path) -> None:
    file = RowFile(tmp_path / "folder" / "rows.jsonl")
    assert file.add([{"step": 1}]) == ""
    with full_disk(5):
        assert file.add([{"step": 2}]) and file.add([{"step": 3}])
    assert read_metrics(file.path) == [{"step": 1}]
    assert file.add([{"step": 4}]) == ""
    assert [row["step"] for row in read_metrics(file.path)] == [1, 2, 3, 4]


def test_of_rows_that_are_the_same_the_first_stays(tmp_path: Path) -> None:
    rows = [{"step": 1, "key": "a"}, {"step": 2, "key": "b"}]
    RowFile(tmp_path / "rows.jsonl", same=("key",)).add(rows)
    again = RowFile(tmp_path / "rows.jsonl", same=("key",))  # of another process
    again.add([{"step": 3, "key": "b"}, {"step": 3, "key": "c"}])
    assert read_metrics(again.path) == [*rows, {"step": 3, "key": "c"}]


def test_rows_that_somebody_damaged_are_kept_and_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("damaged\n{}\n")
    assert "damaged" in RowFile(path).add([{"step": 1}])
    assert path.read_text() == "damaged\n{}\n"
