"""Tags that programs put before and behind audio of any format: ID3, APE and Lyrics3."""

from __future__ import annotations

from typing import BinaryIO

from wavenet_pl.audio.streams import read_at

LONGEST_MARK = 32
"""Bytes in which a tag is recognised."""
_ID3V1, _APE_MARK = 128, 32


def tag_before(head: bytes) -> int:
    """How many bytes a tag takes that begins with these (`LONGEST_MARK` of them), 0 where none does."""
    if head[:3] == b"ID3" and len(head) >= 10 and max(head[6:10]) < 128:
        size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        return 10 + size + 10 * bool(head[5] & 16)
    if head[:8] == b"APETAGEX" and len(head) >= _APE_MARK:
        return _APE_MARK + int.from_bytes(head[12:16], "little")
    return _ID3V1 if head[:3] == b"TAG" else 0


def without_tags(file: BinaryIO, size: int) -> tuple[int, int]:
    """(first byte, last + 1) of what is left when all tags at both ends are taken off."""
    start, end = 0, size
    while (length := tag_before(read_at(file, start, LONGEST_MARK))) and start + length < size:
        start += length
    while end > start and (length := _tag_behind(file, start, end)):
        end -= length
    return start, end


def _tag_behind(file: BinaryIO, start: int, end: int) -> int:
    tail = read_at(file, max(start, end - _ID3V1), min(_ID3V1, end - start))
    length = 0
    if len(tail) == _ID3V1 and tail[:3] == b"TAG":
        length = _ID3V1
    elif tail[-32:-24] == b"APETAGEX":
        length = int.from_bytes(tail[-20:-16], "little") + _APE_MARK * bool(tail[-9] & 128)
    elif tail[-9:] == b"LYRICS200" and tail[-15:-9].isdigit():
        length = int(tail[-15:-9]) + 15
    elif tail[-10:-7] == b"3DI" and max(tail[-4:]) < 128:
        length = 20 + (tail[-4] << 21 | tail[-3] << 14 | tail[-2] << 7 | tail[-1])
    return length if length <= end - start else 0
