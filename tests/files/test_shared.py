"""Arrays in files: handed to another process they are a place, and what lies there is what was put there."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from wavenet_pl.files.shared import SharedArray, SharedFile, share

LARGE = np.arange(50_000, dtype=np.int64)


def test_what_is_handed_over_is_a_place_and_not_the_numbers() -> None:
    array = share(LARGE)
    content = pickle.dumps(array)
    assert len(content) < 500
    assert np.array_equal(pickle.loads(content), LARGE)
    assert np.array_equal(pickle.loads(pickle.dumps(pickle.loads(content))), LARGE), "and on from there"


def test_another_process_maps_the_same_file() -> None:
    program = (
        "import pickle, sys; array = pickle.load(sys.stdin.buffer);"
        "print(int(array.sum()), any('wavenet-pl' in line for line in open('/proc/self/maps')))"
    )
    root = Path(__file__).resolve().parents[2]
    array = share(LARGE)
    done = subprocess.run(
        [sys.executable, "-c", program], input=pickle.dumps(array), capture_output=True, check=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )  # fmt: skip
    assert done.stdout.decode().split() == [str(LARGE.sum()), "True"]


def test_a_few_numbers_are_handed_over_whole_and_what_is_shared_is_not_shared_again() -> None:
    few = np.arange(5)
    assert share(few) is few
    array = share(LARGE)
    assert share(array) is array


def test_what_is_computed_from_it_is_an_array_like_any_other() -> None:
    array = share(LARGE)
    for some in (array[3:9], array + 1, array.astype(np.int32)):
        assert np.array_equal(pickle.loads(pickle.dumps(some)), some)
    assert type(array[3:9]) is np.ndarray
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1


def test_a_file_that_was_replaced_or_removed_is_still_what_it_was(tmp_path: Path) -> None:
    path = tmp_path / "numbers"
    path.write_bytes(LARGE.tobytes())
    with open(path, "rb") as file:
        array = SharedFile(file).array(np.int64, (10,), 80)
    (tmp_path / "other").write_bytes(bytes(400_000))
    (tmp_path / "other").replace(path)
    assert pickle.loads(pickle.dumps(array)).tolist() == list(range(10, 20))
    path.unlink()
    assert pickle.loads(pickle.dumps(array)).tolist() == list(range(10, 20))


def test_what_is_gone_with_its_process_is_an_error_and_never_another_file() -> None:
    array = share(LARGE)
    content = pickle.dumps(array)
    file, _ = array.origin  # type: ignore[attr-defined]
    number = file._number
    os.dup2(os.open(os.devnull, os.O_RDONLY), number)
    with pytest.raises(OSError, match="is another file by now"):
        pickle.loads(content)


def test_files_are_closed_with_the_last_array_of_them() -> None:
    before = len(os.listdir("/proc/self/fd"))
    array: SharedArray | None = share(LARGE)  # type: ignore[assignment]
    part = array[5:9]  # type: ignore[index]
    assert len(os.listdir("/proc/self/fd")) > before
    array = None
    assert part.tolist() == [5, 6, 7, 8]
    del part
    assert len(os.listdir("/proc/self/fd")) == before


def test_an_array_beyond_its_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "numbers"
    path.write_bytes(bytes(80))
    with open(path, "rb") as file:
        shared = SharedFile(file)
    for shape, offset in (((11,), 0), ((10,), 8), ((2**60,), 0), ((1,), 2**63 - 8)):
        with pytest.raises(ValueError, match="are not in a file of 80"):
            shared.array(np.int64, shape, offset)
