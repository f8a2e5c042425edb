"""FLAC streams: what their header and their first frame say, and the stream without what is not to be believed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

from wavenet_pl.audio.streams import Excerpt, Layout, Piece, Stream, Unreadable, read_at

_MOST_BLOCKS = 10_000
_RATES = (0, 88200, 176400, 192000, 8000, 16000, 22050, 24000, 32000, 44100, 48000, 96000, 0, 0, 0, 0)
_BITS = (0, 8, 12, 0, 16, 20, 24, 32)
_TOTAL_BITS = 36


@dataclass(frozen=True, kw_only=True)
class FlacStream(Stream):
    """A stream that may claim a length, by which samples are found at once."""

    whole: tuple[int, int]
    """(offset, size) of it in the file, as it is there."""
    mended: bool
    """Whether its header has to be another than it is."""

    def excerpt(self, start: int, stop: int | None) -> Excerpt:
        """Sought where the header says enough for it, else decoded from the beginning."""
        if stop is not None and not self.mended and self.claimed is not None and stop <= self.claimed:
            return Excerpt(pieces=[self.whole], seek=start)
        return Excerpt(pieces=self.pieces, drop=start)


def read_flac(file: BinaryIO, start: int, end: int) -> Layout:
    """The stream between two bytes of a file.

    Raises:
        Unreadable: its header leads to no audio.
    """
    head = read_at(file, start, 42)
    if len(head) < 42 or head[4] & 127 or head[5:8] != b"\0\0\x22":
        raise Unreadable("cannot be decoded: its header does not begin as those of FLAC do")
    at, last = start + 42, head[4] & 128
    for _ in range(_MOST_BLOCKS):
        if last:
            break
        block = read_at(file, at, 4)
        if len(block) < 4:
            break
        last, at = block[0] & 128, at + 4 + int.from_bytes(block[1:], "big")
    frame = read_at(file, at, 4)
    if at >= end or not frame:
        raise Unreadable("no samples in it")
    if len(frame) < 4 or frame[0] != 0xFF or frame[1] & 0xFC != 0xF8:
        raise Unreadable("cannot be decoded: no frame follows its header")
    packed = int.from_bytes(head[18:26], "big")
    total = packed & (1 << _TOTAL_BITS) - 1
    rate, channels, bits = packed >> 44, (packed >> 41 & 7) + 1, (packed >> 36 & 31) + 1
    layout = frame[3] >> 4
    true_rate = _RATES[frame[2] & 15] or rate
    true_channels = 2 if layout > 7 else layout + 1
    true_bits = _BITS[frame[3] >> 1 & 7] or bits
    flaws = {}
    if (rate, channels, bits) != (true_rate, true_channels, true_bits):
        flaws["header"] = (
            f"it says {rate} Hz, {channels} channels, {bits} bits, "
            f"its first frame {true_rate} Hz, {true_channels} channels, {true_bits} bits"
        )
    # libsndfile names only three sizes of samples, and takes the true one from each frame.
    named = true_bits if true_bits in (8, 16, 24) else 24
    mended = bool(flaws) or named != bits
    packed = (true_rate << 44) | (true_channels - 1) << 41 | (named - 1) << _TOTAL_BITS
    header = head[:4] + b"\x80" + head[5:18] + packed.to_bytes(8, "big") + head[26:]
    pieces: list[Piece] = [header, (at, end - at)]
    stream = FlacStream(
        pieces=pieces,
        claimed=total or None,
        whole=(start, end - start),
        mended=mended,
        whole_numbers=true_bits == 32,
    )
    return Layout(streams=[stream], flaws=flaws)
