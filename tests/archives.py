"""Checkpoints of a few megabytes that mean to take gigabytes: what one reader of an archive sees, another does not."""

from __future__ import annotations

import codecs
import io
import pickle
import struct
import zlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch

STORED, PACKED = 0, 8
BYTES = 2**30
"""What each of them would take."""


@dataclass(frozen=True)
class Member:
    """One file of an archive, as it lies there, and what a directory says of it."""

    name: str
    content: bytes
    method: int = STORED
    size: int | None = None
    """When it is unpacked; as it lies there if None."""

    def header(self, offset: int | None) -> bytes:
        """What stands before it, or for an offset its row of a directory."""
        size = len(self.content) if self.size is None else self.size
        crc = zlib.crc32(self.content) if self.method == STORED else 0
        name = self.name.encode()
        facts = struct.pack("<4H3L2H", 20, 0, self.method, 0, crc, len(self.content), size, len(name), 0)
        facts = facts[:8] + struct.pack("<H", 0x21) + facts[8:]  # the first of January 1980
        if offset is None:
            return b"PK\3\4" + facts + name
        return b"PK\1\2" + struct.pack("<H", 20) + facts + struct.pack("<3H2L", 0, 0, 0, 0, offset) + name


def lie(members: list[Member]) -> tuple[bytes, bytes]:
    """The members one after another, and their directory."""
    body, rows = b"", b""
    for member in members:
        rows += member.header(len(body))
        body += member.header(None) + member.content
    return body, rows


def end(count: int, length: int, offset: int, comment: int = 0) -> bytes:
    """What says where the directory is."""
    return struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, length, offset, comment)


def end64(count: int, length: int, offset: int) -> bytes:
    """The same with numbers of 64 bits."""
    return struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, length, offset)


def locator(offset: int) -> bytes:
    """What says where `end64` is."""
    return struct.pack("<4sLQL", b"PK\6\7", 0, offset, 1)


def archive(members: list[Member]) -> bytes:
    body, rows = lie(members)
    return body + rows + end(len(members), len(rows), len(body))


# --- what is in them ---


@dataclass(frozen=True)
class Storage:
    """Numbers in a member data/KEY."""

    key: Any
    numbers: int


@dataclass(frozen=True)
class Call:
    """What a pickle calls when it is read."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.function, self.arguments


def tensor(storage: Storage, shape: tuple[int, ...] | None = None) -> Call:
    shape = (storage.numbers,) if shape is None else shape
    stride = (0,) if shape != (storage.numbers,) else (1,)
    return Call(torch._utils._rebuild_tensor_v2, (storage, 0, shape, stride, False, OrderedDict()))


class _Pickler(pickle.Pickler):
    def persistent_id(self, value: Any) -> Any:
        if isinstance(value, Storage):
            return "storage", torch.FloatStorage, value.key, "cpu", value.numbers
        return None


def pickled(content: Any) -> bytes:
    file = io.BytesIO()
    _Pickler(file, protocol=2).dump({"wavenet_pl": {"config": content}})
    return file.getvalue()


def checkpoint(content: bytes, *storages: Member) -> list[Member]:
    """The members of a checkpoint, with a pickle of its own."""
    return [
        Member("archive/data.pkl", content),
        Member("archive/byteorder", b"little"),
        *storages,
        Member("archive/version", b"3\n"),
    ]


@cache
def zeros() -> bytes:
    """`BYTES` of nothing, packed: blocks that are packed by themselves, again and again."""
    packer = zlib.compressobj(wbits=-15)
    block = packer.compress(bytes(2**24)) + packer.flush(zlib.Z_FULL_FLUSH)
    return block * (BYTES // 2**24) + packer.flush()


def bomb() -> list[Member]:
    """Numbers that are packed."""
    numbers = Member("archive/data/0", zeros(), PACKED, BYTES)
    return checkpoint(pickled(tensor(Storage("0", BYTES // 4))), numbers)


def honest(members: list[Member]) -> list[Member]:
    """As if nothing was packed."""
    return [replace(member, method=STORED, size=None) for member in members]


# --- two directories ---


def directory_elsewhere() -> bytes:
    """One right before the end, and one where the end says that it is."""
    body, rows = lie(bomb())
    _, other = lie(honest(bomb()))
    return body + rows + other + end(4, len(other), len(body))


def directory_elsewhere_64() -> bytes:
    """Two ends of 64 bits, of which one is where it should be, and the other where it is said to be."""
    body, rows = lie(bomb())
    _, other = lie(honest(bomb()))
    first = body + rows + end64(4, len(rows), len(body))
    second = first + other
    tail = end64(4, len(other), len(first)) + locator(len(body + rows)) + end(4, len(other), len(first))
    return second + tail


def end_in_a_comment() -> bytes:
    """An end whose comment is another end."""
    body, rows = lie(bomb())
    _, other = lie(honest(bomb()))
    last = end(4, len(rows), len(body), comment=1) + b"x"
    return body + rows + other + end(4, len(other), len(body + rows), comment=len(last)) + last


def behind_a_pickle() -> bytes:
    """What begins as checkpoints of long ago did, and ends as an archive."""
    file = io.BytesIO()
    content = {"wavenet_pl": Call(bytearray, (BYTES,))}
    torch.save(content, file, _use_new_zipfile_serialization=False)
    return file.getvalue() + archive(checkpoint(pickled(None)))


# --- one storage, many times ---

SHARE = 2**20


def again(keys: list[Any], name: str = "0") -> bytes:
    """A megabyte of numbers, read once for each key."""
    content = pickled([tensor(Storage(key, SHARE // 4)) for key in keys])
    return archive(checkpoint(content, Member(f"archive/data/{name}", bytes(SHARE))))


def in_other_letters() -> bytes:
    names = [
        "".join(sign.upper() if n >> at & 1 else sign for at, sign in enumerate("abcdefghij"))
        for n in range(1024)
    ]
    return again(names, "abcdefghij")


def twice() -> bytes:
    members = checkpoint(pickled(tensor(Storage("0", SHARE // 4))), Member("archive/data/0", bytes(SHARE)))
    return archive([*members, Member("archive/data/0", zeros(), PACKED, BYTES)])


# --- pickles that grow ---


def growing(content: Any, *storages: Member) -> bytes:
    return archive(checkpoint(content if isinstance(content, bytes) else pickled(content), *storages))


def doubling() -> Call:
    """Text as hexadecimal digits, of which again."""
    value: Any = Call(codecs.encode, ("x" * 1024, "latin1"))
    for _ in range(20):
        value = Call(codecs.encode, (value, "hex_codec"))
    return value


def widened() -> Call:
    """One number that poses as a thousand million, copied as numbers of another kind."""
    few = tensor(Storage("0", 1), (BYTES // 8,))
    return Call(torch._utils._rebuild_device_tensor_from_cpu_tensor, (few, torch.float64, "cpu", False))


BOMBS: dict[str, Callable[[], bytes]] = {
    "packed": lambda: archive(bomb()),
    "a directory elsewhere": directory_elsewhere,
    "a directory elsewhere, of 64 bits": directory_elsewhere_64,
    "an end in a comment": end_in_a_comment,
    "an archive behind a pickle": behind_a_pickle,
    "a size that is not there": lambda: archive(
        checkpoint(pickled(tensor(Storage("0", BYTES // 4))), Member("archive/data/0", bytes(64), size=BYTES))
    ),
    "a member twice": twice,
    "a storage by names in other letters": in_other_letters,
    "a storage by names with an end within": lambda: again([f"0\0{n}" for n in range(1024)]),
    "packed pickle": lambda: archive(
        [Member("archive/data.pkl", zeros(), PACKED, BYTES), *checkpoint(pickled(None))[1:]]
    ),
    "bytes": lambda: growing(Call(bytearray, (BYTES,))),
    "digits of digits": lambda: growing(doubling()),
    "few numbers as many": lambda: growing(widened(), Member("archive/data/0", bytes(4))),
    "a tensor larger than its storage": lambda: growing(
        Call(
            torch._utils._rebuild_tensor_v2, (Storage("0", 1), 0, (BYTES // 4,), (1,), False, OrderedDict())
        ),
        Member("archive/data/0", bytes(4)),
    ),
    "sets": lambda: growing(b"\x80\2](" + b"\x8f" * 1_200_000 + b"e."),
}
"""Name -> the bytes of a file."""
