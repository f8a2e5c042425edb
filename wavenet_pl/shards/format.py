"""The shard entry: `KEY.flac`, arrays of frames and `KEY.json` in a plain tar; its writer beside its reader."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from wavenet_pl.errors import BadDataError
from wavenet_pl.files.durable import replacing
from wavenet_pl.files.shared import nameless_file
from wavenet_pl.shards.arrays import encode_array

if TYPE_CHECKING:
    from wavenet_pl.audio.decoding import AudioReader

MAX_AUDIO_BYTES = 2**28
"""A member larger than this is no recording of a minute: refused before it is read."""
MAX_SECONDS = 3_600
"""A recording longer than this is no recording but a bomb, or should be cut: refused before it is decoded."""
BLOCK_SAMPLES = 2**18
"""Decoded at a time."""
BLOCK = 512
"""Bytes of a tar header, which stands before the content of its member."""
LONGEST_NAME = 100
"""Longer names may stand elsewhere: in front of this header, or in two parts."""

_KEY = re.compile(r"[A-Za-z0-9_\-]+(/[A-Za-z0-9_\-]+)*")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One recording, ready to be written."""

    key: str
    audio: npt.NDArray[np.int16]
    """(frames,), mono."""
    sample_rate: int
    metadata: dict[str, Any] = field(default_factory=dict)
    """Primitives only: names of tables, text, source, start."""
    arrays: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    """Name of frames -> stored frames (N, F)."""


class Span(NamedTuple):
    """The bytes of a shard that hold the content of a member, and a checksum of them."""

    offset: int
    """First byte."""
    size: int
    crc32: int
    """Of the content: a bit that flips later is noticed, in WAV as well, which has no checksum of its own."""


@dataclass(frozen=True)
class WrittenShard:
    """A finished shard: what the index has to say of it."""

    bytes: int
    sha256: str
    members: tuple[dict[str, Span], ...]
    """For each entry in turn, extension -> span of that member's content."""


def check_key(key: str) -> None:
    """A key is letters, digits, `_` and `-`, with `/` between parts: webdataset cuts it at the first dot.

    Raises:
        BadDataError: it is not.
    """
    if not _KEY.fullmatch(key):
        raise BadDataError(
            f"the key {key!r:.80} has other signs than letters, digits, _ and -, with / between parts",
            "bad key",
        )


class ShardWriter:
    """Writes one shard with the same bytes every time. It appears under its name only when it is whole and on disk.

    ``with ShardWriter(path) as writer: writer.write(entry)``; afterwards `written` describes the shard. Where the block
    raises, nothing is left behind.

    Args:
        path: of the shard.
        arrays: names of the frames that every entry has.
    """

    written: WrittenShard

    def __init__(self, path: str | os.PathLike[str], arrays: Iterable[str] = ()) -> None:
        self.path = Path(path)
        self.arrays = sorted(arrays)
        self._target = replacing(self.path)
        self._members: dict[str, dict[str, Span]] = {}
        self._digest, self._size = hashlib.sha256(), 0

    def __enter__(self) -> ShardWriter:
        self._file = self._target.__enter__()
        return self

    def write(self, entry: Entry) -> None:
        """Append one recording.

        Raises:
            BadDataError: its key has a dot or other signs that a tar reader trips over, or was written before.
        """
        assert sorted(entry.arrays) == self.arrays, (entry.key, sorted(entry.arrays), self.arrays)
        metadata = {**entry.metadata, "frames": len(entry.audio), "sample_rate": entry.sample_rate}
        text = json.dumps(metadata, ensure_ascii=False, sort_keys=True, allow_nan=False)
        members = {
            "flac": encode_audio(entry.audio, entry.sample_rate),
            **{f"{name}.npy": encode_array(entry.arrays[name]) for name in self.arrays},
            "json": text.encode(),
        }
        self.write_members(entry.key, members)

    def write_members(self, key: str, members: Mapping[str, bytes]) -> None:
        """Append one recording as another shard has it: extension -> content; what it raises is as of `write`."""
        check_key(key)
        if key in self._members:
            raise BadDataError(
                f"{key} is in {self.path.name} twice, expected each key once; rename one of the two"
            )
        self._members[key] = {
            extension: self._append(f"{key}.{extension}", members[extension]) for extension in sorted(members)
        }

    def _append(self, name: str, content: bytes) -> Span:
        """A member as webdataset's own writer makes it; importing that would take longer than many a shard."""
        member = tarfile.TarInfo(name)
        member.size, member.mode = len(content), 0o444
        member.uname = member.gname = "bigdata"
        self._put(member.tobuf(tarfile.USTAR_FORMAT))
        offset = self._size
        self._put(content, bytes(-len(content) % BLOCK))
        return Span(offset, len(content), zlib.crc32(content))

    def _put(self, *pieces: bytes) -> None:
        for piece in pieces:
            self._file.write(piece)
            self._digest.update(piece)
            self._size += len(piece)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._put(bytes(2 * BLOCK))  # the end of a tar, which is as long as whole records
                self._put(bytes(-self._size % tarfile.RECORDSIZE))
                self.written = WrittenShard(
                    self._size, self._digest.hexdigest(), tuple(self._members.values())
                )
        except BaseException as failure:
            self._target.__exit__(type(failure), failure, failure.__traceback__)
            raise
        self._target.__exit__(kind, error, trace)


def read_member(data: bytes, key: str, extension: str, span: Span) -> bytes:
    """The content of a member, checked against its tar header and the checksum in the index.

    An index that is older than its shard would otherwise point at other recordings, or at parts of them.

    Args:
        data: of the shard, from a block before the span to its end.
        key: of the recording.
        extension: of the member.
        span: what the index says.

    Raises:
        BadDataError: it is cut, not there, or changed.
    """
    if len(data) != BLOCK + span.size:
        raise BadDataError(f"has {max(len(data) - BLOCK, 0)} bytes, expected {span.size}", "cut shard")
    content = data[BLOCK:]
    same = zlib.crc32(content) == span.crc32
    wanted = f"{key}.{extension}"
    try:
        member = tarfile.TarInfo.frombuf(data[:BLOCK], "utf-8", "surrogateescape")
    except (tarfile.TarError, ValueError):
        kind = "broken header" if same else "moved"
        raise BadDataError(f"has no tar header before it, expected that of {wanted!r:.80}", kind) from None
    name = member.name
    while name.startswith("./"):
        name = name[2:].lstrip("/")
    stem, _, last = name.partition(".")
    # Where a name is too long for this header, another one before it has the rest.
    fits = (stem, last.lower()) == (key, extension)
    if len(wanted) > LONGEST_NAME:
        fits = wanted.lower().startswith(name.lower())
    if not name or not fits or member.size != span.size:
        raise BadDataError(
            f"is not where the index says: found {member.name!r:.80} with {member.size} bytes, expected {wanted!r:.80} "
            f"with {span.size}",
            "moved",
        )
    if not same:
        raise BadDataError("has other bytes than the index says (CRC-32)", "changed")
    return content


def encode_audio(audio: npt.NDArray[np.int16], sample_rate: int) -> bytes:
    """Mono 16-bit audio (frames,) as a FLAC file."""
    import soundfile

    assert audio.dtype == np.int16 and audio.ndim == 1, (audio.dtype, audio.shape)
    with nameless_file() as file:  # the library writes small pieces, which a file of Python's own makes slow
        soundfile.write(os.dup(file.fileno()), audio, sample_rate, format="FLAC", subtype="PCM_16")
        return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0)


@contextmanager
def open_member(data: bytes, start: int = 0, stop: int | None = None) -> Iterator[AudioReader]:
    """A reader of the audio in a member, from `start` on; what is wrong with it comes as bad data.

    Raises:
        BadDataError: it is no audio, is cut, or its header is absurd.
    """
    from wavenet_pl.audio.decoding import AudioReader
    from wavenet_pl.audio.streams import Unreadable

    try:
        with AudioReader(io.BytesIO(data), start, stop) as reader:
            yield reader
    except Unreadable as error:
        raise BadDataError(
            f"cannot be read ({error.reason})", "cut audio" if error.cut else "audio"
        ) from None


def decode_audio(
    data: bytes, start: int = 0, stop: int | None = None, *, sample_rate: int | None = None
) -> npt.NDArray[np.float32]:
    """Samples start to stop - 1 of a mono audio file as float32 in [-1, 1], the same as of the whole.

    Args:
        data: the file.
        start: first sample.
        stop: None for its end.
        sample_rate: what it has to be, in Hz; None for any.

    Raises:
        BadDataError: it cannot be decoded, ends before `stop`, is not mono, not finite or has another sample rate.
    """
    with open_member(data, start, stop) as reader:
        if sample_rate not in (None, reader.sample_rate):
            raise BadDataError(f"has {reader.sample_rate} Hz, expected {sample_rate}", "sample rate")
        check_mono(reader)
        blocks = []
        while stop is None or reader.at < stop:
            block = reader.read(BLOCK_SAMPLES if stop is None else stop - reader.at)
            check_mono(reader)  # a later stream may have other channels
            if not len(block):
                break
            blocks.append(block)
        if stop is not None and reader.at < stop:
            raise BadDataError(f"ends at sample {reader.at}, expected {stop}", "cut audio")
    audio = np.concatenate(blocks)[:, 0] if blocks else np.zeros(0, np.float32)
    check_finite(audio)
    return audio


def check_mono(reader: AudioReader) -> None:
    """Refuse audio of several channels.

    Raises:
        BadDataError: it has them.
    """
    if reader.channels != 1:
        raise BadDataError(f"has {reader.channels} channels, expected 1", "channels")


def check_finite(audio: npt.NDArray[np.float32]) -> None:
    """Refuse samples that are no numbers.

    Raises:
        BadDataError: there are some.
    """
    if not np.isfinite(audio).all():
        raise BadDataError("has samples that are no numbers, expected finite audio", "not finite")


def read_metadata(data: bytes) -> dict[str, Any]:
    """The JSON member of an entry.

    Raises:
        BadDataError: it is not a JSON object.
    """
    try:
        metadata = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadDataError(f"has broken JSON ({error}), expected an object", "broken JSON") from None
    if not isinstance(metadata, dict):
        raise BadDataError(f"has JSON that is a {type(metadata).__name__}, expected an object", "broken JSON")
    return metadata
