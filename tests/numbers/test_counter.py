"""Counter-based random numbers are splitmix64, uniform, and a function of key and counter alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavenet_pl.numbers import counter

KEYS = st.integers(0, 2**64 - 1)


def splitmix64(seed: int, count: int) -> list[int]:
    """The sequence as its authors publish it: one state, stepped, in plain integers."""
    mask, state, outputs = 2**64 - 1, seed, []
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        outputs.append(z ^ (z >> 31))
    return outputs


@given(KEYS)
def test_bits_are_the_sequence_of_splitmix64(key: int) -> None:
    assert counter.random_bits(key, np.arange(20)).tolist() == splitmix64(key, 20)


def test_first_bits_are_the_published_ones() -> None:
    assert counter.random_bits(1234567, np.arange(3)).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]


@given(KEYS, st.integers(0, 300))
def test_a_shuffle_is_by_random_bits(key: int, size: int) -> None:
    bits = splitmix64(key, size)
    assert counter.shuffled(key, size).tolist() == sorted(range(size), key=bits.__getitem__)


def test_a_long_shuffle_is_as_well() -> None:
    size = 2 * counter._AT_ONCE + 7
    order = counter.shuffled(11, size)
    assert order.dtype == np.int64
    assert np.array_equal(order, np.argsort(counter.random_bits(11, np.arange(size)), kind="stable"))


@given(KEYS, st.permutations(range(12)), st.integers(0, 12))
def test_neither_order_nor_batching_changes_a_number(key: int, order: list[int], cut: int) -> None:
    whole = counter.uniforms(key, np.arange(12))
    batches = [counter.uniforms(key, np.array(part, dtype=np.int64)) for part in (order[:cut], order[cut:])]
    np.testing.assert_array_equal(np.concatenate(batches), whole[order])


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3)])
def test_numbers_have_the_shape_of_the_counters(shape: tuple[int, ...]) -> None:
    counters = np.full(shape, 2**62)  # large enough to wrap, which must not warn
    assert counter.random_bits(2**64 - 1, counters).shape == shape
    assert counter.uniforms(2**64 - 1, counters).shape == shape


def test_types_of_counters_do_not_matter() -> None:
    expected = counter.random_bits(7, np.arange(5))
    for kind in (np.uint8, np.int32, np.uint64):
        np.testing.assert_array_equal(counter.random_bits(7, np.arange(5, dtype=kind)), expected)


def test_uniforms_are_uniform_and_independent() -> None:
    count, bins = 200_000, 100
    numbers = counter.uniforms(counter.stream_key("test"), np.arange(count))
    assert numbers.min() >= 0
    assert numbers.max() < 1
    observed = np.histogram(numbers, bins=bins, range=(0, 1))[0]
    chi_square = ((observed - count / bins) ** 2 / (count / bins)).sum()
    assert abs(chi_square - (bins - 1)) < 5 * np.sqrt(2 * (bins - 1))
    for lag in (1, 2, 16):
        assert abs(np.corrcoef(numbers[:-lag], numbers[lag:])[0, 1]) < 5 / np.sqrt(count)


def test_streams_of_neighbouring_seeds_are_unrelated() -> None:
    one, other = (counter.uniforms(counter.stream_key("draw", seed), np.arange(50_000)) for seed in (0, 1))
    assert abs(np.corrcoef(one, other)[0, 1]) < 5 / np.sqrt(50_000)


def test_of_the_largest_bits_comes_the_largest_number_below_one() -> None:
    largest = np.array([2**64 - 1], np.uint64)
    at = counter._counters(7, largest)
    assert counter.random_bits(7, at) == largest
    assert counter.uniforms(7, at) == np.nextafter(1, 0)


@given(st.lists(st.integers() | st.text(), max_size=4), st.lists(st.integers() | st.text(), max_size=4))
def test_different_parts_have_different_keys(one: list[int | str], other: list[int | str]) -> None:
    assert (counter.stream_key(*one) == counter.stream_key(*other)) == (one == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [((1,), ("1",)), (("ab",), ("a", "b")), (("a", "b"), ("b", "a")), ((1, 23), (12, 3)), ((), ("",))],
)
def test_type_grouping_and_order_of_parts_count(one: tuple, other: tuple) -> None:
    assert counter.stream_key(*one) != counter.stream_key(*other)


def test_keys_fit_in_64_bits_and_take_any_integer_type() -> None:
    assert 0 <= counter.stream_key("x", -5) < 2**64
    assert counter.stream_key("x", np.int64(5)) == counter.stream_key("x", 5)


def test_key_of_a_float_raises() -> None:
    with pytest.raises(TypeError):
        counter.stream_key(0.5)  # type: ignore[arg-type]


# --- shuffles ---


def shuffles(size: int, count: int) -> np.ndarray:
    """(count, size): so many shuffles of range(size), each position asked for by itself."""
    keys = np.repeat(counter.random_bits(counter.stream_key("shuffles", size), np.arange(count)), size)
    positions = np.tile(np.arange(size), count)
    return counter.permuted(keys, positions, np.full(len(positions), size)).reshape(count, size)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1_000])
def test_a_shuffle_has_each_thing_once(size: int) -> None:
    assert (np.sort(shuffles(size, 20)) == np.arange(size)).all()


@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_every_order_of_a_few_things_comes_equally_often(size: int) -> None:
    count, orders = 20_000, math.factorial(size)
    seen, observed = np.unique(shuffles(size, count), axis=0, return_counts=True)
    assert len(seen) == orders
    chi_square = ((observed - count / orders) ** 2 / (count / orders)).sum()
    assert abs(chi_square - (orders - 1)) < 5 * np.sqrt(2 * (orders - 1))


def test_neighbours_in_a_shuffle_lie_anywhere() -> None:
    size, count = 50, 4_000
    rows = shuffles(size, count)
    steps = np.bincount(((rows[:, 1:] - rows[:, :-1]) % size).ravel(), minlength=size)[1:]
    chi_square = ((steps - steps.mean()) ** 2 / steps.mean()).sum()
    assert abs(chi_square - (size - 2)) < 5 * np.sqrt(2 * (size - 2))
    order = np.stack([np.bincount(row, minlength=size) for row in rows.T])
    chi_square = ((order - count / size) ** 2 / (count / size)).sum()
    assert abs(chi_square - (size - 1) ** 2) < 5 * np.sqrt(2) * (size - 1)


def test_shuffles_are_what_they_were_in_the_first_release() -> None:
    keys = np.full(10, counter.stream_key("stored"), dtype=np.uint64)
    assert counter.permuted(keys, np.arange(10), np.full(10, 10)).tolist() == [2, 7, 1, 4, 8, 5, 0, 3, 9, 6]
