"""Ogg files: pages, and the streams that follow each other in them (RFC 3533)."""

from __future__ import annotations

import io
import zlib
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from wavenet_pl.audio.flac_frames import read_flac
from wavenet_pl.audio.streams import Layout, Piece, Spliced, Stream, Unreadable, read_at

_HEAD = 27
_LONGEST = 65_307  # bytes of a page
_BEGINS, _ENDS = 2, 4  # flags of a page
_MOST_JUNK = 2**20
_FLAC, _FLAC_HEAD = b"\x7fFLAC", 9  # how its first packet begins; what follows is a FLAC file
_REVERSED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))


@dataclass
class _Link:
    """One stream of a chain, while its pages are gathered."""

    begin: int
    stop: int = 0
    last: bytes = b""
    """Its last page."""
    bodies: list[tuple[int, int]] = field(default_factory=list)
    """(offset, size) of what is in each page."""


def page_checksum(page: bytes) -> int:
    """The CRC of a page, in which those four bytes are 0: zlib's, with all bits in the other order."""
    register = zlib.crc32(page.translate(_REVERSED), 0xFFFF_FFFF) ^ 0xFFFF_FFFF
    return int(f"{register:032b}"[::-1], 2)


def read_ogg(file: BinaryIO, start: int, end: int) -> Layout:
    """The streams between two bytes of a file.

    Raises:
        Unreadable: a page is damaged, or cut.
    """
    chain: list[_Link] = []
    junk = missing = 0
    sequence: dict[bytes, int] = {}
    in_front = False
    at = start
    while at < end:
        head = read_at(file, at, min(_HEAD + 255, end - at))
        if head[:4] != b"OggS":
            skipped = read_at(file, at, min(_LONGEST, end - at)).find(b"OggS", 1)
            skipped = min(_LONGEST, end - at) if skipped < 0 else skipped
            junk, at = junk + skipped, at + skipped
            if junk > _MOST_JUNK:
                junk, at = junk + end - at, end
            continue
        size = _HEAD + head[26] + sum(head[_HEAD : _HEAD + head[26]]) if len(head) >= _HEAD else _LONGEST
        if size > end - at:
            raise Unreadable("cut short: its last page is not whole", cut=True)
        page = read_at(file, at, size)
        if page_checksum(page[:22] + bytes(4) + page[26:]) != int.from_bytes(page[22:26], "little"):
            raise Unreadable(f"damaged: the page at byte {at} has another checksum than it says")
        serial, number = page[14:18], int.from_bytes(page[18:22], "little")
        if page[5] & _BEGINS:
            if not in_front:
                chain.append(_Link(at))
            sequence[serial] = number - 1
        in_front = bool(page[5] & _BEGINS)
        if not chain:
            raise Unreadable("cannot be decoded: it begins in the middle of a stream")
        missing += number != sequence.get(serial, number - 1) + 1
        sequence[serial] = number
        head_size = _HEAD + page[26]
        chain[-1].bodies.append((at + head_size, size - head_size))
        at += size
        chain[-1].stop, chain[-1].last = at, page
    if not chain:
        raise Unreadable("cannot be decoded: no page in it")
    streams = [_stream(file, link) for link in chain]
    flaws = {}
    if any(not link.last[5] & _ENDS for link in chain):
        flaws["unfinished"] = "its last page is not marked as the end of the stream"
    if missing:
        flaws["broken frames"] = f"pages are missing in {missing} places"
    if junk:
        flaws["foreign bytes"] = f"{junk} bytes"
    return Layout(streams=streams, flaws=flaws)


def _stream(file: BinaryIO, link: _Link) -> Stream:
    first, size = link.bodies[0]
    if read_at(file, first, len(_FLAC)) == _FLAC:  # libsndfile does not look for it there: so it is unpacked
        bodies: list[Piece] = [(first + _FLAC_HEAD, size - _FLAC_HEAD), *link.bodies[1:]]
        unpacked = io.BufferedReader(Spliced(file, bodies))
        (stream,) = read_flac(unpacked, 0, unpacked.seek(0, io.SEEK_END)).streams  # type: ignore[arg-type]
        return replace(stream, file=unpacked)
    if link.last[5] & _ENDS:
        return Stream(pieces=[(link.begin, link.stop - link.begin)])
    return Stream(pieces=[(link.begin, link.stop - len(link.last) - link.begin), _ended(link.last)])


def _ended(page: bytes) -> bytes:
    """A page that is marked as the last: only then does a decoder cut the stream at its true end."""
    page = page[:5] + bytes([page[5] | _ENDS]) + page[6:22] + bytes(4) + page[26:]
    return page[:22] + page_checksum(page).to_bytes(4, "little") + page[26:]
