"""The members of a tar, header by header, also where it is damaged: what is whole, and what is lost where."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO

from wavenet_pl.shards.format import BLOCK

_ZEROS = bytes(BLOCK)
_MAGIC, _MAGIC_AT = b"ustar", 257
_MAX_EXTENDED = 2**16
"""Bytes of an extended header: a name takes a few hundred."""
_EXTENDED = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
_LINKS_AND_DEVICES = (
    tarfile.LNKTYPE,
    tarfile.SYMTYPE,
    tarfile.CHRTYPE,
    tarfile.BLKTYPE,
    tarfile.FIFOTYPE,
)


@dataclass(frozen=True)
class Member:
    """A regular file whose content is wholly there."""

    name: str
    """Path in the archive, without a leading `./`."""
    offset: int
    """First byte of the content."""
    size: int


@dataclass(frozen=True)
class Fault:
    """A stretch of the archive where something is lost, or was never to be read."""

    kind: str
    """Key of `wavenet_pl.shards.damage.REMEDIES`."""
    name: str
    """Of the member, as far as its header can be read; empty if it cannot."""
    description: str
    """What is wrong, in words for a message."""
    start: int
    """First byte that is lost."""
    stop: int
    """First byte after it that can be used again."""


def read_members(file: BinaryIO, size: int) -> Iterator[Member | Fault]:
    """Walk through an uncompressed tar of `size` bytes.

    After a broken header it goes on at the next valid one, at any byte. Folders are passed over. Nothing is
    extracted: links, devices and paths that lead outside are faults.

    Yields:
        Members and faults in the order of the archive.
    """
    at = 0
    extended: dict[str, str] = {}  # by an extended header, of the next member
    last: Member | None = None  # held back until the header behind it is where it should be
    while True:
        block = _read(file, at, BLOCK)
        header = _header(block)
        if len(block) < BLOCK:
            yield from (last,) if last else ()
            yield _cut(at, size)
            return
        if header is None:
            following = _find_header(file, last.offset if last else at + 1, size)
            if last and _is_shifted(at, following, size):
                description = "bytes are missing from it or were added to it"
                yield Fault("cut member", last.name, description, last.offset, following or size)
            else:
                yield from (last,) if last else ()
                if block == _ZEROS and following is None:
                    yield from _after_end(file, at + BLOCK, size)
                else:
                    yield _broken(block, at, size if following is None else following)
            if following is None:
                return
            at, extended, last = following, {}, None
            continue
        yield from (last,) if last else ()
        last = None
        name, length = extended.get("path", header.name), int(extended.get("size", header.size))
        start = at + BLOCK
        fault = _fault(header, name, length, at, size, sparse="sparse" in extended)
        if fault is not None:
            following = _find_header(file, start, size)
            if following is None:
                yield replace(fault, description=f"{fault.description}, and nothing behind it can be read")
                return
            yield replace(fault, stop=following)
            at, extended = following, {}
            continue
        at = start + (0 if header.isdir() else -(-length // BLOCK) * BLOCK)
        if header.type in _EXTENDED:
            try:
                extended.update(_extended(header.type, _read(file, start, length)))
            except ValueError as error:
                yield Fault("broken header", "", f"an extended header at byte {start}: {error}", start, at)
                extended = {}
            continue
        extended = {}
        while name.startswith("./"):
            name = name[2:].lstrip("/")
        if name.startswith("/") or ".." in name.split("/") or "\0" in name:
            yield Fault("outside", name, "a path that leads out of the shard", start, at)
        elif not header.isdir():
            last = Member(name, start, length)


def _is_shifted(at: int, following: int | None, size: int) -> bool:
    """Whether what comes next, a header or the end, is not whole blocks behind `at`."""
    following = size if following is None else following
    return following < at or (following - at) % BLOCK != 0


def _broken(block: bytes, at: int, stop: int) -> Fault:
    if block == _ZEROS:
        description = f"an end mark at byte {at}, and members behind it, which other readers never see"
        return Fault("hidden", "", description, at, stop)
    return Fault("broken header", _name_in(block), f"no valid tar header at byte {at}", at, stop)


def _fault(
    header: tarfile.TarInfo, name: str, length: int, at: int, size: int, *, sparse: bool
) -> Fault | None:
    """Why a member with a valid header cannot be taken, if so."""
    if header.isdir():
        return None
    if header.type in _LINKS_AND_DEVICES:
        what = "link" if header.islnk() or header.issym() else "device"
        return Fault("link", name, f"a {what}, which holds no audio itself", at, size)
    if sparse or header.type == tarfile.GNUTYPE_SPARSE:
        return Fault("link", name, "a sparse file, which holds only part of its content", at, size)
    if header.type not in (*_EXTENDED, tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE):
        return Fault("link", name, f"a member of type {header.type!r}, which is no file", at, size)
    if header.type in _EXTENDED and not 0 <= length <= _MAX_EXTENDED:
        return Fault("broken header", "", f"an extended header of {length} bytes at byte {at}", at, size)
    if length < 0 or at + BLOCK + length > size:
        description = f"{size - at - BLOCK} of its {length} bytes are there"
        return Fault("cut member", name, description, at, size)
    return None


def _header(block: bytes) -> tarfile.TarInfo | None:
    """The header in a block, None if its checksum or one of its numbers is wrong."""
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.TarError, ValueError):
        return None


def _find_header(file: BinaryIO, start: int, size: int) -> int | None:
    """Where the next valid ustar header begins. Any byte will do: what was lost need not be whole blocks."""
    chunk, overlap = 2**20, BLOCK
    for at in range(start, size, chunk):
        data = _read(file, at, chunk + overlap)
        magic = data.find(_MAGIC, _MAGIC_AT)
        while magic >= 0:
            begin = magic - _MAGIC_AT
            if begin < chunk and _header(data[begin : begin + BLOCK]) is not None:
                return at + begin
            magic = data.find(_MAGIC, magic + 1)
    return None


def _cut(at: int, size: int) -> Fault:
    if size == 0:
        return Fault("empty shard", "", "a file of 0 bytes", 0, 0)
    description = f"no end mark after byte {min(at, size)}: what came behind it is lost"
    return Fault("cut shard", "", description, min(at, size), size)


def _after_end(file: BinaryIO, at: int, size: int) -> Iterator[Fault]:
    """Whatever other than zeros follows the end mark; a header that became zeros looks like this."""
    for start in range(at, size, 2**20):
        if _read(file, start, min(2**20, size - start)).strip(b"\0"):
            yield Fault("hidden", "", f"more than zeros after the end mark before byte {at}", at, size)
            return


def _extended(kind: bytes, data: bytes) -> dict[str, str]:
    """The fields of a pax or GNU header that describe the next member: `path`, `size`, and `sparse` if it is.

    Raises:
        ValueError: it cannot be read, or gives all members what only one can have.
    """
    if kind == tarfile.GNUTYPE_LONGLINK:
        return {}
    if kind == tarfile.GNUTYPE_LONGNAME:
        return {"path": data.rstrip(b"\0").decode("utf-8", "surrogateescape")}
    extended = {}
    while data and data[0]:
        digits, blank, _ = data[:20].partition(b" ")
        length = int(digits) if digits.isdigit() else 0
        record, data = data[:length], data[length:]
        name, equals, value = record[len(digits) + len(blank) : -1].partition(b"=")
        if not blank or not equals or len(record) != length or record[-1:] != b"\n":
            raise ValueError("its records cannot be told apart")
        if name == b"size" and not (value.isdigit() and len(value) < 20):
            raise ValueError(f"size is {value[:20]!r}")
        if name in (b"path", b"size"):
            extended[name.decode()] = value.decode("utf-8", "surrogateescape")
        elif name.startswith(b"GNU.sparse"):
            extended["sparse"] = "yes"
    if kind == tarfile.XGLTYPE and extended:
        raise ValueError(f"it gives all members one {' and one '.join(extended)}")
    return extended


def _name_in(block: bytes) -> str:
    """The name of the member in a broken header, if what stands there looks like a name; else empty."""
    name = block[:100].split(b"\0")[0]
    return name.decode() if name.isascii() and name.decode().isprintable() and b"." in name else ""


def _read(file: BinaryIO, offset: int, size: int) -> bytes:
    file.seek(offset)
    return file.read(size)
