"""Products and gates are what numpy says in float64, and the same bit for bit for any number of rows."""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt
import pytest

from wavenet_pl.generation.fused_cpu import vectors
from wavenet_pl.generation.fused_cpu.packing import panels

RANDOM = np.random.default_rng(0)


@numba.njit(**vectors.OPTIONS)
def multiplied(
    x: npt.NDArray, matrices: npt.NDArray, position: int, scales: npt.NDArray, biases: npt.NDArray, y: npt.NDArray
) -> None:  # fmt: skip
    vectors.product(x, matrices, position, scales, biases, 3, y)


@numba.njit(**vectors.OPTIONS)
def gated(z: npt.NDArray, to: npt.NDArray) -> None:
    vectors.gate(z, to)


@numba.njit(**vectors.OPTIONS)
def exponentials(x: npt.NDArray, to: npt.NDArray) -> None:
    for i in range(len(x)):
        to[i] = vectors.exp(x[i])


def floats(*shape: int) -> npt.NDArray[np.float32]:
    return RANDOM.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("outputs", [16, 32, 48, 112, 192])
@pytest.mark.parametrize("kind", [np.float32, np.int8])
def test_product_is_that_of_the_matrix(outputs: int, kind: type) -> None:
    inputs, rows = 19, 7
    matrix_IO = (floats(inputs, outputs) * 20).astype(kind)
    matrices = np.concatenate([np.full(5, 99, kind), panels(matrix_IO)])
    scales, biases = floats(3 + outputs), floats(3 + outputs)
    x, y = floats(rows, inputs), floats(rows, outputs)
    expected = y + biases[3:] + scales[3:].astype(float) * (x.astype(float) @ matrix_IO)
    before, alone = y.copy(), y.copy()
    multiplied(x, matrices, 5, scales, biases, y)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-4)
    for row in range(rows):
        multiplied(x[row : row + 1], matrices, 5, scales, biases, alone[row : row + 1])
    np.testing.assert_array_equal(y, alone)
    assert not np.array_equal(y, before)


def test_gate_is_tanh_times_sigmoid_wherever_they_are() -> None:
    values = np.concatenate([np.linspace(-12, 12, 4001), [-1e30, -100, -1e-6, 0, 1e-6, 100, 1e30]])
    z = np.stack([np.stack([values, RANDOM.permutation(values)]).ravel()]).astype(np.float32)
    to = np.empty((1, len(values)), np.float32)
    gated(z, to)
    a, b = np.split(z[0].astype(float), 2)
    np.testing.assert_allclose(to[0], np.tanh(a) / (1 + np.exp(-b.clip(-700))), rtol=0, atol=1e-6)


def test_what_is_no_number_stays_none() -> None:
    z, to = np.zeros((1, 32), np.float32), np.zeros((1, 16), np.float32)
    z[0, 3] = z[0, 20] = np.nan
    gated(z, to)
    assert np.flatnonzero(np.isnan(to[0])).tolist() == [3, 4]


def test_exponential_is_exact_to_the_last_bits() -> None:
    x = np.linspace(-87, 87, 100_001).astype(np.float32)
    to = np.empty_like(x)
    exponentials(x, to)
    np.testing.assert_allclose(to, np.exp(x.astype(float)), rtol=2e-7)
