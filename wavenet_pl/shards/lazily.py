"""Sequences whose items are made each time that they are looked at: all together they may be too large."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

T = TypeVar("T")


class Lazily(Sequence[T]):
    """Items that are made on demand. It equals any sequence of equal items.

    Args:
        count: how many there are.
        make: makes the one at a position.
    """

    def __init__(self, count: int, make: Callable[[int], T]) -> None:
        self._count, self._make = count, make

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, position: Any) -> Any:
        if isinstance(position, slice):
            return tuple(map(self._item, range(len(self))[position]))
        return self._item(range(len(self))[position])

    def __reduce__(self) -> tuple[Any, ...]:
        return tuple, (tuple(self),)  # another process is handed the items

    def _item(self, position: int) -> T:
        return self._make(position)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(
            ours == theirs for ours, theirs in zip(self, other, strict=True)
        )

    __hash__ = None  # type: ignore[assignment]  # equal tuples have hashes of their own


def picked(items: Sequence[T], positions: Sequence[int] | npt.NDArray[np.int64]) -> Sequence[T]:
    """The items at some positions, in this order."""
    return Lazily(len(positions), lambda position: items[positions[position]])
