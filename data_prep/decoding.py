"""From a file to mono audio at one sample rate, in blocks: what a header claims is never believed."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import soundfile

from wavenet_pl.audio.resampling import Resampler
from wavenet_pl.files.foreign import open_file
from wavenet_pl.shards.format import SAMPLE_RATES

MAX_SOURCE_SECONDS = 4 * 3600.0
"""A longer source is refused: an hour at 16 kHz takes 230 MB while it is worked on."""
MAX_SOURCE_BYTES = 2**35
"""A file that is larger than four hours of many channels is a bomb: it would take minutes to read it to its end."""
CLIPPED_RUN = 3
"""So many samples in a row at full scale are clipped: the top of a wave that just reaches it is shorter."""
_FULL_SCALE = 32767 / 32768
_BLOCK = 2**18
_LONGEST_PAGE = 65_307  # bytes, of Ogg
_UNKNOWN_SIZE = 0x7FFF_F000  # what programs write into a WAV header when they cannot go back and mend it


class Unreadable(Exception):
    """A source that cannot be taken, why, and how many seconds of it were read."""

    def __init__(self, reason: str, seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.reason, self.seconds = reason, seconds


@dataclass(frozen=True)
class Decoded:
    """The decoded audio of one source, and what was measured while it was decoded."""

    audio: npt.NDArray[np.float32]
    """(samples,) at the wanted rate."""
    seconds: float
    """Length by the source's own clock."""
    sample_rate: int
    """Of the source."""
    channels: int
    clipped: float
    """Share of its samples, before anything was done to them, that are clipped."""


class _Sequential(soundfile.SoundFile):  # type: ignore[misc]
    """Reads straight on: soundfile seeks after every block, which fails in FLAC streams of unknown length."""

    def seekable(self) -> bool:
        return False


def decode_source(path: str, sample_rate: int) -> Decoded:
    """A file as mono float32 at `sample_rate`; channels are averaged.

    Raises:
        Unreadable: it is no audio, is cut short, is longer than `MAX_SOURCE_SECONDS`, or its header is absurd.
    """
    seconds = 0.0
    try:
        with _Sequential(os.fsencode(path)) as file:
            _check_header(file, path)
            resampler = Resampler(file.samplerate, sample_rate)
            blocks, frames, clipped = [], 0, 0
            while len(block := file.read(max(1, _BLOCK // file.channels), dtype="float32", always_2d=True)):
                frames += len(block)
                clipped += _count_clipped(block)
                seconds = frames / file.samplerate
                if seconds > MAX_SOURCE_SECONDS:
                    limit = MAX_SOURCE_SECONDS / 3600
                    raise Unreadable(f"longer than {limit:g} hours: cut it in several files", seconds)
                with np.errstate(all="ignore"):  # what is not finite is dropped by its own rule
                    mono = block[:, 0] if file.channels == 1 else block.mean(axis=1, dtype=np.float32)
                    blocks.append(resampler.push(mono))
            _check_length(file, frames)
            with np.errstate(all="ignore"):
                blocks.append(resampler.finish())
            audio = np.concatenate(blocks)
            return Decoded(audio, seconds, file.samplerate, file.channels, clipped / frames)
    except soundfile.SoundFileError as error:
        raise Unreadable(_reason(path, error), seconds) from None
    except OSError as error:
        raise Unreadable(str(error.strerror or error), seconds) from None
    except (TypeError, ValueError, MemoryError) as error:  # what soundfile makes of a header that is absurd
        raise Unreadable(f"cannot be decoded: {error}", seconds) from None


def hash_file(path: str) -> str:
    """sha256 of a file's content: to notice later that it has changed.

    Raises:
        Unreadable: it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with open_file(path) as file:
            if os.fstat(file.fileno()).st_size > MAX_SOURCE_BYTES:
                raise Unreadable(f"larger than {MAX_SOURCE_BYTES / 2**30:g} GiB: cut it in several files")
            while block := file.read(2**20):
                digest.update(block)
    except OSError as error:
        raise Unreadable(str(error.strerror or error)) from None
    return digest.hexdigest()


def _check_header(file: soundfile.SoundFile, path: str) -> None:
    if file.samplerate not in SAMPLE_RATES:
        raise Unreadable(
            f"its header says {file.samplerate} Hz, expected {SAMPLE_RATES.start} to {SAMPLE_RATES.stop - 1}"
        )
    if file.format == "WAV":
        # libsndfile takes what is there without a word; its log knows that the header promised more.
        sizes = re.search(r"^data\s*:\s*(\d+) \(should be (\d+)\)", file.extra_info, flags=re.MULTILINE)
        if sizes and int(sizes[2]) + 16 < int(sizes[1]) < _UNKNOWN_SIZE:
            raise Unreadable(f"cut short: its header says {sizes[1]} bytes of audio, {sizes[2]} are there")
    if file.format == "OGG" and not _ends(path):
        raise Unreadable("cut short: its last page is not the end of the stream")


def _count_clipped(block: npt.NDArray[np.float32]) -> int:
    """How many of the samples (frames, channels) are clipped in a channel."""
    if max(block.max(), -block.min()) < _FULL_SCALE:
        return 0
    level = np.abs(block)
    full = (level >= _FULL_SCALE) & (level <= 1)  # what a float file has above was not cut off there
    if not full.any():
        return 0
    reach = len(full) - CLIPPED_RUN + 1
    inside = np.zeros_like(full)
    runs = np.logical_and.reduce([full[at : at + reach] for at in range(CLIPPED_RUN)])
    for at in range(CLIPPED_RUN):
        inside[at : at + reach] |= runs
    return int(inside.any(axis=1).sum())


def _ends(path: str) -> bool:
    """Whether an Ogg stream says that it is over (RFC 3533: bit 2 of the last page's flags), or breaks off."""
    with open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - _LONGEST_PAGE))
        tail = file.read()
    page = tail.rfind(b"OggS")
    return page >= 0 and len(tail) > page + 5 and bool(tail[page + 5] & 4)


def _check_length(file: soundfile.SoundFile, frames: int) -> None:
    if frames == 0:
        raise Unreadable("no samples in it")
    missing = (file.frames - frames) / file.samplerate
    # A FLAC says how long it is, or nothing (a huge number); an MP3 says about how long.
    known = file.frames < 2**62
    if known and (
        (file.format == "FLAC" and missing > 0) or missing > 0.25 + 0.05 * frames / file.samplerate
    ):
        claimed, present = file.frames / file.samplerate, frames / file.samplerate
        raise Unreadable(f"cut short: its header says {claimed:.2f} s, {present:.2f} s are there", present)


def _reason(path: str, error: soundfile.SoundFileError) -> str:
    """Why a file cannot be read, in the words of libsndfile and without the path."""
    text = str(getattr(error, "error_string", "") or error).strip().rstrip(".")
    if not os.path.exists(path):
        return "no such file"
    if not os.access(path, os.R_OK):
        return "may not be read"
    if os.path.getsize(path) == 0:
        return "empty file"
    return f"cannot be decoded: {text}"
