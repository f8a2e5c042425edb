"""What scanning one shard finds: every recording in full, and every damage by key and kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.audio.files import claiming
from tests.shards.damages import (
    DAMAGES,
    TABLES,
    audio_bytes,
    metadata_bytes,
    wav_bytes,
    webdataset_samples,
    write_tar,
)
from tests.shards.made import SAMPLE_RATE, make_audio
from wavenet_pl.shards.format import Entry, ShardWriter
from wavenet_pl.shards.index import load_index
from wavenet_pl.shards.scan import ScannedShard, scan_shard
from wavenet_pl.shards.storage import Storage


def scanned(folder: Path, members: list[tuple[str, bytes]]) -> ScannedShard:
    write_tar(folder / "a.tar", members)  # type: ignore[arg-type]
    return scan_shard(Storage(str(folder)), "a.tar", TABLES)


def kinds(shard: ScannedShard) -> list[tuple[str, str]]:
    return [(row.key, row.kind) for row in shard.damage]


def keys(shard: ScannedShard) -> list[str]:
    return [row.key for row in shard.recordings]


def test_scan_of_a_written_shard_finds_what_was_written(shard_set: Path) -> None:
    index = load_index(shard_set)
    for shards in index.splits.values():
        for shard in shards:
            found = scan_shard(Storage(str(shard_set)), shard.name, TABLES)
            assert not found.damage
            assert (found.name, found.bytes, found.sha256) == (shard.name, shard.bytes, shard.sha256)
            for ours, row in zip(found.recordings, shard.recordings, strict=True):
                assert (ours.key, ours.frames, ours.members) == (row.key, row.frames, row.members)
                names = index.labels.tables
                assert ours.names == {
                    table: tuple(names[table][each] for each in found) for table, found in row.rows.items()
                }
                assert set(ours.names) == {"speaker", "tags"}
                assert ours.source == f"take-{int(row.key[4:])}.wav"


def test_foreign_shard_of_all_formats_is_read(tmp_path: Path) -> None:
    members = [
        ("d/one.wav", audio_bytes(500)),
        ("d/one.txt", b"words"),
        ("d/two.ogg", audio_bytes(700, "ogg")),
        ("d/three.FLAC", audio_bytes(900, "flac")),
        ("d/three.speaker.txt", b"x"),
        ("d/four.json", metadata_bytes(speaker=225, tags=None)),
        ("d/four.mp3", audio_bytes(2000, "mp3")),
        ("README", b"no extension: other readers pass over it"),
        (".hidden.wav", b""),
        ("__meta__/info.json", b"{"),
    ]
    found = scanned(tmp_path, members)
    assert not found.damage
    assert [(row.key, row.frames) for row in found.recordings] == [
        ("d/one", 500),
        ("d/two", 700),
        ("d/three", 900),
        ("d/four", 2000),
    ]
    assert set(found.recordings[2].members) == {"flac", "speaker.txt"}
    assert [row.names for row in found.recordings] == [{}, {}, {}, {"speaker": ("225",)}]
    samples = webdataset_samples(tmp_path / "a.tar")
    assert [
        (sample["__key__"], {*sample} - {"__key__", "__url__", "__local_path__"}) for sample in samples
    ] == [(row.key, set(row.members)) for row in found.recordings], "webdataset groups alike"


@pytest.mark.parametrize(
    ("members", "kind"),
    [
        ({"wav": b""}, "audio"),
        ({"wav": b"<html>404 Not Found</html>" * 50}, "audio"),
        ({"wav": audio_bytes()[:40]}, "audio"),
        ({"wav": audio_bytes(0)}, "audio"),
        ({"wav": wav_bytes([0.0, float("nan"), 0.5])}, "not finite"),
        ({"wav": wav_bytes([0.0, float("inf")])}, "not finite"),
        ({"wav": audio_bytes()[:-600]}, "cut audio"),
        ({"ogg": audio_bytes(20_000, "ogg")[:-600]}, "cut audio"),
        ({"flac": audio_bytes(20_000, "flac")[:-600]}, "audio"),
        ({"mp3": audio_bytes(20_000, "mp3")[:-600]}, "cut audio"),
        ({"wav": audio_bytes(channels=2)}, "channels"),
        ({"wav": audio_bytes(rate=1)}, "audio"),
        ({"json": b"{}"}, "no audio"),
        ({"wav": audio_bytes(), "json": b"{"}, "broken JSON"),
        ({"wav": audio_bytes(), "json": b"[1]"}, "broken JSON"),
        ({"wav": audio_bytes(), "json": b"[" * 100_000}, "broken JSON"),
        ({"wav": audio_bytes(), "json": b'{"speaker": "\xff"}'}, "broken JSON"),
        ({"wav": audio_bytes(), "json": b'{"speaker": ["a"]}'}, "metadata"),
        ({"wav": audio_bytes(), "json": b'{"speaker": true}'}, "metadata"),
        ({"wav": audio_bytes(), "json": b'{"speaker": "\\ud800"}'}, "metadata"),
        ({"wav": audio_bytes(), "json": b'{"tags": "a, b"}'}, "metadata"),
        ({"wav": audio_bytes(), "json": b'{"tags": [1]}'}, "metadata"),
    ],
)
def test_each_kind_of_bad_recording_is_named_and_the_others_stay(
    tmp_path: Path, members: dict[str, bytes], kind: str
) -> None:
    good = audio_bytes(300)
    bad = [(f"bad.{extension}", content) for extension, content in members.items()]
    found = scanned(tmp_path, [("first.wav", good), *bad, ("last.wav", good)])
    assert kinds(found) == [("bad", kind)]
    assert found.damage[0].shard == "a.tar"
    assert found.damage[0].found
    assert " at 0x" not in found.damage[0].found, "the same words every time"
    assert keys(found) == ["first", "last"]


def test_a_table_of_the_users_own_is_read_where_it_is_asked_for(tmp_path: Path) -> None:
    members = [
        ("a.wav", audio_bytes(300)),
        ("a.json", metadata_bytes(accent="scots", tags=["x", "y"])),
        ("b.wav", audio_bytes(300)),
        ("b.json", metadata_bytes(accent=7)),
        ("c.wav", audio_bytes(300)),
        ("c.json", metadata_bytes(accent=None)),
        ("d.wav", audio_bytes(300)),
        ("d.json", metadata_bytes(accent=["scots"])),
    ]
    write_tar(tmp_path / "a.tar", members)
    found = scan_shard(Storage(str(tmp_path)), "a.tar", {**TABLES, "accent": False})
    assert [row.names for row in found.recordings] == [
        {"accent": ("scots",), "tags": ("x", "y")}, {"accent": ("7",)}, {},
    ]  # fmt: skip
    assert kinds(found) == [("d", "metadata")]
    assert found.damage[0].found == "accent is ['scots'], expected a name"
    unasked = scan_shard(Storage(str(tmp_path)), "a.tar", TABLES)
    assert [row.names for row in unasked.recordings] == [{"tags": ("x", "y")}, {}, {}, {}]


def test_flac_that_claims_200_hours_is_read_to_its_end_and_not_believed(tmp_path: Path) -> None:
    found = scanned(tmp_path, [("bomb.flac", claiming(audio_bytes(1_000, "flac"), 200 * 3600 * SAMPLE_RATE))])
    assert kinds(found) == [("bomb", "cut audio")]
    assert (
        found.damage[0].found == "cannot be read (cut short: its header says 720000.00 s, 0.12 s are there)"
    )


@pytest.mark.parametrize(
    ("names", "lost", "kept"),
    [
        (["a.1.wav", "a.1.json", "a.2.wav", "b.wav"], [("a.1", "dotted key"), ("a.2", "dotted key")], ["b"]),
        (["v1.0.wav", "b.wav"], [("v1.0", "dotted key")], ["b"]),
        (["a b.wav", "b.wav"], [("a b", "bad key")], ["b"]),
        (["ä.wav", "b.wav"], [("ä", "bad key")], ["b"]),
        (["v1.0/a.wav", "b.wav"], [("v1.0/a", "bad key")], ["b"]),
        (["b.wav", "a.wav", "a.w v"], [("a", "bad key")], ["b"]),
        (["a.wav", "b.wav", "a.json", "b.json"], [("a", "interleaved"), ("b", "interleaved")], []),
        (["a.wav", "b.wav", "b.json", "a.json"], [("a", "interleaved")], ["b"]),
        (["a.wav", "a.wav", "b.wav"], [("a", "duplicate")], ["b"]),
        (["a.wav", "b.wav", "a.wav"], [("a", "duplicate")], ["a", "b"]),
        (["a.wav", "a.json", "b.wav", "a.json"], [("a", "duplicate")], ["a", "b"]),
        (["a.json", "b.wav", "a.json"], [("a", "no audio"), ("a", "duplicate")], ["b"]),
    ],
)
def test_keys_that_other_readers_mix_up_are_named(
    tmp_path: Path, names: list[str], lost: list[tuple[str, str]], kept: list[str]
) -> None:
    content = {"wav": audio_bytes(300), "json": b"{}", "w v": b""}
    found = scanned(tmp_path, [(name, content[name.rpartition(".")[2]]) for name in names])
    assert kinds(found) == lost
    assert keys(found) == kept


@pytest.mark.parametrize("damage", DAMAGES)
def test_no_half_recording_is_sound_in_a_damaged_shard(tmp_path: Path, damage: str) -> None:
    with ShardWriter(tmp_path / "a.tar") as writer:
        for number in range(4):
            writer.write(Entry(key=f"key-{number}", audio=make_audio(3_000, seed=number), sample_rate=8000))
    lost = DAMAGES[damage](tmp_path / "a.tar")
    found = scan_shard(Storage(str(tmp_path)), "a.tar", TABLES)
    assert found.damage
    sound = {row.key for row in found.recordings if not row.suspect}
    assert sound <= {f"key-{number}" for number in range(4)} - lost
    for row in found.recordings:
        assert row.frames == 3_000, "whatever is kept is kept in full"


def test_broken_json_header_leaves_its_recording_suspect(tmp_path: Path) -> None:
    path = write_tar(
        tmp_path / "a.tar",
        [(f"{n}.{e}", c) for n in "abc" for e, c in (("wav", audio_bytes(300)), ("json", b"{}"))],
    )
    data = bytearray(path.read_bytes())
    at = data.index(b"b.json\0")
    data[at : at + 512] = b"\xff" * 512
    path.write_bytes(data)
    found = scan_shard(Storage(str(tmp_path)), "a.tar", TABLES)
    assert [(row.key, row.suspect) for row in found.recordings] == [("a", False), ("b", True), ("c", True)]
    data[at : at + 512] = b"b.json\0".ljust(512, b"\x01")
    path.write_bytes(data)
    found = scan_shard(Storage(str(tmp_path)), "a.tar", TABLES)
    assert kinds(found) == [("b", "broken header")], "its name can still be read"
    assert keys(found) == ["a", "c"]


def test_shard_that_cannot_be_read_is_damage_and_no_crash(tmp_path: Path) -> None:
    (tmp_path / "a.tar").symlink_to(tmp_path / "gone.tar")
    assert kinds(scan_shard(Storage(str(tmp_path)), "a.tar", TABLES)) == [("", "missing shard")]
    (tmp_path / "c.tar").mkdir()
    assert kinds(scan_shard(Storage(str(tmp_path)), "c.tar", TABLES)) == [("", "unreadable shard")]
    (tmp_path / "b.tar").write_bytes(b"")
    assert kinds(scan_shard(Storage(str(tmp_path)), "b.tar", TABLES)) == [("", "empty shard")]


def test_progress_adds_up_to_the_shard(shard_set: Path) -> None:
    for name in ("train/shard-000000.tar", "val/shard-000000.tar"):
        told: list[int] = []
        found = scan_shard(Storage(str(shard_set)), name, TABLES, told.append)
        assert sum(told) == found.bytes
        assert min(told) >= 0
