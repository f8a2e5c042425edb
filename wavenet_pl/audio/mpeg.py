"""MP3 files (and layers I and II): their frames, counted one by one, because no header says reliably how many.

A stream is decoded from a frame on that is found here; the library's own seeking begins without the bits that earlier
frames kept for later ones, and so gives other samples.
"""

from __future__ import annotations

import re
import struct
from array import array
from dataclasses import dataclass, field
from functools import reduce
from itertools import accumulate, pairwise
from typing import BinaryIO

from wavenet_pl.audio import mpeg_header as header
from wavenet_pl.audio.streams import Excerpt, Layout, Piece, Stream, Unreadable, read_at
from wavenet_pl.audio.tags import LONGEST_MARK, tag_before

_CHAIN = 4  # frames in a row are no accident
_MOST_JUNK = 2**20
_WINDOW = 2**20
_HEAD = 48  # bytes of a frame, in which a mark is if there is one
_RESERVOIR = 511  # bytes of earlier frames that a frame may use, at most
_PADDED, _UNCHECKED = 0x200, 0x1_0000
_PERIOD = 8  # frames after which the decoder's filter is where it was, in the order of its additions as well
_DELAY = 529  # samples by which any decoder is late, where an encoder tells its own delay
_LEAST_LAME = 36
_LAME = 120  # bytes from the mark to what an encoder says of itself, where nothing is left out
_WORD = struct.Struct(">I")
_ENCODERS = (b"LAME", b"Lavc", b"Lavf")
_MARKS = (b"Xing", b"Info")
_OTHER_MARK = b"VBRI"  # of another encoder, which stands elsewhere
_CRC16 = [reduce(lambda rest, _: rest >> 1 ^ 0xA001 * (rest & 1), range(8), byte) for byte in range(256)]


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
        samples = header.frame_samples(self.word)
        first = max(0, min((self.skip + start) // samples, len(self.offsets)) - 2)
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
        while frame and len(kept) < _RESERVOIR and header.layer(self.word) == 3:
            frame -= 1
            assert self.file is not None
            content = read_at(self.file, self.offsets[frame], self.ends[frame] - self.offsets[frame])
            checksum = 2 * (not content[1] & 1)
            kept = content[header.info_at(self.word) + checksum :] + kept
        return kept[-_RESERVOIR:]

    def _silent_frame(self, kept: bytes) -> bytes:
        word = self.word & ~_PADDED | _UNCHECKED
        if header.layer(word) == 3:
            word = word & ~0xF000 | 14 << 12  # the highest rate, which has room for all that is kept
            kept = kept[-511:] if word >> 19 & 1 else kept[-255:]
        return word.to_bytes(4, "big") + kept.rjust(header.SIZES[word & header.SIZED] - 4, b"\0")


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
        Unreadable: fewer frames than its header says, or none behind those that it says to pass over.
    """
    runs: list[_Run] = []
    junk = searched = 0
    cut = False
    at, base, window = start, start, b""
    kind, info_at, sizes = (-1, False), 0, dict[int, int]()
    last_mark = -1
    while at < end:
        inside = at - base
        if inside < 0 or inside + _HEAD > len(window):
            base, inside, window = at, 0, read_at(file, at, min(_WINDOW, end - at))
            last_mark = max(window.rfind(mark) for mark in (*_MARKS, _OTHER_MARK))
        if inside >= last_mark and runs and runs[-1].offsets:
            edges = [*accumulate(_frames_in_a_row(window, inside, sizes), initial=at)]
            if edges[-1] > end:
                edges.pop()
            runs[-1].offsets.extend(edges[:-1])
            runs[-1].ends.extend(edges[1:])
            if edges[-1] > at:
                at = edges[-1]
                continue
        word = int.from_bytes(window[inside : inside + 4], "big")
        size = sizes.get(word & header.KNOWN, 0)
        if size:
            if at + size > end:
                cut = True
                break
            run = runs[-1]
            if (
                window[inside + info_at : inside + info_at + 4] in _MARKS
                or window[inside + 36 : inside + 40] == _OTHER_MARK
                or (not run.offsets and _is_info(read_at(file, at, size), info_at))
            ):
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
        if header.kind(word) != kind:
            kind, info_at = header.kind(word), header.info_at(word)
            sizes = header.sizes_of(*kind)
            runs.append(_Run(word))
    runs = [run for run in runs if run.offsets]
    if not runs:
        return None
    return _described(file, runs, junk, cut)


def _frames_in_a_row(window: bytes, at: int, sizes: dict[int, int]) -> list[int]:
    """The sizes of the frames that follow each other from a byte on, as far as their beginnings are in the window."""
    known, word_at, row = header.KNOWN, _WORD.unpack_from, list[int]()
    while at + _HEAD <= len(window) and (size := sizes.get(word_at(window, at)[0] & known, 0)):
        row.append(size)
        at += size
    return row


def _described(file: BinaryIO, runs: list[_Run], junk: int, cut: bool) -> Layout:
    flaws = {}
    streams = []
    for run in runs:
        samples = header.frame_samples(run.word)
        skip, stop = 0, len(run.offsets) * samples
        if run.info is not None:
            frames, delay, padding, changed = run.info
            second = header.RATES[run.word >> 19 & 3][run.word >> 10 & 3] / samples
            there = f"{len(run.offsets) / second:.2f} s are there"
            if frames is not None and frames > len(run.offsets) + 1:
                raise Unreadable(f"cut short: its header says {frames / second:.2f} s, {there}", cut=True)
            if frames is not None and frames < len(run.offsets):
                flaws["length"] = f"its header says {frames / second:.2f} s, {there}"
            if changed:
                flaws["header"] = "the frame that describes the others was changed"
            if delay > stop:
                raise Unreadable(
                    f"cannot be decoded: its header says that samples begin behind its end, {there}"
                )
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
            size = header.SIZES.get(word & header.SIZED, 0)
            if not size or kind not in (None, header.kind(word)):
                break
            kind, next_at = header.kind(word), next_at + size
            whole = next_at <= end
            if (number == _CHAIN - 1 and whole) or (number and not whole) or next_at == end:
                return begin
            if not whole:
                break
            if tag_before(read_at(file, next_at, LONGEST_MARK)):
                return begin
    return None
