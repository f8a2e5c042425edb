"""Counter-based random numbers: a pure function of (key, counter), the same on every machine.

The generator is splitmix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators",
OOPSLA 2014) read by position: number n of key k is output n of the sequence seeded with k. Nothing is
consumed, so neither order, batching nor process changes a number, and no release of numpy or torch can.
"""

from __future__ import annotations

import hashlib
import operator

import numpy as np
import numpy.typing as npt

GOLDEN_GAMMA = np.uint64(0x9E3779B97F4A7C15)
MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
MIX_2 = np.uint64(0x94D049BB133111EB)
"""What the counters are multiplied with, for who computes the same numbers on another device."""
_BACK = tuple(np.uint64(pow(int(factor), -1, 2**64)) for factor in (MIX_2, MIX_1, GOLDEN_GAMMA))
"""What undoes these products, the last one first."""
_AT_ONCE = 2**16
"""Numbers that are worked on at once, so that they stay in a core's cache."""
_ROUNDS = 16
"""Of `permuted`: with 8 some orders of five things come more often than others, with 16 none does in 40,000."""


def stream_key(*parts: int | str) -> int:
    """A 64-bit key for the stream that the parts name, such as ``stream_key("crop", seed, epoch)``.

    Parts of other types, order or grouping give another key: ("ab",) is not ("a", "b"), and 1 is not "1".

    Raises:
        TypeError: a part is neither an integer nor a string.
    """
    texts = [f"s{part}" if isinstance(part, str) else f"i{operator.index(part)}" for part in parts]
    message = "".join(f"{len(text)}:{text}" for text in texts)
    return int.from_bytes(hashlib.sha256(message.encode()).digest()[:8], "big")


def random_bits(key: int | npt.NDArray[np.uint64], counters: npt.ArrayLike) -> npt.NDArray[np.uint64]:
    """64 random bits for each counter.

    Args:
        key: 64-bit key, from `stream_key`; or one for each counter.
        counters: integers from 0, of any shape.

    Returns:
        uint64 of the same shape.
    """
    counter = np.asarray(counters)
    assert counter.dtype.kind in "iu", counter.dtype
    assert counter.size == 0 or counter.min() >= 0, counter.min()
    with np.errstate(over="ignore"):  # arithmetic is modulo 2**64
        bits = np.asarray(key, dtype=np.uint64) + (counter.astype(np.uint64) + np.uint64(1)) * GOLDEN_GAMMA
        bits = (bits ^ (bits >> np.uint64(30))) * MIX_1
        bits = (bits ^ (bits >> np.uint64(27))) * MIX_2
        return np.asarray(bits ^ (bits >> np.uint64(31)))


def uniforms(key: int, counters: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """A float64 in [0, 1) for each counter, all 53 bits of it random; arguments as in `random_bits`."""
    return np.asarray((random_bits(key, counters) >> np.uint64(11)) * 2.0**-53)


def shuffled(key: int, size: int) -> npt.NDArray[np.int64]:
    """range(size) in the order of its random bits.

    All bits of a key differ, as each step of the generator can be undone. So the bits alone are sorted, which is ten
    times faster than to sort places by them, and then say themselves where they come from.
    """
    numbers = np.empty(size, np.uint64)
    for at in range(0, size, _AT_ONCE):
        numbers[at : at + _AT_ONCE] = random_bits(key, np.arange(at, min(at + _AT_ONCE, size)))
    numbers.sort()
    for at in range(0, size, _AT_ONCE):
        numbers[at : at + _AT_ONCE] = _counters(key, numbers[at : at + _AT_ONCE])
    return numbers.view(np.int64)


def _counters(key: int, bits: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The counters that have these bits: `random_bits` backwards."""
    one, two, three = (np.uint64(shift) for shift in (31, 27, 30))
    with np.errstate(over="ignore"):
        bits = (bits ^ (bits >> one) ^ (bits >> (one + one))) * _BACK[0]
        bits = (bits ^ (bits >> two) ^ (bits >> (two + two))) * _BACK[1]
        bits = bits ^ (bits >> three) ^ (bits >> (three + three))
        return np.asarray((bits - np.uint64(key)) * _BACK[2] - np.uint64(1))


def permuted(
    keys: npt.NDArray[np.uint64], positions: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """What comes at a position when range(size) is shuffled, without shuffling the rest.

    A Feistel network over a rectangle of at least `size` cells, gone through again until a cell counts (Black and
    Rogaway, "Ciphers with Arbitrary Finite Domains", CT-RSA 2002). So one position of a billion costs as much as one of
    ten.

    Args:
        keys: (M,) of the shuffles.
        positions: (M,) from 0, below the size.
        sizes: (M,) of the shuffles.

    Returns:
        (M,) from 0, below the size: each once for all positions of a key and size.
    """
    width = np.sqrt(sizes - 1).astype(np.int64) + 1
    height = -(-sizes // width)
    cells = positions.copy()
    walking = np.arange(len(cells))
    while len(walking):
        key, across, down = keys[walking], width[walking], height[walking]
        row, column = np.divmod(cells[walking], across)
        for number in range(0, _ROUNDS, 2):
            column = _turned(column, across, key, number, row)
            row = _turned(row, down, key, number + 1, column)
        cells[walking] = row * across + column
        walking = walking[cells[walking] >= sizes[walking]]
    return cells


def _turned(
    values: npt.NDArray[np.int64],
    modulus: npt.NDArray[np.int64],
    key: npt.NDArray[np.uint64],
    number: int,
    others: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]:
    """Values turned by random amounts, the same ones for the same others."""
    draws = random_bits(key, (number << 40) + others) % modulus.astype(np.uint64)
    return (values + draws.astype(np.int64)) % modulus
