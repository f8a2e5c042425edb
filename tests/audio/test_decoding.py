"""One reader for all: the same samples, the same length and the same words, whatever wrote the file."""

from __future__ import annotations

import io
import logging
import os
import signal
import struct
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from data_prep.decoding import decode_source
from tests.audio.files import (
    APE_TAG,
    ID3V1,
    RATE,
    claiming,
    encoded,
    flac_of,
    frame_bytes,
    id3v2,
    mp3,
    ogg_flac,
    pages_of,
    tones,
    wav,
    wav_of,
    without_end_mark,
    without_xing,
)
from wavenet_pl.audio.decoding import AudioReader
from wavenet_pl.audio.formats import AUDIO_EXTENSIONS, ODDITIES
from wavenet_pl.audio.reading import read_audio
from wavenet_pl.audio.streams import Unreadable
from wavenet_pl.errors import BadDataError, UserError
from wavenet_pl.shards.format import decode_audio
from wavenet_pl.shards.scan import scan_shard
from wavenet_pl.shards.storage import Storage

from tests.shards.damages import write_tar  # isort: skip

Samples = npt.NDArray[np.float32]
ONE, TWO = tones(), tones(0.6, seed=1)
STEPS = np.random.default_rng(0).integers(-(2**15), 2**15, 4_000)


def samples_of(data: bytes) -> Samples:
    with AudioReader(io.BytesIO(data)) as reader:
        return np.concatenate([*reader.blocks()])[:, 0]


def late(data: bytes, delay: int) -> bytes:
    """An MP3 that claims so many samples before its first: 12 bits, behind the name of its encoder."""
    at = data.index(b"LAME") + 21
    return (
        data[:at]
        + (delay << 12 | int.from_bytes(data[at : at + 3], "big") & 0xFFF).to_bytes(3, "big")
        + data[at + 3 :]
    )


def sequential(data: bytes) -> Samples:
    """What libsndfile makes of a file with one sound header, in one go."""
    with soundfile.SoundFile(io.BytesIO(data)) as file:
        return np.asarray(file.read(dtype="float32", always_2d=True))[:, 0]


class Kind(NamedTuple):
    """A kind of file, what is heard in it, and the flaws that are told."""

    name: str
    data: bytes
    samples: Samples | int
    """Those that are heard, or how many."""
    flaws: tuple[str, ...] = ()


def kinds() -> list[Kind]:
    vbr, other = mp3(ONE), mp3(TWO)
    bare = without_xing(vbr)
    ogg = encoded(ONE, "OGG", "VORBIS")
    pcm = sequential(wav(ONE))
    flac = encoded(np.rint(pcm * 32768).astype(np.int16), "FLAC")  # of floats it would round otherwise
    both = np.concatenate([sequential(vbr), sequential(other)])
    first = frame_bytes(vbr)
    frames = int.from_bytes(vbr[21:25], "big")
    vbri = vbr[:4] + bytes(32) + b"VBRI" + bytes(10) + frames.to_bytes(4, "big")
    with_vbri = vbri.ljust(first, b"\0") + bare
    scaled = encoded(ONE * 32768, "WAV", "FLOAT")
    full = 2 * len(ONE)
    chunk = b"LIST" + struct.pack("<I", 4) + b"INFO"
    shape_24 = struct.pack("<HHIIHH", 1, 1, RATE, 4 * RATE, 4, 24)
    wide = np.left_shift(STEPS.astype("<i4"), 16).tobytes()
    heard_16 = (STEPS / 2**15).astype(np.float32)
    return [
        Kind("mp3 with a Xing header", vbr, len(ONE)),
        Kind("mp3 of a varying rate without a header", bare, -1),
        Kind("mp3 of a constant rate without a header", without_xing(mp3(ONE, mode="CONSTANT")), -1),
        Kind("mp3 with a VBRI header", with_vbri, -1),
        Kind("mp3 with a tag of 60 kB before", id3v2(60_000) + bare, -1),
        Kind("mp3 with two tags before", id3v2(10) + id3v2(3_000) + vbr, len(ONE)),
        Kind("mp3 with tags behind", vbr + APE_TAG + ID3V1, len(ONE)),
        Kind("mp3 with garbage before", b"garbage " * 40 + vbr, len(ONE), ("foreign bytes",)),
        Kind("mp3 with garbage behind", vbr + b"garbage " * 40, len(ONE), ("foreign bytes",)),
        Kind("two mp3", vbr + other, both, ("joined",)),
        Kind("two mp3 with tags between", vbr + ID3V1 + id3v2(500) + other, both, ("joined",)),
        Kind("mp3 without a header, its end cut", bare[:-10], -1, ("unfinished",)),
        Kind("flac of unknown length", claiming(flac, 0), pcm),
        Kind("flac that claims less", claiming(flac, len(ONE) // 2), pcm, ("length",)),
        Kind("flac with a tag before", id3v2(700) + flac, pcm),
        Kind("flac with a tag behind", flac + ID3V1, pcm),
        Kind("flac of unknown length with a tag behind", claiming(flac, 0) + ID3V1, pcm),
        Kind("flac with garbage behind", flac + b"garbage " * 40, pcm, ("foreign bytes",)),
        Kind("flac of 12 bits", flac_of(STEPS >> 4, 12), (STEPS >> 4) / np.float32(2**11)),
        Kind("flac of 20 bits", flac_of(STEPS << 4, 20), heard_16),
        Kind("flac of 32 bits", flac_of([int(step) << 16 for step in STEPS], 32), heard_16),
        Kind("flac in ogg", ogg_flac(STEPS), heard_16),
        Kind("chained ogg", ogg + encoded(TWO, "OGG", "VORBIS"), len(ONE) + len(TWO), ("joined",)),
        Kind("ogg without an end mark", without_end_mark(ogg), sequential(ogg), ("unfinished",)),
        *(
            Kind(f"wav that claims {size:#x} bytes", wav(ONE, size), pcm)
            for size in (
                0,
                0x7FFF0000,
                0x7FFFF000,
                0x7FFFFFFF,
                0x80000000,
                0xFFFF0000,
                0xFFFFF000,
                0xFFFFFFFF,
            )
        ),
        Kind("wav that claims half, as sizes wrap", wav(ONE, full // 2), pcm, ("length",)),
        Kind("wav with a chunk behind", wav(ONE, behind=chunk), pcm),
        Kind(
            "wav with an ID3 chunk behind", wav(ONE, behind=b"id3 " + struct.pack("<I", 99) + bytes(99)), pcm
        ),
        Kind("wav with a tag behind", wav(ONE, behind=ID3V1), pcm),
        Kind("wav with zeros behind", wav(ONE, behind=bytes(500)), pcm, ("foreign bytes",)),
        Kind("wav of 24 bits in 4 bytes", wav_of(shape_24, wide), heard_16),
        Kind("wav of floats in the scale of 16 bits", scaled, ONE * 32768, ("beyond full scale",)),
        Kind("wav whose rate contradicts its bytes", contradicting(wav(ONE)), pcm, ("header",)),
        *(
            Kind(name, encoded(ONE, format, "PCM_16"), pcm)
            for name, format in (
                ("aiff", "AIFF"),
                ("sph", "NIST"),
                ("w64", "W64"),
                ("rf64", "RF64"),
                ("caf", "CAF"),
            )
        ),
        Kind("opus", encoded(ONE, "OGG", "OPUS"), len(ONE)),
    ]


def contradicting(data: bytes) -> bytes:
    return data[:28] + struct.pack("<I", 12_345) + data[32:]


KINDS = kinds()


@pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
def test_every_reader_hears_the_same_of_every_kind(
    kind: Kind, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    heard = samples_of(kind.data)
    if isinstance(kind.samples, int):
        frames = len(heard) / 576
        assert len(heard) == kind.samples or (kind.samples == -1 and frames.is_integer() and frames >= 28)
    else:
        np.testing.assert_array_equal(heard, kind.samples.astype(np.float32))

    path = tmp_path / "a.wav"
    path.write_bytes(kind.data)
    prepared = decode_source(str(path), RATE)
    np.testing.assert_array_equal(prepared.audio, heard)
    assert sorted(prepared.flaws) == sorted(kind.flaws)

    prompt = read_audio(str(path), RATE, "prompt ")
    np.testing.assert_array_equal(prompt, heard)
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert all(line.startswith(f"prompt {path} has a flaw") for line in told)
    assert len(told) == len(kind.flaws) == sum(flaw in "".join(told) for flaw in kind.flaws)

    write_tar(tmp_path / "a.tar", [("a.wav", kind.data)])
    (row,) = scan_shard(Storage(str(tmp_path)), "a.tar", {}).recordings
    assert (row.frames, row.sample_rate, dict(row.flaws)) == (len(heard), RATE, dict(prepared.flaws))

    for start, stop in ((0, 700), (2_000, 3_900), (len(heard) - 300, len(heard)), (3_456, 3_457)):
        np.testing.assert_array_equal(decode_audio(kind.data, start, stop), heard[start:stop])
    assert capfd.readouterr().err == "", "no library writes to the terminal"


def test_every_flaw_of_a_reader_is_shown_by_a_kind() -> None:
    assert {flaw for kind in KINDS for flaw in kind.flaws} == ODDITIES.keys() - {"broken frames"}


def refused(data: bytes) -> dict[str, Callable[[str], object]]:
    """How each reader refuses a file: raises what."""
    return {
        "prepare": lambda path: decode_source(path, RATE),
        "generate": lambda path: read_audio(path, RATE, "prompt "),
        "shards": lambda path: decode_audio(data),
    }


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"To be, or not to be\n" * 99, "cannot be decoded: Format not recognised"),
        (mp3(ONE)[:-800], "cut short: its header says 1.08 s, "),
        (wav(ONE)[:-1_000], "cut short: its header says 32000 bytes of audio, 31000 are there"),
        (claiming(encoded(ONE, "FLAC", "PCM_16"), 2**36 - 1),
         "cut short: its header says 4294967.30 s, 1.00 s are there"),
        (encoded(ONE, "OGG", "VORBIS")[:-10], "cut short: its last page is not whole"),
        (encoded(ONE, "AIFF", "PCM_16")[:-1_000], "cut short: its header says 1.00 s, 0.97 s are there"),
        *((encoded(ONE, format, "PCM_16")[:-1_000], "cut short: its header says 1.00 s, 0.97 s are there")
          for format in ("W64", "RF64", "CAF", "NIST")),
        (wav(ONE)[:24] + struct.pack("<I", 2**31 - 1) + wav(ONE)[28:],
         "its header says 2147483647 Hz, expected 1000 to 768000"),
        (mp3(ONE) + mp3(tones(0.5, 22_050), 22_050), "goes on at 22050 Hz, after 16000 Hz: cut it in two"),
        (late(mp3(tones(0.1)), 4_095),
         "cannot be decoded: its header says that samples begin behind its end, 0.18 s are there"),
        (wav(np.zeros(0, np.float32)), "no samples in it"),
    ],
)  # fmt: skip
def test_every_reader_refuses_in_the_same_words(data: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(data)
    for name, read in refused(data).items():
        if (name, reason) == ("shards", "no samples in it"):
            continue  # which is what was asked for
        with pytest.raises((Unreadable, UserError, BadDataError)) as caught:
            read(str(path))
        assert reason in str(caught.value), name


@pytest.mark.parametrize("seconds", [0.01, 0.1, 0.3])
def test_an_mp3_may_claim_any_delay(seconds: float) -> None:
    data, delays, heard = mp3(tones(seconds)), range(0, 4_096, 91), dict[int, int]()
    for delay in delays:
        with suppress(BadDataError):  # and no other error
            heard[delay] = len(decode_audio(late(data, delay)))
    assert 0 < heard[0] <= RATE
    assert {delay for delay in delays if delay < heard[0]} <= heard.keys(), "a delay within it is taken"
    assert all(length == max(0, heard[0] - delay) for delay, length in heard.items())


@pytest.mark.parametrize("coding", [("MP3", None), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("WAV", "PCM_16")])
@pytest.mark.parametrize("start", [15_990, 16_000, 17_000, 90_000])
def test_what_is_asked_for_behind_the_end_is_cut(coding: tuple[str, str | None], start: int) -> None:
    with pytest.raises(BadDataError, match="ends at sample 16000, expected|cut short|behind"):
        decode_audio(encoded(ONE, *coding), start, start + 100)


@pytest.mark.parametrize("start", [0, 15_000])
def test_channels_that_come_later_are_refused_too(start: int) -> None:
    for coding in (("MP3", None), ("OGG", "VORBIS")):
        joined = encoded(ONE, *coding) + encoded(np.stack([TWO, TWO], axis=1), *coding)
        assert len(decode_audio(joined, start, 16_000)) == 16_000 - start
        with pytest.raises(BadDataError, match="has 2 channels, expected 1"):
            decode_audio(joined, start, 16_900)


def test_a_damaged_page_of_ogg_is_found_by_its_checksum() -> None:
    data = bytearray(encoded(ONE, "OGG", "VORBIS"))
    data[-100] ^= 1
    with pytest.raises(Unreadable, match="damaged: the page at byte .* has another checksum"):
        samples_of(bytes(data))


def test_missing_pages_of_ogg_are_told() -> None:
    pages = pages_of(encoded(tones(8), "OGG", "VORBIS"))
    with AudioReader(io.BytesIO(b"".join(pages[:3] + pages[4:]))) as reader:
        for _ in reader.blocks():
            pass
    assert reader.flaws["broken frames"] == "pages are missing in 1 places"


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
@pytest.mark.parametrize("channels", [1, 2])
def test_any_stretch_of_an_mp3_is_that_of_the_whole_to_the_bit(rate: int, mode: str, channels: int) -> None:
    """Frames keep bits for later ones, and the order of additions turns with every frame."""
    audio = np.stack([tones(3, rate, seed) for seed in range(channels)], axis=1)
    data = mp3(audio, rate, mode)
    with AudioReader(io.BytesIO(data)) as reader:
        whole = np.concatenate([*reader.blocks()])
    assert whole.shape == audio.shape
    np.testing.assert_array_equal(whole[:, 0], sequential(data))
    for start in np.random.default_rng(0).integers(0, len(whole) - 1, 12):
        with AudioReader(io.BytesIO(data), int(start)) as reader:
            stretch = reader.read(5_000)
        np.testing.assert_array_equal(stretch, whole[start : start + len(stretch)])
        assert len(stretch) == min(5_000, len(whole) - start)


def test_what_the_library_says_of_broken_frames_becomes_a_flaw_and_other_lines_pass(
    capfd: pytest.CaptureFixture[str],
) -> None:
    data = bytearray(without_xing(mp3(tones(3), mode="CONSTANT")))
    rng = np.random.default_rng(0)
    at = 0
    while at < len(data):
        size = frame_bytes(bytes(data[at : at + 4]))
        data[at + 6 : at + 12] = rng.bytes(6)  # of what a frame says about its bits
        at += size
    with AudioReader(io.BytesIO(bytes(data))) as reader:
        os.write(2, b"before\n")
        heard = np.concatenate([*reader.blocks()])
        os.write(2, b"after\n")
    assert len(heard) % 576 == 0
    assert reader.flaws["broken frames"].endswith(" of them")
    assert capfd.readouterr().err == "before\nafter\n"


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_what_is_no_file_is_refused_at_once(kind: str, tmp_path: Path) -> None:
    path = {"folder": str(tmp_path), "device": "/dev/zero", "pipe": str(tmp_path / "pipe")}[kind]
    if kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(UserError, match="prompt .* cannot be read"):
        read_audio(path, RATE, "prompt ")
    with pytest.raises(Unreadable):
        decode_source(path, RATE)


def test_names_of_audio_files_end_like_any_format_that_is_read() -> None:
    assert {"opus", "oga", "aiff", "aif", "sph", "w64", "rf64", "caf"} < set(AUDIO_EXTENSIONS)


def test_a_sparse_wav_beyond_4_gib_is_read_by_its_size(tmp_path: Path) -> None:
    """The sizes in its header have wrapped; nobody reads it to its end here."""
    path = tmp_path / "long.wav"
    shape = struct.pack("<HHIIHH", 1, 64, 384_000, 384_000 * 128, 128, 16)
    path.write_bytes(wav_of(shape, bytes(128))[:-128])
    size = 2**32 + 128 * 1_000
    with open(path, "r+b") as file:
        file.seek(40)
        file.write(struct.pack("<I", size - 2**32))
        file.truncate(44 + size)
    with open(path, "rb") as file, AudioReader(file, size // 128 - 10) as reader:
        assert reader.read(100).shape == (10, 64)
        assert not len(reader.read(100))


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_wav_that_passes_4_gib_with_its_header_is_read_or_refused(tmp_path: Path, order: str) -> None:
    path, size = tmp_path / "long.wav", 0xFFFF0000 - 16
    shape = struct.pack(f"{order}HHIIHH", 1, 8, 384_000, 384_000 * 16, 16, 16) + bytes(2**16 - 16)
    magic = b"RIFF" if order == "<" else b"RIFX"
    head = magic + bytes(4) + b"WAVEfmt " + struct.pack(f"{order}I", len(shape)) + shape
    with open(path, "wb") as file:
        file.write(head + b"data" + struct.pack(f"{order}I", size))
        file.truncate(file.tell() + size)
    # Sizes beyond 4 GiB need RF64, whose numbers are never in the other order.
    refused = nullcontext() if order == "<" else pytest.raises(Unreadable, match="cannot be decoded")
    with open(path, "rb") as file, refused, AudioReader(file, size // 16 - 10) as reader:
        assert reader.read(100).shape == (10, 8)


def test_a_file_that_breaks_off_while_it_is_read_is_an_error_of_the_file(tmp_path: Path) -> None:
    class Broken(io.BytesIO):
        def readinto(self, buffer: object) -> int:
            raise OSError(5, "Input/output error")

    data = mp3(ONE)
    with pytest.raises(OSError, match="Input/output error"), AudioReader(Broken(data)) as reader:
        reader.read(100)


@pytest.mark.parametrize(("coding", "start"), [("FLAC", 100), ("MP3", 5_000)])  # as it is, and in pieces
def test_ctrl_c_in_what_the_decoder_calls_is_not_lost(coding: str, start: int) -> None:
    class Struck(io.BytesIO):
        def readinto(self, buffer: Any) -> int:
            signal.raise_signal(signal.SIGINT)
            return super().readinto(buffer)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            AudioReader(Struck(encoded(ONE, coding)), start)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
