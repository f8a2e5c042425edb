"""A clip's numbers depend on its seed and its own number, not on the batch it is drawn in."""

from __future__ import annotations

import numpy as np
import pytest

from wavenet_pl.generation.draw import Draw


def test_numbers_of_a_clip_do_not_depend_on_the_batch() -> None:
    together = Draw(seed=3, clips=(0, 1, 2)).uniforms(0, 50)
    alone = [Draw(seed=3, clips=(clip,)).uniforms(0, 50)[0] for clip in (0, 1, 2)]
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize("cut", [0, 1, 33, 50])
def test_numbers_do_not_depend_on_how_time_is_cut(cut: int) -> None:
    draw = Draw(clips=(4, 9))
    pieces = [draw.uniforms(0, cut), draw.uniforms(cut, 50)]
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1), draw.uniforms(0, 50))


def test_other_seeds_and_other_clips_get_other_numbers() -> None:
    numbers = [
        Draw(seed=seed, clips=(clip,)).uniforms(0, 8).tobytes() for seed in range(5) for clip in range(5)
    ]
    assert len(set(numbers)) == 25


def test_numbers_are_float64_in_the_unit_interval() -> None:
    numbers = Draw(clips=(0, 1)).uniforms(10, 1000)
    assert (numbers.shape, numbers.dtype) == ((2, 990), np.float64)
    assert numbers.min() >= 0
    assert numbers.max() < 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"temperature": -1.0}, "temperature is -1.0, expected a number from 0"),
        ({"top_p": 0.0}, "top_p is 0.0, expected a share above 0"),
        ({"clips": ()}, "clips is empty, expected at least one clip number"),
    ],
)
def test_fields_out_of_range_raise(fields: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Draw(**fields)
