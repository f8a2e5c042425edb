"""MP3 files (and layers I and II): their frames, counted one by one, because no header says reliably how many.

A stream is decoded from a frame on that is found here; the library's own seeking begins without the bits that earlier
frames kept for later ones, and so gives other samples.
"""

from __future__ import annotations

import re
from array import array
from dataclasses import dataclass, field
from functools import cache, reduce
from itertools import pairwise
from typing import BinaryIO

from wavenet_pl.audio.streams import Excerpt, Layout, Piece, Stream, Unreadable, read_at
from wavenet_pl.audio.tags import LONGEST_MARK, tag_before

_BITRATES = {
    (3, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (3, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (3, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}  # (version, layer) -> kilobits a second; version 3 is MPEG 1, 2 and 0 are those of the lower rates
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_SIZED = 0xFFFE_FE00  # the bits of a frame's header that decide its size
_ALIKE = 0xFFFE_0C00  # those that stay the same in a stream: version, layer, rate
_MONO = 0xC0
_CHAIN = 4  # frames in a row are no accident
_MOST_JUNK = 2**20
_WINDOW = 2**20
_RESERVOIR = 511  # bytes of earlier frames that a frame may use, at most
_PADDED, _UNCHECKED = 0x200, 0x1_0000
_PERIOD = 8  # frames after which the decoder's filter is where it was, in the order of its additions as well
_DELAY = 529  # samples by which any decoder is late, where an encoder tells its own delay
_LEAST_LAME = 36
_LAME = 120  # bytes from the mark to what an encoder says of itself, where nothing is left out
_ENCODERS = (b"LAME", b"Lavc", b"Lavf")
_MARKS = (b"Xing", b"Info")
_OTHER_MARK = b"VBRI"  # of another encoder, which stands elsewhere
_CRC16 = [reduce(lambda rest, _: rest >> 1 ^ 0xA001 * (rest & 1), range(8), byte) for byte in range(256)]


def _size_of_frames() -> dict[int, int]:
    sizes = {}
    for version, rates in _RATES.items():
        for layer in (1, 2, 3):
            for number, kilobits in enumerate(_BITRATES[3 if version == 3 else 2, layer], start=1):
                for column, rate in enumerate(rates):
                    for padding in (0, 1):
                        word = 0xFFE0_0000 | version << 19 | 4 - layer << 17 | number << 12 | column << 10
                        slot = 4 if layer == 1 else 1
                        slots = 12 if layer == 1 else 72 if layer == 3 and version != 3 else 144
                        sizes[word | padding << 9] = slot * (slots * kilobits * 1000 // rate + padding)
    return sizes


_SIZES = _size_of_frames()
_KNOWN = _SIZED | _MONO


@cache
def _sizes_of(alike: int, mono: bool) -> dict[int, int]:
    """The sizes of the frames of one kind, by all bits that decide kind and size."""
    return {
        word | mode << 6: size
        for word, size in _SIZES.items()
        if word & _ALIKE == alike
        for mode in range(4)
        if (mode << 6 == _MONO) == mono
    }


@dataclass(frozen=True, kw_only=True)
class MpegStream(Stream):
    """Frames that follow each other, and where each of them begins."""

    word: int
    """Header of the first frame."""
    offsets: array[int]
    ends: array[int]
    skip: int
    """Samples that the encoder put before the first."""

    def excerpt(self, start: int, stop: int | None) -> Excerpt:
        """From two frames before the first sample: what these leave in the filters is a part of it.

        Silent frames stand before them. They bring what earlier frames kept for later ones, and turn the decoder's
        filter to where it would be.
        """
        samples = _frame_samples(self.word)
        first = max(0, (self.skip + start) // samples - 2)
        silence: list[Piece] = []
        silent = 0
        if first:
            silent = (first - 1) % _PERIOD + 1
            silence = [self._silent_frame(self._kept_before(first))] * silent
        largest = len(silence[0]) if silent else self.ends[0] - self.offsets[0]
        return Excerpt(
            pieces=[*silence, *_joined(self.offsets[first:], self.ends[first:])],
            drop=self.skip + start + (silent - first) * samples,
            least_bytes=(len(self.offsets) - first + silent + 1) * (largest + 1),
        )

    def _kept_before(self, frame: int) -> bytes:
        """The bytes that a frame may use of those before it."""
        kept = b""
        while frame and len(kept) < _RESERVOIR and _layer(self.word) == 3:
            frame -= 1
            assert self.file is not None
            content = read_at(self.file, self.offsets[frame], self.ends[frame] - self.offsets[frame])
            checksum = 2 * (not content[1] & 1)
            kept = content[_info_at(self.word) + checksum :] + kept
        return kept[-_RESERVOIR:]

    def _silent_frame(self, kept: bytes) -> bytes:
        word = self.word & ~_PADDED | _UNCHECKED
        if _layer(word) == 3:
            word = word & ~0xF000 | 14 << 12  # the highest rate, which has room for all that is kept
            kept = kept[-511:] if word >> 19 & 1 else kept[-255:]
        return word.to_bytes(4, "big") + kept.rjust(_SIZES[word & _SIZED] - 4, b"\0")


@dataclass
class _Run:
    """Frames of one stream, while they are gathered."""

    word: int
    """Header of its first frame."""
    info: tuple[int | None, int, int, bool] | None = None
    offsets: array[int] = field(default_factory=lambda: array("q"))
    ends: array[int] = field(default_factory=lambda: array("q"))


def read_mpeg(file: BinaryIO, start: int, end: int) -> Layout | None:
    """The streams between two bytes of a file, or None where no frames are found.

    Raises:
        Unreadable: fewer frames than its header says.
    """
    runs: list[_Run] = []
    junk = searched = 0
    cut = False
    at, base, window = start, start, b""
    kind, info_at, sizes = (-1, False), 0, dict[int, int]()
    last_mark = -1
    while at < end:
        inside = at - base
        if inside < 0 or inside + 48 > len(window):
            base, inside, window = at, 0, read_at(file, at, min(_WINDOW, end - at))
            last_mark = max(window.rfind(mark) for mark in (*_MARKS, _OTHER_MARK))
        word = int.from_bytes(window[inside : inside + 4], "big")
        size = sizes.get(word & _KNOWN, 0)
        if size:
            if at + size > end:
                cut = True
                break
            run = runs[-1]
            if (
                inside < last_mark
                and (
                    window[inside + info_at : inside + info_at + 4] in _MARKS
                    or window[inside + 36 : inside + 40] == _OTHER_MARK
                )
            ) or (not run.offsets and _is_info(read_at(file, at, size), info_at)):
                runs.append(_Run(word, _info(read_at(file, at, size), info_at)))
            else:
                run.offsets.append(at)
                run.ends.append(at + size)
            at += size
            continue
        if length := tag_before(read_at(file, at, LONGEST_MARK)):
            at += length
            continue
        begin = _next_chain(file, at, end, _MOST_JUNK - searched)
        passed = (end if begin is None else begin) - at
        searched, junk = searched + passed, junk + passed
        if begin is None:
            break
        at = begin
        word = int.from_bytes(read_at(file, at, 4), "big")
        if _kind(word) != kind:
            kind, info_at = _kind(word), _info_at(word)
            sizes = _sizes_of(*kind)
            runs.append(_Run(word))
    runs = [run for run in runs if run.offsets]
    if not runs:
        return None
    return _described(file, runs, junk, cut)


def _described(file: BinaryIO, runs: list[_Run], junk: int, cut: bool) -> Layout:
    flaws = {}
    streams = []
    for run in runs:
        samples = _frame_samples(run.word)
        skip, stop = 0, len(run.offsets) * samples
        if run.info is not None:
            frames, delay, padding, changed = run.info
            second = _RATES[run.word >> 19 & 3][run.word >> 10 & 3] / samples
            there = f"{len(run.offsets) / second:.2f} s are there"
            if frames is not None and frames > len(run.offsets) + 1:
                raise Unreadable(f"cut short: its header says {frames / second:.2f} s, {there}", cut=True)
            if frames is not None and frames < len(run.offsets):
                flaws["length"] = f"its header says {frames / second:.2f} s, {there}"
            if changed:
                flaws["header"] = "the frame that describes the others was changed"
            skip, stop = delay, min(stop, stop - padding)
        streams.append(
            MpegStream(
                pieces=(),
                length=max(0, stop - skip),
                file=file,
                word=run.word,
                offsets=run.offsets,
                ends=run.ends,
                skip=skip,
            )
        )
    if cut:
        flaws["unfinished"] = "its last frame is cut"
    if junk:
        flaws["foreign bytes"] = f"{junk} bytes"
    return Layout(streams=streams, flaws=flaws)


def _joined(begins: array[int], ends: array[int]) -> list[Piece]:
    """Frames as few pieces."""
    breaks = [
        0,
        *(i + 1 for i, (e, b) in enumerate(zip(ends, begins[1:], strict=False)) if e != b),
        len(ends),
    ]
    return [(begins[a], ends[b - 1] - begins[a]) for a, b in pairwise(breaks)]


def _info(frame: bytes, at: int) -> tuple[int | None, int, int, bool]:
    """Of the frame that describes the others: their number, samples before and behind, whether it was changed."""
    if frame[36:40] == _OTHER_MARK:
        return int.from_bytes(frame[50:54], "big"), 0, 0, False
    changed = frame[at : at + 4] not in _MARKS
    flags = int.from_bytes(frame[at + 4 : at + 8], "big")
    frames = int.from_bytes(frame[at + 8 : at + 12], "big") if flags & 1 else None
    lame = at + 8 + sum(size for bit, size in ((1, 4), (2, 4), (4, 100), (8, 4)) if flags & bit)
    if _is_info(frame, at) and lame != at + _LAME:
        changed, lame = True, at + _LAME
    tag = frame[lame : lame + _LEAST_LAME]
    if len(tag) < _LEAST_LAME or not tag[0]:
        return frames, _DELAY, 0, changed or any(tag)
    delay, padding = tag[21] << 4 | tag[22] >> 4, (tag[22] & 15) << 8 | tag[23]
    checksum = int.from_bytes(tag[34:36], "big")
    changed |= tag[:4] not in _ENCODERS or (
        tag[:4] == b"LAME" and checksum not in (0, _crc16(frame[: lame + 34]))
    )
    return frames, delay + _DELAY, padding - _DELAY, changed


def _is_info(frame: bytes, at: int) -> bool:
    """Whether a frame describes the others where it usually does, though the mark before that may be damaged.

    LAME also fills up frames with its name, and then with a U.
    """
    tag = frame[at + _LAME : at + _LAME + _LEAST_LAME]
    named = any(sum(map(int.__eq__, tag, name)) >= 3 for name in _ENCODERS) and b"U" not in tag[4:12]
    complete = not any(frame[6:at]) and frame[at + 4 : at + 8] == b"\0\0\0\x0f"
    return len(tag) == _LEAST_LAME and (named or complete)


def _crc16(data: bytes) -> int:
    register = 0
    for byte in data:
        register = register >> 8 ^ _CRC16[(register ^ byte) & 0xFF]
    return register


def _next_chain(file: BinaryIO, at: int, end: int, most: int) -> int | None:
    """Where the next frames begin, of which each stands where the one before ends."""
    window = read_at(file, at, min(max(most, 0), end - at))
    for sync in re.finditer(rb"\xff[\xe2-\xff]", window):
        begin = next_at = at + sync.start()
        kind = None
        for number in range(_CHAIN):
            word = int.from_bytes(read_at(file, next_at, 4), "big")
            size = _SIZES.get(word & _SIZED, 0)
            if not size or kind not in (None, _kind(word)):
                break
            kind, next_at = _kind(word), next_at + size
            whole = next_at <= end
            if (number == _CHAIN - 1 and whole) or (number and not whole) or next_at == end:
                return begin
            if not whole:
                break
            if tag_before(read_at(file, next_at, LONGEST_MARK)):
                return begin
    return None


def _layer(word: int) -> int:
    return 4 - (word >> 17 & 3)


def _frame_samples(word: int) -> int:
    if _layer(word) == 1:
        return 384
    return 576 if _layer(word) == 3 and not word >> 19 & 1 else 1152


def _info_at(word: int) -> int:
    """Where in a frame of layer III the main data begins, or the mark of the frame that describes the others."""
    return (
        4
        + {(0, True): 9, (0, False): 17, (1, True): 17, (1, False): 32}[word >> 19 & 1, word & _MONO == _MONO]
    )


def _kind(word: int) -> tuple[int, bool]:
    """What is the same in all frames of a stream: version, layer, rate; and whether there is one channel."""
    return word & _ALIKE, word & _MONO == _MONO
