"""The one reader of audio: any format, from any sample to the true end, whatever its header claims.

`prepare`, `index`, training, `adapt`, `generate` and the API all read through it: the same bytes are the same samples,
the same length and the same words everywhere.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from wavenet_pl.audio.claims import claimed_samples
from wavenet_pl.audio.decoder import Decoder
from wavenet_pl.audio.flac_frames import read_flac
from wavenet_pl.audio.formats import LONGEST_SECONDS
from wavenet_pl.audio.mpeg import read_mpeg
from wavenet_pl.audio.ogg import read_ogg
from wavenet_pl.audio.riff import read_riff
from wavenet_pl.audio.streams import Layout, Stream, Unreadable, read_at
from wavenet_pl.audio.tags import without_tags
from wavenet_pl.files.foreign import open_file

_OTHERS = (b"FORM", b"caff", b"riff", b"RF64", b"BW64", b"NIST", b".snd", b"Crea")
"""How formats begin that libsndfile is left alone with."""
_MISSING = {errno.ENOENT: "no such file", errno.EACCES: "may not be read", errno.EPERM: "may not be read"}


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
    def format(self) -> str:
        """Container and coding of that stream, in the words of libsndfile."""
        return self._decoder.format

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
        while len(block := self.read(sys.maxsize)):
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

    def _open(self, start: int, stop: int | None) -> Decoder:
        inside = start - self._before
        return Decoder(
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
    layout: Layout | None = None
    if mark[:4] == b"fLaC":
        layout = read_flac(file, start, end)
    elif mark[:4] == b"OggS":
        layout = read_ogg(file, start, end)
    elif mark[:4] in (b"RIFF", b"RIFX") and mark[8:] == b"WAVE":
        riff = read_riff(file, start, end)
        layout = read_mpeg(file, *riff) if isinstance(riff, tuple) else riff
    elif mark[:4] not in _OTHERS:
        layout = read_mpeg(file, start, end)
    return layout or Layout(streams=[Stream(pieces=[(0, size)], claimed=claimed_samples(file, mark))])
