"""Uniform numbers made on the device are those of the host, bit for bit."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from wavenet_pl.generation.draw import Draw
from wavenet_pl.generation.fused_gpu.uniforms import signed, uniforms
from wavenet_pl.numbers import counter


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=4), st.integers(0, 2**40), st.integers(1, 9))
def test_uniforms_are_those_of_the_counter(keys: list[int], start: int, number: int) -> None:
    made_BN = uniforms(torch.tensor([signed(key) for key in keys]), start, number)
    expected = [counter.uniforms(key, np.arange(start, start + number)) for key in keys]
    assert made_BN.dtype == torch.float64
    np.testing.assert_array_equal(made_BN.numpy(), np.stack(expected))


def test_the_keys_of_a_draw_are_those_of_its_uniforms() -> None:
    draw = Draw(seed=7, clips=(4, 0, 9))
    keys_B = torch.tensor([signed(key) for key in draw.stream_keys([2, 0])])
    np.testing.assert_array_equal(uniforms(keys_B, 3, 5).numpy(), draw.uniforms(3, 8, [2, 0]))
