"""Audio files whose headers were changed at random: always an answer, and never another length without a word."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import pytest

from data_prep.decoding import decode
from tests.audio.files import RATE, encoded, id3v2, mp3, tones, wav, without_xing
from tests.memory import taking_at_most
from wavenet_pl.audio.decoding import AudioReader
from wavenet_pl.audio.resampling import resample
from wavenet_pl.audio.streams import Unreadable

CASES = int(os.environ.get("MUTATED_HEADERS", "480"))
"""How many headers are changed, all formats together; 20,000 take some minutes."""
MOST_MEMORY = 500 * 2**20
LARGEST_CHANGE = 0.01
HEADER = 200
"""Bytes at the beginning of a file in which it is changed."""
ODD = (0, 1, 0x7F, 0x80, 0xFE, 0xFF)

Answer = Callable[[bytes], float | str]
"""Seconds that are heard where nothing is odd, or what is told."""


def heard(data: bytes) -> float | str:
    """What the one reader makes of an audio file."""
    try:
        with AudioReader(io.BytesIO(data)) as reader:
            decoded = decode(reader, RATE)
    except Unreadable as error:
        return error.reason
    return ", ".join(decoded.flaws) or decoded.seconds


def sounds() -> dict[str, bytes]:
    """A sound file of each format."""
    audio = tones(0.5)
    return {
        "wav": wav(audio),
        "float wav": encoded(audio, "WAV", "FLOAT"),
        "flac": encoded(audio, "FLAC", "PCM_16"),
        "mp3": mp3(audio),
        "mp3 without a header": without_xing(mp3(audio)),
        "mp3 with a tag": id3v2(60) + mp3(audio),
        "ogg": encoded(audio, "OGG", "VORBIS"),
        "opus": encoded(audio, "OGG", "OPUS"),
    }


ANSWERS: dict[str, Answer] = dict.fromkeys(sounds(), heard)
"""Format -> how its files are read."""


@cache
def sound(format: str) -> bytes:
    return sounds()[format]


def mutations(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """The file with some bytes of its header changed, in many ways."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        changed = bytearray(data)
        for _ in range(int(rng.integers(1, 5))):
            at = int(rng.integers(0, min(HEADER, len(changed))))
            kind = int(rng.integers(0, 5))
            if kind == 0:
                changed[at] ^= 1 << int(rng.integers(0, 8))
            elif kind == 1:
                changed[at] = ODD[int(rng.integers(0, len(ODD)))]
            elif kind == 2:
                changed[at : at + 4] = rng.bytes(4)
            elif kind == 3:
                changed[at : at + 4] = bytes([ODD[int(rng.integers(0, len(ODD)))]]) * 4
            else:
                changed[at] = int(rng.integers(0, 256))
        yield bytes(changed)


@pytest.mark.parametrize("format", list(ANSWERS))
def test_a_changed_header_costs_no_memory_and_changes_no_length_in_silence(
    format: str, capfd: pytest.CaptureFixture[str]
) -> None:
    answer, data = ANSWERS[format], sound(format)
    true = answer(data)
    assert isinstance(true, float)
    resample(tones(0.1), 22_050, RATE)  # loads torch, which takes more than anything here
    with taking_at_most(MOST_MEMORY):
        for number, changed in enumerate(mutations(data, CASES // len(ANSWERS), seed=0)):
            told = answer(changed)
            if isinstance(told, float):
                assert abs(told - true) <= LARGEST_CHANGE * true, (number, told, true)
            else:
                assert told, number
    assert capfd.readouterr().err == ""
