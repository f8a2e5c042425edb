"""Audio files as all kinds of programs leave them: made whole, then changed byte by byte."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import soundfile

from wavenet_pl.audio.ogg import page_checksum

RATE = 16_000


def tones(seconds: float = 1.0, rate: int = RATE, seed: int = 0) -> npt.NDArray[np.float32]:
    """(samples,) of gliding tones and some noise: louder and softer, so that frames of a varying rate differ."""
    time = np.arange(round(seconds * rate)) / rate
    hiss = np.random.default_rng(seed).standard_normal(len(time))
    glide = np.sin(2 * np.pi * (300 + 100 * seed + 400 * time) * time)
    return (0.2 * glide + 0.1 * hiss * (1 + np.sin(9 * time))).astype(np.float32)


def encoded(
    audio: npt.ArrayLike, format: str, subtype: str | None = None, rate: int = RATE, **options: object
) -> bytes:
    """Audio as a whole file of a format of libsndfile."""
    buffer = io.BytesIO()
    soundfile.write(buffer, np.asarray(audio), rate, format=format, subtype=subtype, **options)
    return buffer.getvalue()


def mp3(audio: npt.ArrayLike, rate: int = RATE, mode: str = "VARIABLE") -> bytes:
    """An MP3 with a Xing header."""
    return encoded(audio, "MP3", rate=rate, bitrate_mode=mode, compression_level=0.5)


def without_xing(data: bytes) -> bytes:
    """An MP3 of 16 kHz without its first frame, which is the one that describes the others."""
    return data[frame_bytes(data) :]


def frame_bytes(data: bytes) -> int:
    """Bytes of the first frame of an MP3 of 16 kHz. (MPEG 2 layer III: 72 slots for each kilobit a millisecond.)"""
    kilobits = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)[data[2] >> 4]
    return 72 * kilobits * 1000 // RATE + (data[2] >> 1 & 1)


def id3v2(size: int) -> bytes:
    """A tag of so many bytes behind its ten."""
    return b"ID3\4\0\0" + bytes(size >> shift & 127 for shift in (21, 14, 7, 0)) + bytes(size)


ID3V1 = b"TAG" + b"title".ljust(125, b"\0")
APE_TAG = b"x" * 20 + b"APETAGEX" + struct.pack("<IIII", 2000, 32 + 20, 1, 0) + bytes(8)


def wav(audio: npt.NDArray[np.float32], size: int | None = None, behind: bytes = b"") -> bytes:
    """A WAV of 16 bits that claims `size` bytes of samples, and what follows these."""
    data = bytearray(encoded(audio, "WAV", "PCM_16"))
    if size is not None:
        data[40:44] = struct.pack("<I", size)
    return bytes(data) + behind


def wav_of(shape: bytes, samples: bytes) -> bytes:
    """A WAV of a format chunk and samples."""
    chunks = (
        b"fmt " + struct.pack("<I", len(shape)) + shape + b"data" + struct.pack("<I", len(samples)) + samples
    )
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def claiming(flac: bytes, samples: int) -> bytes:
    """A FLAC that claims another length; 0 is none, as where it was written to a pipe.

    In its first block, the lower 36 bits of bytes 18 to 25 are the number of samples.
    """
    packed = int.from_bytes(flac[18:26], "big") >> 36 << 36 | samples
    return flac[:18] + packed.to_bytes(8, "big") + flac[26:]


def flac_of(samples: Sequence[int], bits: int) -> bytes:
    """A FLAC of 16 kHz with so many bits, which libsndfile cannot write: every sample as it is."""
    block, frames = 160, b""
    assert not len(samples) % block and len(samples) < 128 * block
    for number in range(len(samples) // block):
        size = {8: 1, 12: 2, 16: 4, 20: 5, 24: 6, 32: 7}[bits]
        head = bytes([0xFF, 0xF8, 0x65, size << 1, number, block - 1])
        head += bytes([_crc(head, 8, 0x07)])
        digits = "00000010" + "".join(
            f"{sample & 2**bits - 1:0{bits}b}" for sample in samples[number * block : (number + 1) * block]
        )
        digits += "0" * (-len(digits) % 8)
        frame = head + int(digits, 2).to_bytes(len(digits) // 8, "big")
        frames += frame + _crc(frame, 16, 0x8005).to_bytes(2, "big")
    packed = (RATE << 44 | (bits - 1) << 36 | len(samples)).to_bytes(8, "big")
    return b"fLaC\x80\0\0\x22" + block.to_bytes(2, "big") * 2 + bytes(6) + packed + bytes(16) + frames


def _crc(data: bytes, width: int, polynomial: int) -> int:
    register = 0
    for byte in data:
        register ^= byte << width - 8
        for _ in range(8):
            register = register << 1 ^ (polynomial if register >> width - 1 else 0)
            register &= 2**width - 1
    return register


def pages_of(ogg: bytes) -> list[bytes]:
    """The pages of an Ogg file."""
    pages, at = [], 0
    while at < len(ogg):
        size = 27 + ogg[at + 26] + sum(ogg[at + 27 : at + 27 + ogg[at + 26]])
        pages.append(ogg[at : at + size])
        at += size
    return pages


def changed_page(page: bytes, at: int, value: bytes) -> bytes:
    """A page with other bytes in its header, and a checksum that fits."""
    page = page[:at] + value + page[at + len(value) :]
    page = page[:22] + bytes(4) + page[26:]
    return page[:22] + page_checksum(page).to_bytes(4, "little") + page[26:]


def without_end_mark(ogg: bytes) -> bytes:
    """An Ogg file whose last page is not marked as the last."""
    *others, last = pages_of(ogg)
    return b"".join(others) + changed_page(last, 5, bytes([last[5] & ~4]))


def ogg_flac(samples: Sequence[int]) -> bytes:
    """FLAC of 16 bits in Ogg: a packet for the header, one for a comment, and one for each frame."""
    flac = flac_of(samples, 16)
    size = 10 + 160 * 2  # of a frame: its header, the samples as they are, a checksum
    frames = [flac[at : at + size] for at in range(42, len(flac), size)]
    comment = b"\x84\0\0\x08" + bytes(8)
    packets = [b"\x7fFLAC\1\0\0\1fLaC\0" + flac[5:42], comment, *frames]
    pages = []
    for number, packet in enumerate(packets):
        flags = 2 * (number == 0) | 4 * (number == len(packets) - 1)
        lacing = bytes([255] * (len(packet) // 255) + [len(packet) % 255])
        head = struct.pack(
            "<4sBBQIIIB", b"OggS", 0, flags, max(0, number - 1) * 160, 7, number, 0, len(lacing)
        )
        pages.append(changed_page(head + lacing + packet, 22, bytes(4)))
    return b"".join(pages)
