"""The one reader of audio: any format, from any sample to the true end, whatever its header claims.

`prepare`, `index`, training, `adapt`, `generate` and the API all read through it: the same bytes are the same samples,
the same length and the same words everywhere.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import soundfile

from wavenet_pl.audio.claims import claimed_samples
from wavenet_pl.audio.complaints import caught_complaints
from wavenet_pl.audio.flac_frames import read_flac
from wavenet_pl.audio.formats import FULL_SCALES, LONGEST_SECONDS, SAMPLE_RATES
from wavenet_pl.audio.mpeg import MpegStream, read_mpeg
from wavenet_pl.audio.ogg import read_ogg
from wavenet_pl.audio.riff import read_riff
from wavenet_pl.audio.streams import Layout, Spliced, Stream, Unreadable, read_at
from wavenet_pl.audio.tags import without_tags
from wavenet_pl.files.foreign import open_file

_BLOCK = 2**18
"""Numbers decoded at a time: samples of all channels."""
_BUFFER = 2**16
_OTHERS = (b"FORM", b"caff", b"riff", b"RF64", b"BW64", b"NIST", b".snd", b"Crea")
"""How formats begin that libsndfile is left alone with."""
_BOUNDED = ("PCM_", "ULAW", "ALAW")
"""Samples that cannot pass full scale."""
_UNKNOWN = 2**62
_MISSING = {errno.ENOENT: "no such file", errno.EACCES: "may not be read", errno.EPERM: "may not be read"}


class _Sequential(soundfile.SoundFile):  # type: ignore[misc]
    """Reads straight on. soundfile seeks after every block, which fails in FLAC streams of unknown length, and lets
    MP3 begin anew without what earlier frames keep for later ones: other samples, and a line on the terminal."""

    def seekable(self) -> bool:
        """Not after a block."""
        return False


class _Decoder:
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
        source: BinaryIO = file
        size = file.seek(0, os.SEEK_END)
        if isinstance(file, io.BytesIO) and [*excerpt.pieces] == [(0, size)] and excerpt.least_bytes <= size:
            file.seek(0)  # as it is: crops of sound FLAC come by here, a thousand in a second
        else:
            self._spliced = Spliced(file, excerpt.pieces, excerpt.least_bytes)
            source = io.BufferedReader(self._spliced, _BUFFER)
        self.at = 0
        """Number of the sample that comes next."""
        self._sample_rate = 1
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

    def close(self) -> None:
        """Release the library's part."""
        self._sound.close()

    def read(self, most: int) -> npt.NDArray[np.float32]:
        """The next samples (N, channels), at most so many; none at the end."""
        stream, wanted = self._stream, min(most, max(1, _BLOCK // self.channels))
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
        spoken: list[str] = []
        try:
            with caught_complaints() if isinstance(self._stream, MpegStream) else nullcontext([]) as spoken:
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


class AudioReader:
    """Audio of a file, decoded sample by sample to its end.

    Args:
        file: of bytes, at any position; it stays open.
        start: the first sample that is wanted.
        stop: the sample behind the last one, if that is known: with it some formats find `start` faster.

    Raises:
        Unreadable: it is no audio, is cut short, or its header is absurd.
        OSError: the file cannot be read.
    """

    def __init__(self, file: BinaryIO, start: int = 0, stop: int | None = None) -> None:
        size = file.seek(0, os.SEEK_END)
        if size == 0:
            raise Unreadable("empty file")
        layout = _lay_out(file, size)
        self.flaws: dict[str, str] = dict(layout.flaws)
        """Of `formats.ODDITIES`, with what was found; complete once the end is reached."""
        if len(layout.streams) > 1:
            self.flaws["joined"] = f"{len(layout.streams)} streams"
        self._file, self._left = file, list(layout.streams)
        self._before = 0
        while (
            len(self._left) > 1
            and self._left[0].length is not None
            and self._before + self._left[0].length <= start
        ):
            self._before += self._left.pop(0).length or 0
        self._decoder = self._open(start, stop)
        self.sample_rate = self._decoder.sample_rate
        while self._left and self.at < start:
            if not len(self.read(start - self.at)):
                break

    def __enter__(self) -> AudioReader:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the decoder."""
        self._decoder.close()

    @property
    def at(self) -> int:
        """Number of the sample that comes next."""
        return self._before + self._decoder.at

    @property
    def channels(self) -> int:
        """Of the stream that is read; a later one may have others."""
        return self._decoder.channels

    @property
    def seconds(self) -> float:
        """Up to the sample that comes next."""
        return self.at / self.sample_rate

    def blocks(self) -> Iterator[npt.NDArray[np.float32]]:
        """All that is left, in blocks (samples, channels) of full scale 1.

        Raises:
            Unreadable: there is less than the header says, or it cannot be decoded.
            OSError: the file cannot be read.
        """
        while len(block := self.read(_BLOCK)):
            yield block

    def read(self, most: int) -> npt.NDArray[np.float32]:
        """The next samples (N, channels), at most so many and not more than a block; none at the end.

        Raises:
            Unreadable: there is less than the header says, or it cannot be decoded.
            OSError: the file cannot be read.
        """
        try:
            while not len(block := self._decoder.read(most)) and self._left:
                self.close()
                self._before += self._decoder.at
                self._decoder = self._open(self._before, None)
                if self._decoder.sample_rate != self.sample_rate:
                    raise Unreadable(
                        f"goes on at {self._decoder.sample_rate} Hz, after {self.sample_rate} Hz: cut it in two"
                    )
            if self.seconds > LONGEST_SECONDS:
                raise Unreadable(f"longer than {LONGEST_SECONDS / 3600:g} hours: cut it in several files")
        except Unreadable as error:
            raise Unreadable(error.reason, self.seconds, cut=error.cut) from None
        return block

    def _open(self, start: int, stop: int | None) -> _Decoder:
        inside = start - self._before
        return _Decoder(
            self._file, self._left.pop(0), inside, None if stop is None else stop - self._before, self.flaws
        )


@contextmanager
def open_audio(path: str | os.PathLike[str]) -> Iterator[AudioReader]:
    """A reader of an audio file, which is closed afterwards.

    Raises:
        Unreadable: it is no file that can be read, no audio, cut short, or its header is absurd.
    """
    try:
        with open_file(path) as file, AudioReader(file) as reader:
            yield reader
    except OSError as error:
        raise Unreadable(_MISSING.get(error.errno or 0, error.strerror or str(error))) from None


def _lay_out(file: BinaryIO, size: int) -> Layout:
    start, end = without_tags(file, size)
    mark = read_at(file, start, 12)
    layout: Layout | tuple[int, int] | None = None
    if mark[:4] == b"fLaC":
        layout = read_flac(file, start, end)
    elif mark[:4] == b"OggS":
        layout = read_ogg(file, start, end)
    elif mark[:4] in (b"RIFF", b"RIFX") and mark[8:] == b"WAVE":
        layout = read_riff(file, start, end)
        if isinstance(layout, tuple):
            layout = read_mpeg(file, *layout)
    elif mark[:4] not in _OTHERS:
        layout = read_mpeg(file, start, end)
    return layout or Layout(streams=[Stream(pieces=[(0, size)], claimed=claimed_samples(file, mark))])


def _words(error: soundfile.SoundFileError) -> str:
    """What the library says, less the address of the object that it read from: a message is the same every time."""
    text = str(getattr(error, "error_string", "") or error)
    return text.strip().removeprefix("Error : ").rstrip(".")
