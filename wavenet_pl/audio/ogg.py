"""Ogg files: pages, and the streams that follow each other in them (RFC 3533)."""

from __future__ import annotations

import zlib
from typing import BinaryIO

from wavenet_pl.audio.streams import Layout, Stream, Unreadable, read_at

_HEAD = 27
_LONGEST = 65_307  # bytes of a page
_BEGINS, _ENDS = 2, 4  # flags of a page
_MOST_JUNK = 2**20
_REVERSED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))


def page_checksum(page: bytes) -> int:
    """The CRC of a page, in which those four bytes are 0: zlib's, with all bits in the other order."""
    register = zlib.crc32(page.translate(_REVERSED), 0xFFFF_FFFF) ^ 0xFFFF_FFFF
    return int(f"{register:032b}"[::-1], 2)


def read_ogg(file: BinaryIO, start: int, end: int) -> Layout:
    """The streams between two bytes of a file.

    Raises:
        Unreadable: a page is damaged, or cut.
    """
    begins: list[int] = []
    stops: list[int] = []
    last: list[bytes] = []
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
                begins.append(at)
                stops.append(at)
                last.append(page)
            sequence[serial] = number - 1
        in_front = bool(page[5] & _BEGINS)
        if not begins:
            raise Unreadable("cannot be decoded: it begins in the middle of a stream")
        missing += number != sequence.get(serial, number - 1) + 1
        sequence[serial] = number
        at += size
        stops[-1], last[-1] = at, page
    if not begins:
        raise Unreadable("cannot be decoded: no page in it")
    streams, open_ends = [], 0
    for begin, stop, page in zip(begins, stops, last, strict=True):
        if page[5] & _ENDS:
            streams.append(Stream(pieces=[(begin, stop - begin)]))
        else:
            open_ends += 1
            streams.append(Stream(pieces=[(begin, stop - len(page) - begin), _ended(page)]))
    flaws = {}
    if open_ends:
        flaws["unfinished"] = "its last page is not marked as the end of the stream"
    if missing:
        flaws["broken frames"] = f"pages are missing in {missing} places"
    if junk:
        flaws["foreign bytes"] = f"{junk} bytes"
    return Layout(streams=streams, flaws=flaws)


def _ended(page: bytes) -> bytes:
    """A page that is marked as the last: only then does a decoder cut the stream at its true end."""
    page = page[:5] + bytes([page[5] | _ENDS]) + page[6:22] + bytes(4) + page[26:]
    return page[:22] + page_checksum(page).to_bytes(4, "little") + page[26:]
