"""WAV files: where their samples lie, whatever their header says about how many there are."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal

from wavenet_pl.audio.streams import Excerpt, Layout, Stream, Unreadable, read_at

_MOST_CHUNKS = 1_000
_MOST_FORMAT_BYTES = 2**16
_MPEG = (0x50, 0x55)
_PLAIN = {1: "PCM", 3: "float", 6: "A-law", 7: "mu-law", 0xFFFE: "extensible"}
"""Formats with as many bytes for each sample, which a decoder finds by counting."""
_SIZES_OF = {3: (32, 64), 6: (8,), 7: (8,)}
_COMMON_CHUNKS = (
    b"LIST",
    b"fact",
    b"bext",
    b"id3 ",
    b"ID3 ",
    b"cue ",
    b"smpl",
    b"PEAK",
    b"JUNK",
    b"junk",
    b"iXML",
)


@dataclass(frozen=True, kw_only=True)
class _Plain(Stream):
    """Samples of one size each."""

    def excerpt(self, start: int, stop: int | None) -> Excerpt:
        """Found by counting."""
        return Excerpt(pieces=self.pieces, seek=start)


def is_placeholder(size: int) -> bool:
    """Whether a size in a header is what programs write that cannot go back and mend it.

    They are 0, 0x7FFF0000, 0x7FFFF000, 0x7FFFFFFF, 0xFFFFFFFF and what else lies just below 2 and 4 GiB.
    """
    return size == 0 or 0x7FFF0000 <= size <= 0x80000000 or size >= 0xFFFF0000


def read_riff(file: BinaryIO, start: int, end: int) -> Layout | tuple[int, int]:
    """The samples of a WAV file, or where the MP3 lies that is packed in it.

    Args:
        file: to read.
        start: the byte at which it begins.
        end: the byte after its last.

    Raises:
        Unreadable: it has no samples, or fewer than it says.
    """
    order: Literal["little", "big"] = "little" if read_at(file, start, 4) == b"RIFF" else "big"
    shape = fact = b""
    for name, at, size in _chunks(file, start + 12, end, order):
        if name == b"fmt ":
            shape = read_at(file, at, min(size, _MOST_FORMAT_BYTES))
        elif name == b"fact":
            fact = read_at(file, at, min(size, 4))
        elif name == b"data":
            if len(shape) < 16:
                raise Unreadable("cannot be decoded: its samples have no format before them")
            return _read_samples(file, at, size, end, order, shape, fact)
    raise Unreadable("no samples in it")


def _chunks(
    file: BinaryIO, at: int, end: int, order: Literal["little", "big"]
) -> Iterator[tuple[bytes, int, int]]:
    """(name, first byte of the content, its claimed size) of each chunk."""
    for _ in range(_MOST_CHUNKS):
        head = read_at(file, at, 8)
        if len(head) < 8 or at >= end:
            return
        size = int.from_bytes(head[4:], order)
        yield head[:4], at + 8, size
        at += 8 + size + size % 2


def _read_samples(
    file: BinaryIO,
    at: int,
    claimed: int,
    end: int,
    order: Literal["little", "big"],
    shape: bytes,
    fact: bytes,
) -> Layout | tuple[int, int]:
    sign = "<" if order == "little" else ">"
    format, channels, rate, byte_rate, align, bits = struct.unpack(f"{sign}HHIIHH", shape[:16])
    flaws: dict[str, str] = {}
    width = align // channels if channels else 0
    if format in (1, 0xFFFE) and 8 * width >= bits + 8 and width <= 4:
        bits = 8 * width  # such as 24 bits in 4 bytes: those on top
        shape = shape[:14] + struct.pack(f"{sign}H", bits) + shape[16:]
    if bits not in _SIZES_OF.get(format, (bits,)):
        flaws["header"] = f"{_PLAIN[format]} of {bits} bits"
    elif format in _PLAIN and align != channels * -(-bits // 8):
        flaws["header"] = f"{channels} channels of {bits} bits do not take {align} bytes"
    elif format in _PLAIN and byte_rate not in (0, rate * align):
        flaws["header"] = f"{rate} Hz times {align} bytes are not {byte_rate} bytes a second"
    there = max(0, end - at)
    second = (byte_rate or rate * align) or 1
    size = claimed
    if claimed > there:
        if not is_placeholder(claimed):
            raise Unreadable(
                f"cut short: its header says {claimed} bytes of audio, {there} are there", cut=True
            )
        size = there
    elif claimed < there and not _are_chunks(file, at + claimed, end, order):
        rest = there - claimed
        if is_placeholder(claimed):
            size = there
        elif rest < 2**32 and (rest < 2 * max(align, 8) or not any(read_at(file, at + claimed, 2**16))):
            flaws["foreign bytes"] = f"{rest} bytes behind its samples"
        else:
            size = there
            flaws["length"] = f"its header says {claimed / second:.2f} s, {there / second:.2f} s are there"
    if format in _MPEG:
        return at, at + size
    chunks = [(b"fmt ", shape)] + ([(b"fact", fact)] if fact and format not in _PLAIN else [])
    head = b"".join(
        name + len(content).to_bytes(4, order) + content + bytes(len(content) % 2) for name, content in chunks
    )
    whole = 4 + len(head) + 8 + size
    if size < 0xFFFF0000 and whole < 2**32:
        riff = b"RIFF" if order == "little" else b"RIFX"
        head = riff + whole.to_bytes(4, order) + b"WAVE" + head
        head += b"data" + size.to_bytes(4, order)
    else:  # RF64: the sizes stand in a chunk of their own
        sizes = struct.pack("<QQQI", 36 + whole, size, size // max(align, 1), 0)
        head = b"RF64\xff\xff\xff\xffWAVEds64" + len(sizes).to_bytes(4, "little") + sizes + head
        head += b"data\xff\xff\xff\xff"
    kind = _Plain if format in _PLAIN else Stream
    return Layout(streams=[kind(pieces=[head, (at, size)])], flaws=flaws)


def _are_chunks(file: BinaryIO, at: int, end: int, order: Literal["little", "big"]) -> bool:
    """Whether chunks follow, and no samples that the header forgot."""
    first = read_at(file, at, 9)
    if not any(first):  # a byte that makes the size even
        return end - at <= 8
    at += (at % 2) if first[:1] == b"\0" else 0
    for number, (name, content, size) in enumerate(_chunks(file, at, end, order)):
        if not (name.isascii() and name.decode("ascii").isprintable()):
            return False
        if number == 0 and name in _COMMON_CHUNKS:
            return True
        if content + size > end:
            return False
        if content + size + 8 > end:
            return True
    return at >= end
