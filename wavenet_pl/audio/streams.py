"""The streams of audio in a file: which bytes of it a decoder is given, and what is known without decoding."""

from __future__ import annotations

import io
import os
import shutil
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, BinaryIO

from wavenet_pl.files.shared import nameless_file

_SMALL = 2**26
"""Bytes of a stream that may be in memory as a whole."""
_COPIED = 2**18
Piece = bytes | tuple[int, int]
"""Bytes as they are, or (offset, size) in the file."""


class Unreadable(Exception):
    """Audio that cannot be taken, and why.

    Args:
        reason: in a few words, without the name of the file.
        seconds: that were read before.
        cut: whether its end is missing.
    """

    def __init__(self, reason: str, seconds: float = 0.0, *, cut: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.seconds, self.cut = reason, seconds, cut


@dataclass(frozen=True, kw_only=True)
class Excerpt:
    """What a decoder reads to give the samples of a stream from one of them on."""

    pieces: Sequence[Piece]
    seek: int = 0
    """Where the decoder begins, in samples. Only of formats in which it finds that sample exactly."""
    drop: int = 0
    """Samples that it then gives first, and that are not wanted."""
    least_bytes: int = 0
    """The size that the decoder is shown at least; zeros follow what there is. A length that is estimated from it is
    no shorter than the true one."""


@dataclass(frozen=True, kw_only=True)
class Stream:
    """One stream, which begins with a header of its own.

    This one is decoded from its beginning on, whatever is wanted of it; formats that can do better override `excerpt`.
    """

    pieces: Sequence[Piece]
    """Without anything that a decoder would believe and should not."""
    file: BinaryIO | None = None
    """What the pieces are of; None where that is the file itself."""
    length: int | None = None
    """Samples that are there, where that can be counted without decoding."""
    claimed: int | None = None
    """Samples that its header claims; None where it claims nothing."""
    whole_numbers: bool = False
    """Whether it is read as 32-bit integers: libsndfile turns FLAC of 32 bits upside down where it is to be floats."""

    def excerpt(self, start: int, stop: int | None) -> Excerpt:
        """How samples start to stop - 1 are read; None is the end."""
        return Excerpt(pieces=self.pieces, drop=start)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What a file of audio consists of."""

    streams: Sequence[Stream]
    """At least one, in the order in which they are heard."""
    flaws: dict[str, str] = field(default_factory=dict)
    """Of `formats.ODDITIES`, with what was found."""


class Spliced(io.RawIOBase):
    """Pieces as one file.

    A decoder that calls back from C cannot pass on an OSError: it is kept in `error`, and the file ends there.
    """

    def __init__(self, file: BinaryIO, pieces: Sequence[Piece], least_bytes: int = 0) -> None:
        self._file, self._pieces = file, pieces
        self._ends = list(
            accumulate(len(piece) if isinstance(piece, bytes) else piece[1] for piece in pieces)
        )
        self._filled = self._ends[-1]
        self._size = max(self._filled, least_bytes)
        self._at = 0
        self.error: OSError | None = None

    def in_memory(self) -> int | None:
        """A descriptor of all of it in memory, which the caller closes; None where it is large.

        A decoder that asks for a few bytes at a time is faster with it than with a file that Python stands for.
        """
        if self._size > _SMALL:
            return None
        with nameless_file() as memory:
            shutil.copyfileobj(self, memory, _COPIED)
            memory.seek(0)
            return os.dup(memory.fileno())

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """Where it is."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go somewhere."""
        self._at = max(0, offset + (0, self._at, self._size)[whence])
        return self._at

    def readinto(self, buffer: Any) -> int:
        """The next bytes, up to the end of a piece."""
        wanted = memoryview(buffer)
        if self._at >= self._filled:
            count = max(0, min(len(wanted), self._size - self._at))
            wanted[:count] = bytes(count)
        else:
            number = bisect_right(self._ends, self._at)
            piece, left = self._pieces[number], self._ends[number] - self._at
            wanted = wanted[:left]
            if isinstance(piece, bytes):
                count = len(wanted)
                wanted[:] = piece[len(piece) - left :][:count]
            else:
                try:
                    self._file.seek(piece[0] + piece[1] - left)
                    count = self._file.readinto(wanted)  # type: ignore[attr-defined]
                except OSError as error:
                    self.error, count = error, 0
        self._at += count
        return int(count)


def read_at(file: BinaryIO, offset: int, size: int) -> bytes:
    """Some bytes, or fewer at the end."""
    file.seek(offset)
    return file.read(size)
