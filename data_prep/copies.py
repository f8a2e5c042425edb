"""Copies: recordings with the same audio, whatever their files are called and how they are stored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from wavenet_pl.shards.index import SPLITS

Row = Mapping[str, Any]


class Original(NamedTuple):
    """The recording that others are copies of."""

    split: str
    source: str


class Copies:
    """Which recordings of a set are copies.

    What a shard holds of a recording depends on its audio alone: where length, levels and the size and checksum of the
    encoded audio agree, the audio does. The split that is used latest has the original: what is validated on or tested
    with is not trained on. Within a split the first one is the original.

    Args:
        recordings: gives (split, recording as the record of its shard has it) of the whole set, in the order of the
            plan. It is called twice, so that nothing is kept of the many that are no copies but eight bytes.
    """

    def __init__(self, recordings: Callable[[], Iterable[tuple[str, Row]]]) -> None:
        numbers = np.fromiter((hash(_audio(row)) for _, row in recordings()), np.int64)
        numbers.sort()
        repeated = set(numbers[1:][numbers[1:] == numbers[:-1]].tolist())
        self._originals: dict[object, Original] = {}
        for split, row in recordings() if repeated else ():
            audio = _audio(row)
            if hash(audio) not in repeated:
                continue
            known = self._originals.get(audio)
            if known is None or SPLITS.index(known.split) < SPLITS.index(split):
                self._originals[audio] = Original(split, row["source"])

    def original_of(self, row: Row) -> Original | None:
        """What a recording is a copy of; None where it is the original, or a part of the same source."""
        original = self._originals.get(_audio(row))
        return original if original and original.source != row["source"] else None


def _audio(row: Row) -> tuple[float, ...]:
    _, size, checksum = row["members"]["flac"]
    return row["frames"], size, checksum, row["peak"], row["rms"]
