"""From a file to mono audio at one sample rate, in blocks: what a header claims is never believed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from wavenet_pl.audio.channels import ChannelLevels, ChannelMeter
from wavenet_pl.audio.decoding import AudioReader, open_audio
from wavenet_pl.audio.reading import read_mono
from wavenet_pl.audio.streams import Unreadable
from wavenet_pl.files.foreign import open_file

MAX_SOURCE_BYTES = 2**35
"""A file that is larger than four hours of many channels is a bomb: it would take minutes to read it to its end."""


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
    format: str
    """Container and coding, in the words of libsndfile."""
    levels: ChannelLevels
    """Of its samples before anything was done to them."""
    flaws: Mapping[str, str] = field(default_factory=dict)
    """Of `audio.formats.ODDITIES`, with what was found."""


def decode_source(path: str, sample_rate: int) -> Decoded:
    """A file as mono float32 at `sample_rate`; channels are averaged.

    Raises:
        Unreadable: it is no audio, is cut short, is too long, or its header is absurd.
    """
    with open_audio(path) as reader:
        return decode(reader, sample_rate)


def decode(reader: AudioReader, sample_rate: int) -> Decoded:
    """All that a reader has, as `decode_source`; so a member of an archive is decoded like a file.

    Raises:
        Unreadable: as `decode_source`.
    """
    channels, kind, meter = reader.channels, reader.format, ChannelMeter(reader.channels)
    audio = read_mono(reader, sample_rate, meter.push)
    return Decoded(
        audio, reader.seconds, reader.sample_rate, channels, kind, meter.levels(), flaws=reader.flaws
    )


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
