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


def stream_key(*parts: int | str) -> int:
    """A 64-bit key for the stream that the parts name, such as ``stream_key("crop", seed, epoch)``.

    Parts of other types, order or grouping give another key: ("ab",) is not ("a", "b"), and 1 is not "1".

    Raises:
        TypeError: a part is neither an integer nor a string.
    """
    texts = [f"s{part}" if isinstance(part, str) else f"i{operator.index(part)}" for part in parts]
    message = "".join(f"{len(text)}:{text}" for text in texts)
    return int.from_bytes(hashlib.sha256(message.encode()).digest()[:8], "big")


def random_bits(key: int, counters: npt.ArrayLike) -> npt.NDArray[np.uint64]:
    """64 random bits for each counter.

    Args:
        key: 64-bit key, from `stream_key`.
        counters: integers from 0, of any shape.

    Returns:
        uint64 of the same shape.
    """
    counter = np.asarray(counters)
    assert counter.dtype.kind in "iu", counter.dtype
    assert counter.size == 0 or counter.min() >= 0, counter.min()
    with np.errstate(over="ignore"):  # arithmetic is modulo 2**64
        bits = np.uint64(key) + (counter.astype(np.uint64) + np.uint64(1)) * GOLDEN_GAMMA
        bits = (bits ^ (bits >> np.uint64(30))) * MIX_1
        bits = (bits ^ (bits >> np.uint64(27))) * MIX_2
        return np.asarray(bits ^ (bits >> np.uint64(31)))


def uniforms(key: int, counters: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """A float64 in [0, 1) for each counter, all 53 bits of it random; arguments as in `random_bits`."""
    return np.asarray((random_bits(key, counters) >> np.uint64(11)) * 2.0**-53)
