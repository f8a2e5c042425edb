"""Shards as they are written, and single audio files as they are read."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from tests.shards.damages import audio_bytes, wav_bytes, webdataset_samples, write_tar
from tests.shards.made import make_audio
from wavenet_pl.errors import BadDataError
from wavenet_pl.inputs.mel import Mel
from wavenet_pl.inputs.notes import Notes
from wavenet_pl.shards.damage import REMEDIES
from wavenet_pl.shards.format import (
    Entry,
    ShardWriter,
    Span,
    check_key,
    decode_audio,
    encode_audio,
    read_member,
    read_metadata,
)

NOTES = Notes(hop_length=32)
MEL = Mel(hop_length=100, window_length=400, num_mels=20, lowest_hz=55.0, highest_hz=3800.0, floor_db=-80.0)


@contextmanager
def bad(kind: str, message: str) -> Iterator[pytest.ExceptionInfo[BadDataError]]:
    """Expects this kind of bad data, and this message."""
    with pytest.raises(BadDataError, match=message) as caught:
        yield caught
    assert caught.value.kind == kind
    assert kind in REMEDIES


def entries(count: int = 3) -> list[Entry]:
    return [
        Entry(
            key=f"speaker/rec-{n}",
            audio=make_audio(1_000 + n, seed=n),
            sample_rate=8000,
            metadata={"speaker": "Ünal", "text": 'a "b" \u2028 c', "tags": ["x"], "start": n},
        )
        for n in range(count)
    ]


def write(path: Path, rows: list[Entry]) -> ShardWriter:
    with ShardWriter(path) as writer:
        for row in rows:
            writer.write(row)
    return writer


@pytest.mark.parametrize("audio", [make_audio(5_000), np.arange(-32768, 32768, dtype=np.int16)])
def test_audio_comes_back_to_the_bit(audio: np.ndarray) -> None:
    data = encode_audio(audio, 16_000)
    back = decode_audio(data, sample_rate=16_000)
    assert back.dtype == np.float32
    assert np.array_equal(back * 32768, audio)
    assert -1 <= back.min() <= back.max() < 1


@pytest.mark.parametrize("extension", ["flac", "wav", "ogg", "mp3"])
@pytest.mark.parametrize(
    ("start", "stop"), [(0, 1), (0, 9_000), (4_321, 4_322), (4_000, 8_999), (8_999, 9_000)]
)
def test_a_range_is_that_part_of_the_whole(extension: str, start: int, stop: int) -> None:
    data = audio_bytes(9_000, extension)
    whole = decode_audio(data, 0, 9_000)
    np.testing.assert_array_equal(decode_audio(data, start, stop), whole[start:stop])


def test_a_shard_has_the_bytes_of_webdatasets_own_writer(tmp_path: Path) -> None:
    from webdataset.writer import TarWriter

    written = write(tmp_path / "a.tar", entries()).written
    with tarfile.open(tmp_path / "a.tar") as tar:
        contents = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    theirs = io.BytesIO()
    with TarWriter(theirs, encoder=False, mtime=0) as writer:
        for entry in entries():
            members = {name: contents[f"{entry.key}.{name}"] for name in ("json", "flac")}
            writer.write({"__key__": entry.key, **members})
    assert (tmp_path / "a.tar").read_bytes() == theirs.getvalue()
    assert (written.bytes, written.sha256) == (
        len(theirs.getvalue()), hashlib.sha256(theirs.getvalue()).hexdigest()
    )  # fmt: skip


def test_shard_opens_with_tar_and_with_webdataset(tmp_path: Path) -> None:
    write(tmp_path / "a.tar", entries())
    with tarfile.open(tmp_path / "a.tar") as tar:
        names = tar.getnames()
        assert all(member.mtime == 0 and member.isreg() for member in tar)
    assert names == [f"speaker/rec-{n}.{extension}" for n in range(3) for extension in ("flac", "json")]
    samples = webdataset_samples(tmp_path / "a.tar")
    assert len(samples) == 3
    for sample, entry in zip(samples, entries(), strict=True):
        audio, rate = soundfile.read(io.BytesIO(sample["flac"]), dtype="int16")
        assert sample["__key__"] == entry.key
        assert rate == 8000
        assert np.array_equal(audio, entry.audio)
        metadata = json.loads(sample["json"])
        assert metadata == {**entry.metadata, "frames": len(entry.audio), "sample_rate": 8000}


def test_same_entries_give_the_same_bytes_and_a_true_description(tmp_path: Path) -> None:
    writers = [write(tmp_path / folder / "a.tar", entries()) for folder in ("one", "two")]
    data = (tmp_path / "one/a.tar").read_bytes()
    assert data == (tmp_path / "two/a.tar").read_bytes()
    written = writers[0].written
    assert written == writers[1].written
    assert (written.bytes, written.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    for members, entry in zip(written.members, entries(), strict=True):
        for extension, (offset, size, crc32) in members.items():
            content = data[offset : offset + size]
            assert crc32 == zlib.crc32(content)
            if extension == "flac":
                assert content == encode_audio(entry.audio, 8000)
            else:
                assert json.loads(content)["start"] == entry.metadata["start"]


def test_shard_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    def stop_half_way() -> None:
        with ShardWriter(tmp_path / "a.tar") as writer:
            writer.write(entries()[0])
            assert not (tmp_path / "a.tar").exists()
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        stop_half_way()
    assert list(tmp_path.iterdir()) == []


def test_failed_write_leaves_the_older_shard_as_it_was(tmp_path: Path) -> None:
    write(tmp_path / "a.tar", entries(1))
    before = (tmp_path / "a.tar").read_bytes()
    with pytest.raises(BadDataError, match="rec-0 is in a.tar twice, expected each key once"):
        write(tmp_path / "a.tar", [*entries(2), entries(1)[0]])
    assert (tmp_path / "a.tar").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]


def test_empty_shard_is_a_tar_without_members(tmp_path: Path) -> None:
    assert write(tmp_path / "a.tar", []).written.members == ()
    with tarfile.open(tmp_path / "a.tar") as tar:
        assert tar.getnames() == []


@pytest.mark.parametrize("key", ["a", "A-b_9", "p225/001", "a/b/c"])
def test_good_keys_pass(key: str) -> None:
    check_key(key)


@pytest.mark.parametrize(
    "key", ["", "a.b", "../a", "/a", "a/", "a//b", "a b", "ä", "a\n", "a\0", "a\\b", ".", "a/./b", "pipe:x"]
)
def test_keys_that_readers_trip_over_are_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(BadDataError, match="has other signs than letters, digits, _ and -"):
        check_key(key)
    with pytest.raises(BadDataError, match="has other signs"):
        write(tmp_path / "a.tar", [Entry(key=key, audio=make_audio(10), sample_rate=8000)])
    assert not (tmp_path / "a.tar").exists()


def test_metadata_that_is_no_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write(
            tmp_path / "a.tar",
            [Entry(key="a", audio=make_audio(10), sample_rate=8000, metadata={"x": float("nan")})],
        )


@pytest.mark.parametrize("data", [b"", b"RIFF", b"<html></html>", bytes(5_000), b"fLaC" + b"\xff" * 500])
def test_bytes_that_are_no_audio_are_refused(data: bytes) -> None:
    with bad("audio", "cannot be read") as caught:
        decode_audio(data, 0, 10)
    assert " at 0x" not in str(caught.value), "the same words every time"


def test_header_of_one_hertz_is_refused() -> None:
    with bad("audio", "its header says 1 Hz, expected 1000 to 768000"):
        decode_audio(audio_bytes(rate=1))


def test_stereo_is_refused() -> None:
    with bad("channels", "has 2 channels, expected 1"):
        decode_audio(audio_bytes(channels=2))


def test_another_sample_rate_is_refused_where_one_is_expected() -> None:
    assert len(decode_audio(audio_bytes(rate=16_000))) == 1_000
    with bad("sample rate", "has 16000 Hz, expected 8000"):
        decode_audio(audio_bytes(rate=16_000), sample_rate=8_000)


def test_audio_that_ends_early_is_refused() -> None:
    with bad("cut audio", "ends at sample 1000, expected 1001"):
        decode_audio(audio_bytes(1_000), 10, 1_001)
    with bad("cut audio", "ends at sample 1000, expected 2001"):
        decode_audio(audio_bytes(1_000), 2_000, 2_001)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_samples_that_are_no_numbers_are_refused(wrong: float) -> None:
    with bad("not finite", "has samples that are no numbers"):
        decode_audio(wav_bytes([0.0, wrong, 0.0]))


@pytest.mark.parametrize("position", range(60, 3_000, 117))
def test_any_flipped_bit_of_a_flac_is_noticed(position: int) -> None:
    """Both the frame headers and the frames have checksums."""
    data = bytearray(encode_audio(make_audio(3_000), 8000))
    first_frame = 4 + 38 + data[4 + 38 + 1 + 2] + 4 if data[4] < 128 else 42
    data[max(first_frame, position)] ^= 4
    with bad("audio", "cannot be decoded"):
        decode_audio(bytes(data), 0, 3_000)


def test_only_what_is_asked_for_is_decoded() -> None:
    """The end is broken: who reads the beginning never notices."""
    data = bytearray(encode_audio(make_audio(40_000), 8000))
    data[-500:] = bytes(500)
    assert len(decode_audio(bytes(data), 0, 500)) == 500
    with bad("audio", "cannot be decoded"):
        decode_audio(bytes(data), 39_500, 40_000)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"{", "broken JSON"),
        (b"\xff", "broken JSON"),
        (b"[" * 10**5, "broken JSON"),
        (b"[]", "JSON that is a list"),
    ],
)
def test_metadata_that_is_no_object_is_refused(data: bytes, message: str) -> None:
    with bad("broken JSON", f"has {message}"):
        read_metadata(data)


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize(
    "name", ["a.wav", "./a.wav", "d/e/a.WAV", "x" * 90 + "/" + "y" * 90 + ".wav", "z" * 300 + ".WAV"]
)
def test_members_are_recognised_by_their_header(tmp_path: Path, name: str, format: int) -> None:
    if len(name) > 255 and format == tarfile.USTAR_FORMAT:
        return  # it cannot be written
    path = write_tar(tmp_path / "a.tar", [(name, b"x" * 700)], format)
    with tarfile.open(path) as tar:
        (member,) = tar
    data = path.read_bytes()[member.offset_data - 512 : member.offset_data + 700]
    key = name.removeprefix("./").partition(".")[0]
    place = Span(member.offset_data, 700, zlib.crc32(b"x" * 700))
    assert read_member(data, key, "wav", place) == b"x" * 700
    with bad("moved", "is not where the index says: found .* with 700 bytes, expected"):
        read_member(data, f"{key[:3]}q", "wav", place)
    if len(name) < 100:
        with bad("moved", "is not where the index says"):
            read_member(data, key, "ogg", place)
    with bad("moved", "with 700 bytes, expected .* with 699"):
        read_member(data[:-1], key, "wav", place._replace(size=699))
    with bad("cut shard", "has 699 bytes, expected 700"):
        read_member(data[:-1], key, "wav", place)


@pytest.mark.parametrize("bit", range(0, 8 * 700, 97))
def test_any_flipped_bit_of_a_member_is_noticed(tmp_path: Path, bit: int) -> None:
    data = bytearray(write_tar(tmp_path / "a.tar", [("a.wav", b"x" * 700)]).read_bytes()[: 512 + 700])
    place = Span(512, 700, zlib.crc32(b"x" * 700))
    data[512 + bit // 8] ^= 1 << bit % 8
    with bad("changed", "has other bytes than the index says .CRC-32."):
        read_member(bytes(data), "a", "wav", place)


@pytest.mark.parametrize("header", [bytes(512), b"\xff" * 512, b"RIFF" * 128])
@pytest.mark.parametrize(("content", "kind"), [(b"abc", "broken header"), (b"xyz", "moved")])
def test_what_is_no_header_is_not_recognised(header: bytes, content: bytes, kind: str) -> None:
    """Where the content is as it was, the header alone was broken; else it may be another place altogether."""
    with bad(kind, "has no tar header before it, expected that of 'a.wav'"):
        read_member(header + content, "a", "wav", Span(512, 3, zlib.crc32(b"abc")))


def frames_of(samples: int) -> dict[str, npt.NDArray[Any]]:
    random = np.random.default_rng(samples)
    return {
        "notes": random.integers(0, 128, (NOTES.num_frames(samples), 89), np.uint8),
        "mel": random.random((MEL.num_frames(samples), 20)).astype(np.float16),
    }


def test_frames_stand_beside_the_audio_and_webdataset_reads_them(tmp_path: Path) -> None:
    made = {f"rec-{samples}": frames_of(samples) for samples in (3_000, 4_001)}
    with ShardWriter(tmp_path / "a.tar", ["notes", "mel"]) as writer:
        for key, arrays in made.items():
            audio = make_audio(int(key[4:]))
            writer.write(Entry(key=key, audio=audio, sample_rate=8_000, arrays=arrays))
    assert [list(members) for members in writer.written.members] == [
        ["flac", "json", "mel.npy", "notes.npy"]
    ] * 2
    samples = webdataset_samples(tmp_path / "a.tar")
    assert [sample["__key__"] for sample in samples] == list(made)
    for sample, arrays in zip(samples, made.values(), strict=True):
        for name, stored in arrays.items():
            assert np.array_equal(np.load(io.BytesIO(sample[f"{name}.npy"])), stored)
