"""The shard entry: `KEY.flac` and `KEY.json` in a plain tar, its writer and its reader side by side."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from wavenet_pl.errors import BadDataError

AUDIO_EXTENSIONS = ("flac", "wav", "ogg", "mp3")
"""What a shard may hold as audio. `prepare` writes the first; the others are read from shards made elsewhere."""
MAX_AUDIO_BYTES = 2**28
"""A member larger than this is no recording of a minute: refused before it is read."""
BLOCK = 512
"""Bytes of a tar header, which stands before the content of its member."""
LONGEST_NAME = 100
"""Longer names may stand elsewhere: in front of this header, or in two parts."""
SAMPLE_RATES = range(1_000, 768_001)
"""Sample rates that are audio in Hz. A header that says 1 Hz would turn seconds into hours."""

_KEY = re.compile(r"[A-Za-z0-9_\-]+(/[A-Za-z0-9_\-]+)*")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One recording, ready to be written."""

    key: str
    audio: npt.NDArray[np.int16]
    """(frames,), mono."""
    sample_rate: int
    metadata: dict[str, Any] = field(default_factory=dict)
    """Primitives only: speaker, tags, text, source, start."""


@dataclass(frozen=True)
class AudioInfo:
    """What the header of an audio member says."""

    frames: int
    sample_rate: int
    channels: int


@dataclass(frozen=True)
class WrittenShard:
    """A finished shard: what the index has to say of it."""

    bytes: int
    sha256: str
    members: tuple[dict[str, tuple[int, int]], ...]
    """For each entry in turn, extension -> (offset, size) in bytes."""


def check_key(key: str, where: str) -> None:
    """A key is letters, digits, `_` and `-`, with `/` between parts: webdataset cuts it at the first dot.

    Raises:
        BadDataError: it is not.
    """
    if not _KEY.fullmatch(key):
        raise BadDataError(
            f"{where} has the key {key!r:.80}, expected letters, digits, _ and -, with / between; a dot would merge "
            "recordings: rename it"
        )


class ShardWriter:
    """Writes one shard with the same bytes every time. It appears under its name only when it is whole and on disk.

    ``with ShardWriter(path) as writer: writer.write(entry)``; afterwards `written` describes the shard. Where the block
    raises, nothing is left behind.
    """

    written: WrittenShard

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
        self._keys: set[str] = set()

    def __enter__(self) -> ShardWriter:
        from webdataset.writer import TarWriter

        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(self._temporary, "w+b")
        self._tar = TarWriter(self._file, encoder=False, mtime=0, format=tarfile.USTAR_FORMAT)
        return self

    def write(self, entry: Entry) -> None:
        """Append one recording.

        Raises:
            BadDataError: its key has a dot or other signs that a tar reader trips over, or was written before.
        """
        where = f"{entry.key} in {self.path.name}"
        check_key(entry.key, where)
        if entry.key in self._keys:
            raise BadDataError(f"{where} is there twice, expected each key once; rename one of the two")
        self._keys.add(entry.key)
        metadata = {**entry.metadata, "frames": len(entry.audio), "sample_rate": entry.sample_rate}
        text = json.dumps(metadata, ensure_ascii=False, sort_keys=True, allow_nan=False)
        self._tar.write(
            {
                "__key__": entry.key,
                "flac": encode_audio(entry.audio, entry.sample_rate),
                "json": text.encode(),
            }
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._tar.close()
            if kind is None:
                self._file.flush()
                os.fsync(self._file.fileno())
                self.written = _describe(self._file)
                os.replace(self._temporary, self.path)
                sync_folder(self.path.parent)
        finally:
            self._file.close()
            self._temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_member(header: bytes, key: str, extension: str, size: int, where: str) -> None:
    """Whether the block before a member's content is the tar header that belongs there.

    An index that is older than its shard would otherwise point at other recordings, or at parts of them.

    Raises:
        BadDataError: it is not.
    """
    try:
        member = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
    except (tarfile.TarError, ValueError):
        name, found = "", "no tar header"
    else:
        name, found = member.name, f"{member.name!r:.80} with {member.size} bytes"
        while name.startswith("./"):
            name = name[2:].lstrip("/")
    stem, _, last = name.partition(".")
    wanted = f"{key}.{extension}"
    # Where a name is too long for this header, another one before it has the rest.
    fits = (stem, last.lower()) == (key, extension)
    if len(wanted) > LONGEST_NAME:
        fits = wanted.lower().startswith(name.lower())
    if not name or not fits or member.size != size:
        raise BadDataError(
            f"{where} is not where the index says: found {found} before it, expected {wanted!r:.80} with {size} "
            "bytes; the shard was damaged or written anew: run `wavenet-pl index` again"
        )


def encode_audio(audio: npt.NDArray[np.int16], sample_rate: int) -> bytes:
    """Mono 16-bit audio (frames,) as a FLAC file."""
    import soundfile

    assert audio.dtype == np.int16 and audio.ndim == 1, (audio.dtype, audio.shape)
    buffer = io.BytesIO()
    soundfile.write(buffer, audio, sample_rate, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def audio_info(data: bytes, where: str) -> AudioInfo:
    """What the header says; nothing is decoded.

    Raises:
        BadDataError: it is no audio that can be read, or its header is absurd.
    """
    import soundfile

    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            info = AudioInfo(file.frames, file.samplerate, file.channels)
    except (
        soundfile.SoundFileError,
        TypeError,
        ValueError,
    ) as error:  # what it raises for bytes that are no audio
        raise BadDataError(
            f"{where} cannot be read as audio ({_reason(error)}), expected FLAC, WAV, OGG or MP3; replace or remove it"
        ) from None
    if info.sample_rate not in SAMPLE_RATES:
        raise BadDataError(
            f"{where} has sample rate {info.sample_rate}, expected {SAMPLE_RATES.start} to {SAMPLE_RATES.stop - 1} Hz; "
            "its header is damaged: replace or remove it"
        )
    return info


def decode_audio(
    data: bytes, start: int = 0, stop: int | None = None, where: str = "audio"
) -> npt.NDArray[np.float32]:
    """Samples start to stop - 1 of a mono audio file as float32 in [-1, 1]; only these are decoded.

    Raises:
        BadDataError: it cannot be decoded, ends before `stop`, is not mono or not finite.
    """
    import soundfile

    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            if file.channels != 1:
                raise BadDataError(
                    f"{where} has {file.channels} channels, expected 1; run `wavenet-pl prepare` on its source"
                )
            stop = file.frames if stop is None else stop
            file.seek(start)
            audio = file.read(stop - start, dtype="float32")
    except (soundfile.SoundFileError, TypeError, ValueError) as error:
        raise BadDataError(f"{where} cannot be decoded ({_reason(error)}); replace or remove it") from None
    if len(audio) != stop - start:
        raise BadDataError(
            f"{where} ends at sample {start + len(audio)}, expected {stop}; it is cut short: replace or remove it"
        )
    if not np.isfinite(audio).all():
        raise BadDataError(
            f"{where} has samples that are no numbers, expected finite audio; replace or remove it"
        )
    return np.asarray(audio)


def read_metadata(data: bytes, where: str) -> dict[str, Any]:
    """The JSON member of an entry.

    Raises:
        BadDataError: it is not a JSON object.
    """
    try:
        metadata = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadDataError(
            f"{where} has broken JSON ({error}), expected an object; replace or remove it"
        ) from None
    if not isinstance(metadata, dict):
        raise BadDataError(
            f"{where} has JSON that is a {type(metadata).__name__}, expected an object; replace it"
        )
    return metadata


def _reason(error: Exception) -> str:
    """What the library says, less the address of the object that it read from: a message is the same every time."""
    return str(getattr(error, "error_string", error)).removeprefix("Error : ").rstrip(".")


def _describe(file: Any) -> WrittenShard:
    digest = hashlib.sha256()
    file.seek(0)
    while block := file.read(2**20):
        digest.update(block)
    size = file.tell()
    file.seek(0)
    members: dict[str, dict[str, tuple[int, int]]] = {}
    with tarfile.open(fileobj=file, mode="r:") as tar:
        for member in tar:
            key, extension = member.name.split(".", 1)
            members.setdefault(key, {})[extension] = (member.offset_data, member.size)
    return WrittenShard(size, digest.hexdigest(), tuple(members.values()))
