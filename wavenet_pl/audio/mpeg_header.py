"""What the first four bytes of an MPEG frame say: how many bytes and samples it has, and what is alike in a stream."""

from __future__ import annotations

from functools import cache

_BITRATES = {
    (3, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (3, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (3, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}  # (version, layer) -> kilobits a second; version 3 is MPEG 1, 2 and 0 are those of the lower rates
RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
"""Version -> Hz."""
SIZED = 0xFFFE_FE00
"""The bits that decide a frame's size."""
_ALIKE = 0xFFFE_0C00  # those that stay the same in a stream: version, layer, rate
_MONO = 0xC0


def _size_of_frames() -> dict[int, int]:
    sizes = {}
    for version, rates in RATES.items():
        for layer in (1, 2, 3):
            for number, kilobits in enumerate(_BITRATES[3 if version == 3 else 2, layer], start=1):
                for column, rate in enumerate(rates):
                    for padding in (0, 1):
                        word = 0xFFE0_0000 | version << 19 | 4 - layer << 17 | number << 12 | column << 10
                        slot = 4 if layer == 1 else 1
                        slots = 12 if layer == 1 else 72 if layer == 3 and version != 3 else 144
                        sizes[word | padding << 9] = slot * (slots * kilobits * 1000 // rate + padding)
    return sizes


SIZES = _size_of_frames()
"""These bits -> bytes."""
KNOWN = SIZED | _MONO
"""The bits that decide a frame's size, and whether it has one channel."""


@cache
def sizes_of(alike: int, mono: bool) -> dict[int, int]:
    """The sizes of the frames of one kind, by `KNOWN` bits; the kind as `kind` has it."""
    return {
        word | mode << 6: size
        for word, size in SIZES.items()
        if word & _ALIKE == alike
        for mode in range(4)
        if (mode << 6 == _MONO) == mono
    }


def layer(word: int) -> int:
    """I, II or III."""
    return 4 - (word >> 17 & 3)


def frame_samples(word: int) -> int:
    """Of each channel."""
    if layer(word) == 1:
        return 384
    return 576 if layer(word) == 3 and not word >> 19 & 1 else 1152


def info_at(word: int) -> int:
    """Where in a frame of layer III the main data begins, or the mark of the frame that describes the others."""
    side = {(0, True): 9, (0, False): 17, (1, True): 17, (1, False): 32}
    return 4 + side[word >> 19 & 1, word & _MONO == _MONO]


def kind(word: int) -> tuple[int, bool]:
    """What is the same in all frames of a stream: version, layer, rate; and whether there is one channel."""
    return word & _ALIKE, word & _MONO == _MONO
