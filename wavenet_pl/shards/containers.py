"""What audio files say about their own length, where the decoder passes over a missing end."""

from __future__ import annotations

_STREAMED = 0x7FFF0000
"""Programs that write a WAV to a pipe cannot know its length, and put something as large as this."""


def missing_end(data: bytes) -> str:
    """Why a WAV or OGG file has no end; empty if it has one, or if its kind cannot say.

    FLAC and MP3 need no look here: decoding one in full fails where the end is missing.
    """
    if data[:4] in (b"RIFF", b"RIFX"):
        return _missing_end_of_wav(data)
    if data[:4] == b"OggS":
        return _missing_end_of_ogg(data)
    return ""


def _missing_end_of_wav(data: bytes) -> str:
    order = "little" if data[:4] == b"RIFF" else "big"
    at = 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], order)  # type: ignore[arg-type]
        if data[at : at + 4] == b"data":
            there = len(data) - at - 8
            return f"{there} of its {size} bytes of samples are there" if there < size < _STREAMED else ""
        at += 8 + size + size % 2
    return ""


def _missing_end_of_ogg(data: bytes) -> str:
    """Pages follow each other; the last one of a stream is marked (RFC 3533, section 6)."""
    at, last = 0, False
    while data[at : at + 4] == b"OggS" and at + 27 <= len(data):
        last = bool(data[at + 5] & 4)
        segments = data[at + 27 : at + 27 + data[at + 26]]
        at += 27 + data[at + 26] + sum(segments)
        if at > len(data):
            return f"it ends {at - len(data)} bytes before its last page does"
    return "" if last else "its last page is missing"
