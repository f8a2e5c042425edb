"""How many samples the headers of rarer formats claim: AIFF, CAF, SPHERE, Sony's W64 and RF64.

libsndfile reads what is there without a word where that is less.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

from wavenet_pl.audio.streams import read_at

_MOST_CHUNKS = 1_000
_RAW_AIFF = (b"NONE", b"sowt", b"twos", b"raw ", b"fl32", b"FL32", b"fl64", b"FL64", b"in24", b"in32")
_UNKNOWN_CAF = 2**64 - 1


def claimed_samples(file: BinaryIO, mark: bytes) -> int | None:
    """What the header of a file says; None where it says nothing, or nothing that could be compared.

    Args:
        file: to read.
        mark: its first twelve bytes.
    """
    if mark[:4] == b"FORM" and mark[8:] in (b"AIFF", b"AIFC"):
        common = _content(file, b"COMM", 12, 4, "big")
        raw = mark[8:] == b"AIFF" or common[18:22] in _RAW_AIFF
        return int.from_bytes(common[2:6], "big") or None if raw else None
    if mark[:4] in (b"RF64", b"BW64"):
        size = int.from_bytes(_content(file, b"ds64", 12, 4, "little")[8:16], "little")
        return _by_size(size, _content(file, b"fmt ", 12, 4, "little"))
    if mark[:4] == b"riff":
        size = next((size for name, _, size in _chunks(file, 40, 8, "little", 16) if name[:4] == b"data"), 0)
        return _by_size(size, _content(file, b"fmt ", 40, 8, "little", 16))
    if mark[:4] == b"caff":
        size = next((size for name, _, size in _chunks(file, 8, 8, "big") if name == b"data"), 0)
        packet = _content(file, b"desc", 8, 8, "big")[16:24]
        frames = int.from_bytes(packet[4:], "big")
        width = int.from_bytes(packet[:4], "big")
        return (size - 4) // width if frames == 1 and width and 4 < size < _UNKNOWN_CAF else None
    if mark[:4] == b"NIST":
        count = re.search(rb"^sample_count -i (\d{1,12})\s", read_at(file, 0, 1024), flags=re.MULTILINE)
        return int(count[1]) or None if count else None
    return None


def _by_size(size: int, shape: bytes) -> int | None:
    """Samples of so many bytes, by the format chunk of a WAV, where each sample takes as many."""
    width = int.from_bytes(shape[12:14], "little")
    plain = int.from_bytes(shape[:2], "little") in (1, 3, 6, 7, 0xFFFE)
    return size // width or None if plain and width else None


def _chunks(
    file: BinaryIO, at: int, width: int, order: str, name_bytes: int = 4
) -> Iterator[tuple[bytes, int, int]]:
    """(name, first byte of the content, its size): W64 counts the head of a chunk with it, and fills up to 8 bytes."""
    head = name_bytes + width
    for _ in range(_MOST_CHUNKS):
        read = read_at(file, at, head)
        if len(read) < head:
            return
        size = int.from_bytes(read[name_bytes:], order) - (head if name_bytes == 16 else 0)  # type: ignore[arg-type]
        if size < 0:
            return
        yield read[:name_bytes], at + head, size
        even = {4: 2, 8: 1}[width] if name_bytes == 4 else 8
        at += head + size + -size % even


def _content(file: BinaryIO, wanted: bytes, at: int, width: int, order: str, name_bytes: int = 4) -> bytes:
    for name, begin, size in _chunks(file, at, width, order, name_bytes):
        if name[:4] == wanted:
            return read_at(file, begin, min(size, 64))
    return b""
