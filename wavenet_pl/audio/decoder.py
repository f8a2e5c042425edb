"""One stream of audio through libsndfile, which is believed in nothing but the samples."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import soundfile

from wavenet_pl.audio.complaints import caught_complaints
from wavenet_pl.audio.formats import FULL_SCALES, SAMPLE_RATES
from wavenet_pl.audio.mpeg import MpegStream
from wavenet_pl.audio.streams import Spliced, Stream, Unreadable
from wavenet_pl.signals import interrupts_wait

BLOCK = 2**18
"""Numbers decoded at a time: samples of all channels."""
_BUFFER = 2**16
_BOUNDED = ("PCM_", "ULAW", "ALAW")
"""Samples that cannot pass full scale."""
_UNKNOWN = 2**62


class _Sequential(soundfile.SoundFile):  # type: ignore[misc]
    """Reads straight on. soundfile seeks after every block, which fails in FLAC streams of unknown length, and lets
    MP3 begin anew without what earlier frames keep for later ones: other samples, and a line on the terminal."""

    def seekable(self) -> bool:
        """Not after a block."""
        return False


class Decoder:
    """One stream, from a sample on.

    Args:
        file: that it is in.
        stream: where it is there.
        start: the first sample that is wanted.
        stop: the sample behind the last one, if that is known.
        flaws: what is odd about it is added.
    """

    def __init__(
        self, file: BinaryIO, stream: Stream, start: int, stop: int | None, flaws: dict[str, str]
    ) -> None:
        self._stream, self._flaws = stream, flaws
        file = stream.file or file
        self._spliced: Spliced | None = None
        self._peak, self._complaints = FULL_SCALES, 0
        excerpt = stream.excerpt(start, stop)
        source: BinaryIO | int = file
        size = file.seek(0, os.SEEK_END)
        if isinstance(file, io.BytesIO) and [*excerpt.pieces] == [(0, size)] and excerpt.least_bytes <= size:
            file.seek(0)  # as it is: crops of sound FLAC come by here, a thousand in a second
        else:
            self._spliced = Spliced(file, excerpt.pieces, excerpt.least_bytes)
            # Not for a crop, which needs little of the stream.
            memory = None if start else self._spliced.in_memory()
            source = io.BufferedReader(self._spliced, _BUFFER) if memory is None else memory
        self.at = 0
        """Number of the sample that comes next."""
        self._sample_rate = 1
        self._calls_back = not isinstance(source, int)
        self._sound = self._guarded(lambda: _Sequential(source))
        self._sample_rate, self.channels = self._sound.samplerate, self._sound.channels
        self._bounded = self._sound.subtype.startswith(_BOUNDED)
        try:
            self._check()
            if excerpt.seek:
                self.at = self._guarded(lambda: self._sound.seek(min(excerpt.seek, self._sound.frames)))
            self.at += start - excerpt.seek - excerpt.drop
            while self.at < start and len(self.read(start - self.at)):
                pass
        except BaseException:
            self.close()
            raise

    @property
    def sample_rate(self) -> int:
        """In Hz."""
        return self._sample_rate

    @property
    def format(self) -> str:
        """Container and coding, in the words of libsndfile."""
        return f"{self._sound.format} {self._sound.subtype}"

    def close(self) -> None:
        """Release the library's part."""
        self._sound.close()

    def read(self, most: int) -> npt.NDArray[np.float32]:
        """The next samples (N, channels), at most so many; none at the end."""
        stream, wanted = self._stream, min(most, max(1, BLOCK // self.channels))
        known = stream.length if stream.length is not None else stream.claimed
        if known is not None and self.at < known:
            wanted = min(wanted, known - self.at)
        elif stream.length is not None:
            wanted = 0
        dtype = "int32" if stream.whole_numbers else "float32"
        try:
            block = self._guarded(
                lambda: self._sound.read(wanted, dtype=dtype, always_2d=True), not_past=stream.claimed
            )
        except _BehindTheEnd:
            self._flaws["foreign bytes"] = "behind its end"
            return np.zeros((0, self.channels), np.float32)
        self.at += len(block)
        if stream.whole_numbers:
            block = (block / 2**31).astype(np.float32)
        if not self._bounded and len(block):
            with np.errstate(all="ignore"):
                peak = max(self._peak, float(block.max()), -float(block.min()))
            if peak > self._peak:
                self._peak = peak
                self._flaws["beyond full scale"] = f"a peak of {peak:.4g} times full scale"
        if not len(block):
            self._check_length()
        return np.asarray(block)

    def _guarded(self, work: Callable[[], Any], not_past: int | None = None) -> Any:
        """What the library does, and its errors in the words of this one.

        Args:
            work: of the library.
            not_past: a sample behind which an error is none: the stream is over there.
        """
        quiet: AbstractContextManager[list[str]] = nullcontext([])
        if isinstance(self._stream, MpegStream):
            quiet = caught_complaints()
        try:
            with quiet as spoken, interrupts_wait() if self._calls_back else nullcontext():
                result = work()
        except soundfile.SoundFileError as error:
            self._check_file()
            if not_past is not None and self.at >= not_past:
                raise _BehindTheEnd from None
            raise Unreadable(f"cannot be decoded: {_words(error)}", self._seconds) from None
        except (
            TypeError,
            ValueError,
            MemoryError,
        ) as error:  # what soundfile makes of a header that is absurd
            raise Unreadable(f"cannot be decoded: {error}", self._seconds) from None
        self._check_file()
        if spoken:
            self._complaints += len(spoken)
            self._flaws["broken frames"] = f"{self._complaints} of them"
        return result

    @property
    def _seconds(self) -> float:
        return self.at / self._sample_rate

    def _check_file(self) -> None:
        if self._spliced is not None and self._spliced.error is not None:
            raise self._spliced.error

    def _check(self) -> None:
        """Of what can be seen before anything is decoded."""
        if self._sample_rate not in SAMPLE_RATES:
            raise Unreadable(
                f"its header says {self._sample_rate} Hz, expected {SAMPLE_RATES.start} to {SAMPLE_RATES.stop - 1}"
            )

    def _check_length(self) -> None:
        """At the end: what was decoded against what was to come."""
        stream, seconds = self._stream, self._seconds
        if stream.length is not None:
            if self.at < stream.length:
                raise Unreadable(f"cannot be decoded behind {seconds:.2f} s", seconds)
            return
        claimed = stream.claimed
        if claimed is None and self._sound.frames < _UNKNOWN:
            claimed = self._sound.frames
        if claimed is None or self.at == claimed:
            return
        contradiction = f"its header says {claimed / self._sample_rate:.2f} s, {seconds:.2f} s are there"
        if self.at < claimed and self._sound.format != "OGG":  # whose pages say that none is missing
            raise Unreadable(f"cut short: {contradiction}", seconds, cut=True)
        self._flaws["length"] = contradiction


class _BehindTheEnd(Exception):
    """What cannot be decoded is not of the stream."""


def _words(error: soundfile.SoundFileError) -> str:
    """What the library says, less the address of the object that it read from: a message is the same every time."""
    text = str(getattr(error, "error_string", "") or error)
    return text.strip().removeprefix("Error : ").rstrip(".")
