"""Logs of W&B as it writes them: whole, torn at any byte, not there, and of another format."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.wandb_offline import offline_folders, read_offline_run
from wavenet_pl.tracking.wandb_ledger import Ledger
from wavenet_pl.tracking.wandb_log import first_row_on_server, mend_log, read_log, rows_in_log

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 20 rows, which W&B wrote."""
    place = tmp_path_factory.mktemp("log") / "run"
    program = [sys.executable, "-m", "tests.training.failing_run", str(place), "0"]
    subprocess.run(program, cwd=ROOT, input="go on\n", capture_output=True, text=True, check=True)
    return place


@pytest.fixture
def folder(run_dir: Path, tmp_path: Path) -> Path:
    """Its folder, to be damaged."""
    shutil.copytree(run_dir, tmp_path / "run")
    return offline_folders(tmp_path / "run")[0]


def log_of(folder: Path) -> Path:
    (path,) = folder.glob("*.wandb")
    return path


def test_all_rows_are_found(folder: Path) -> None:
    assert read_offline_run(folder).steps("train/loss") == list(range(1, 21))
    assert rows_in_log(folder) == 20
    assert first_row_on_server(folder) is None


def test_a_log_that_is_torn_ends_there(folder: Path) -> None:
    path = log_of(folder)
    whole = path.read_bytes()
    counts = []
    for size in range(0, len(whole), 7):
        path.write_bytes(whole[:size])
        counts.append(rows_in_log(folder))
    assert counts == sorted(counts)
    assert (counts[0], max(counts)) == (0, 20)
    assert len(set(counts)) == 21, "each row counts from its last byte on"


def test_a_torn_log_is_mended_and_a_whole_one_is_left(folder: Path) -> None:
    path = log_of(folder)
    whole = path.read_bytes()
    mend_log(folder)
    assert path.read_bytes() == whole
    for tail in (b"torn", bytes(50)):
        path.write_bytes(whole + tail)
        mend_log(folder)
        assert path.read_bytes() == whole
    path.write_bytes(whole[:-1])
    mend_log(folder)
    mended = path.read_bytes()
    assert len(mended) < len(whole) - 1 and whole.startswith(mended)
    assert rows_in_log(folder) == 20


def test_a_log_that_was_never_written_has_no_rows(folder: Path) -> None:
    log_of(folder).unlink()
    assert rows_in_log(folder) == 0


@pytest.mark.parametrize(
    "note",
    [
        "",
        '{"starting_step": 5',
        "[]",
        "{}",
        '{"starting_step": null}',
        '{"starting_step": Infinity}',
        "[" * 9_999,
    ],
)
def test_a_note_of_what_was_sent_that_is_torn_says_nothing(tmp_path: Path, note: str) -> None:
    path = tmp_path / "run-1.wandb.syncstate"
    path.write_text('{"starting_step": 5}')
    assert first_row_on_server(tmp_path) == 5
    path.write_text(note)
    assert first_row_on_server(tmp_path) is None


@pytest.mark.parametrize("damage", ["header", "record"])
def test_a_log_of_another_format_is_taken_as_whole_with_one_warning(
    folder: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = log_of(folder)
    text = bytearray(path.read_bytes())
    text[:4] = b":NEW" if damage == "header" else text[:4]
    text[14:60] = bytes(46) if damage == "record" else text[14:60]
    path.write_bytes(bytes(text))
    with pytest.raises(ValueError, match="expected b':W&B'" if damage == "header" else "a record is damaged"):
        list(read_log(folder))
    run_dir = folder.parents[1]
    ledger = Ledger(run_dir)
    with caplog.at_level(logging.WARNING):
        starts = ledger.read()
    ledger.begin(starts, run_dir / "wandb" / "offline-run-2", None)
    (record,) = caplog.records
    assert f"W&B's log in {folder} cannot be read" in record.message
    assert "what was to go there counts as sent" in record.message
    assert all("train/loss" in ledger.logged(step) for step in range(1, 21))
