"""Ways to damage a shard, and shards as other programs write them."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
from webdataset.tariterators import group_by_keys, tar_file_expander

from tests.shards.made import SAMPLE_RATE, make_audio
from wavenet_pl.shards.format import Span
from wavenet_pl.shards.index import Index, save_index
from wavenet_pl.shards.scan import ScannedRecording, ScannedShard
from wavenet_pl.shards.survey import index_of

BLOCK = 512
TABLES = {"speaker": False, "tags": True}
"""What `wavenet-pl index` reads of a recording's JSON, unless it is told more."""


def audio_bytes(
    frames: int = 1_000, extension: str = "wav", *, rate: int = SAMPLE_RATE, channels: int = 1, seed: int = 0
) -> bytes:
    """A made recording as a file."""
    audio = make_audio(frames, rate, seed)
    buffer = io.BytesIO()
    soundfile.write(buffer, np.stack([audio] * channels, axis=1), rate, format=extension.upper())
    return buffer.getvalue()


def wav_bytes(samples: npt.ArrayLike, subtype: str = "FLOAT") -> bytes:
    """Samples as they are in a WAV."""
    buffer = io.BytesIO()
    soundfile.write(buffer, np.asarray(samples), SAMPLE_RATE, format="WAV", subtype=subtype)
    return buffer.getvalue()


def flipped(data: bytes) -> bytes:
    """One bit in the middle is another."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 4]) + data[middle + 1 :]


def metadata_bytes(**metadata: object) -> bytes:
    """A JSON member."""
    return json.dumps(metadata).encode()


def write_tar(
    path: Path, members: Iterable[tuple[str | tarfile.TarInfo, bytes]], format: int = tarfile.USTAR_FORMAT
) -> Path:
    """A tar of (name or header, content), as a foreign program might write it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=format) as tar:
        for name, content in members:
            header = tarfile.TarInfo(name) if isinstance(name, str) else name
            if isinstance(name, str):
                header.size = len(content)
            tar.addfile(header, io.BytesIO(content))
    return path


def webdataset_samples(path: Path) -> list[dict[str, Any]]:
    """What the webdataset library makes of a shard. (Its own opener leaves the file to the garbage collector.)"""
    with open(path, "rb") as file:
        return list(group_by_keys(tar_file_expander([{"url": str(path), "stream": file}])))


def headers(path: Path) -> dict[str, int]:
    """Member name -> the byte at which its header begins."""
    with tarfile.open(path) as tar:
        return {member.name: member.offset for member in tar}


def overwrite(path: Path, name: str, content: bytes) -> None:
    """Put other bytes where a member's are; zeros follow, as where a copy was broken off."""
    with tarfile.open(path) as tar:
        member = tar.getmember(name)
    assert len(content) <= member.size, (name, len(content), member.size)
    with open(path, "r+b") as file:
        file.seek(member.offset_data)
        file.write(content.ljust(member.size, b"\0"))


def write_unchecked_index(folder: Path, frames: int, **others: int) -> Index:
    """The index of shards in train/ and val/ as a program writes it that never decodes: it takes every recording.

    Args:
        folder: of the set.
        frames: that every recording is said to have.
        **others: key -> frames that it is said to have instead.
    """
    splits: dict[str, list[ScannedShard]] = {}
    for path in sorted(folder.glob("*/*.tar")):
        found: dict[str, dict[str, Span]] = {}
        with tarfile.open(path) as tar:
            for member in tar:
                content = tar.extractfile(member).read()  # type: ignore[union-attr]
                key, extension = member.name.split(".")
                found.setdefault(key, {})[extension] = Span(
                    member.offset_data, member.size, zlib.crc32(content)
                )
        rows = tuple(
            ScannedRecording(key, others.get(key, frames), SAMPLE_RATE, {}, key, members, suspect=False)
            for key, members in found.items()
        )
        name = path.relative_to(folder).as_posix()
        splits.setdefault(path.parent.name, []).append(
            ScannedShard(name, path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest(), rows, ())
        )
    index = index_of(splits, None)
    save_index(index, folder)
    return index


def break_header(path: Path) -> set[str]:
    """Overwrite the header of the second recording's audio, name and all."""
    places = headers(path)
    name = sorted(places)[2]
    data = bytearray(path.read_bytes())
    data[places[name] : places[name] + BLOCK] = b"\xff" * BLOCK
    path.write_bytes(data)
    return {name.split(".")[0]}


def cut_at_member(path: Path) -> set[str]:
    """Keep two recordings and the audio of the third, to the last byte of its last block."""
    places = headers(path)
    names = sorted(places)
    path.write_bytes(path.read_bytes()[: places[names[5]]])
    return {name.split(".")[0] for name in names[4:]}


def cut_between_recordings(path: Path) -> set[str]:
    """Keep two whole recordings: nothing in the shard itself shows what is gone."""
    places = headers(path)
    names = sorted(places)
    path.write_bytes(path.read_bytes()[: places[names[4]]])
    return {name.split(".")[0] for name in names[4:]}


def cut_payload(path: Path) -> set[str]:
    """Cut in the middle of the third recording's audio."""
    places = headers(path)
    names = sorted(places)
    path.write_bytes(path.read_bytes()[: places[names[4]] + BLOCK + 700])
    return {name.split(".")[0] for name in names[4:]}


def interleave(path: Path) -> set[str]:
    """The same members, all audio first: `0.flac 1.flac 0.json 1.json`."""
    with tarfile.open(path) as tar:
        members = [(member.name, tar.extractfile(member).read()) for member in tar]  # type: ignore[union-attr]
    write_tar(path, sorted(members, key=lambda member: member[0].split(".")[1]))
    return {name.split(".")[0] for name, _ in members}


def remove(path: Path) -> set[str]:
    """No such file."""
    keys = {name.split(".")[0] for name in headers(path)}
    path.unlink()
    return keys


def empty(path: Path) -> set[str]:
    """A file of 0 bytes."""
    keys = {name.split(".")[0] for name in headers(path)}
    path.write_bytes(b"")
    return keys


def replace_by_loop(path: Path) -> set[str]:
    """A link to itself: it is there and cannot be read, whoever asks."""
    keys = remove(path)
    path.symlink_to(path)
    return keys


def write_backwards(path: Path) -> set[str]:
    """The same recordings in other places: nothing is lost for who indexes it again."""
    with tarfile.open(path) as tar:
        members = [(member.name, tar.extractfile(member).read()) for member in tar]  # type: ignore[union-attr]
    write_tar(path, members[::-1])
    return {name.split(".")[0] for name, _ in members}


DAMAGES: dict[str, Callable[[Path], set[str]]] = {
    "broken header": break_header,
    "cut at a member": cut_at_member,
    "cut between recordings": cut_between_recordings,
    "cut payload": cut_payload,
    "interleaved": interleave,
}
"""Name -> function that damages a shard of four recordings in place and returns the keys that are lost."""
