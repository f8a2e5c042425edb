"""Frames as bytes: what is written comes back, and nothing else is taken for it."""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.shards.made import make_audio, make_frames
from tests.test_conditioning import F0, FRAMES, MEL, NOTES
from wavenet_pl.errors import BadDataError
from wavenet_pl.inputs.frames import Frames
from wavenet_pl.inputs.input import Columns
from wavenet_pl.shards.arrays import encode_array

each_kind = pytest.mark.parametrize("frames", FRAMES, ids=lambda frames: frames.name)


def some(frames: Frames, num_samples: int, seed: int = 0) -> npt.NDArray[Any]:
    return make_frames(frames, make_audio(num_samples, seed=seed), seed)


def as_npy(array: npt.NDArray[Any], **options: bool) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


@each_kind
@pytest.mark.parametrize("num_samples", [1, 64, 65, 4000])
def test_what_is_encoded_comes_back(frames: Frames, num_samples: int) -> None:
    stored = some(frames, num_samples)
    back = frames.decode(encode_array(stored), num_samples)
    assert back.dtype == frames.dtype and np.array_equal(back, stored)


@each_kind
def test_numpy_reads_what_is_encoded_and_the_other_way_round(frames: Frames) -> None:
    stored = some(frames, 4000)
    assert np.array_equal(np.load(io.BytesIO(encode_array(stored))), stored)
    assert np.array_equal(frames.decode(as_npy(stored), 4000), stored)


@each_kind
def test_a_frame_is_begun_by_every_hop_and_columns_touch_as_many_rows_as_are_given(frames: Frames) -> None:
    hop = frames.hop_length
    for num_samples in (1, hop - 1, hop, hop + 1, 10 * hop):
        assert frames.num_frames(num_samples) == len(range(0, num_samples, hop))
    for first in (0, 1, hop - 1, hop, 7 * hop + 3):
        for number in (1, hop, hop + 1, 3 * hop + 2):
            touched = {sample // hop for sample in range(first, first + number)}
            rows = frames.num_rows(Columns(first, number, 0))
            assert len(touched) <= rows <= len(touched) + 1
            assert frames.num_rows(Columns(first, number, 5)) == rows + 10


def huge_header() -> bytes:
    content = as_npy(some(NOTES, 320))
    return content.replace(b"(10, 89)", b"(9999999999999, 89)".ljust(8))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is no .npy file of version 1.0, expected notes frames"),
        (pickle.dumps([1]), "is no .npy file"),
        (as_npy(some(NOTES, 320)).replace(b"Y\x01", b"Y\x03"), "is no .npy file of version 1.0"),
        (as_npy(np.array([{}] * 10), allow_pickle=True), "has the header"),
        (as_npy(some(NOTES, 320).astype(np.float64)), "expected .*u1"),
        (as_npy(some(NOTES, 352)), r"has the header .*\(11, 89\).*, expected .*\(10, 89\)"),
        (as_npy(np.asfortranarray(some(NOTES, 320))), "'fortran_order': True"),
        (huge_header(), "9999999999999"),
        (as_npy(some(NOTES, 320))[:-1], "has 889 bytes of notes, expected 890"),
        (as_npy(some(NOTES, 320)) + b"x", "has 891 bytes"),
        (as_npy(some(NOTES, 320) | np.uint8(128)), "has notes out of range, expected numbers from 0 to 127"),
    ],
)
def test_everything_else_is_refused_in_a_line(content: bytes, said: str) -> None:
    with pytest.raises(BadDataError, match=said) as caught:
        NOTES.decode(content, 320)
    assert caught.value.kind == "bad features" and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("frames", "numbers", "said"),
    [
        (MEL, (np.nan, np.inf, -0.5, 1.5), "has mel out of range, expected numbers from 0 to 1"),
        (F0, (np.nan, np.inf, -np.inf), "has f0 out of range, expected finite numbers"),
    ],
    ids=["mel", "f0"],
)
def test_numbers_out_of_range_are_refused(frames: Frames, numbers: tuple[float, ...], said: str) -> None:
    for number in numbers:
        stored = some(frames, 2000)
        stored[3, 1] = number
        with pytest.raises(BadDataError, match=said):
            frames.decode(encode_array(stored), 2000)


def test_what_the_model_is_given_of_an_array_of_ones_own_is_less_the_mean_and_over_the_deviation() -> None:
    given = F0.scaled(np.array([[120.0, 0.5], [160.0, 0.25], [0.0, 1.0]], np.float32))
    assert given.dtype == np.float32
    assert given.tolist() == [[0.0, 0.0], [1.0, -1.0], [-3.0, 2.0]]
