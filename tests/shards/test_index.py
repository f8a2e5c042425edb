"""The index: what is written comes back, and nothing else is taken for an index."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.shards.indexes import as_text
from tests.shards.made import write_shard_set
from tests.shards.s3_server import serving_s3
from wavenet_pl.errors import UserError
from wavenet_pl.inputs.mel import Mel
from wavenet_pl.inputs.notes import Notes
from wavenet_pl.shards.format import Span
from wavenet_pl.shards.index import INDEX_NAME, Index, index_name, load_index, save_index, shard_storage
from wavenet_pl.shards.labels import Labels
from wavenet_pl.shards.recording import Recording, Shard
from wavenet_pl.shards.storage import Storage

NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
SPECS = st.dictionaries(
    st.sampled_from(["hop_length", "mean"]), st.integers(1, 99) | st.lists(st.floats(-9, 9), max_size=2)
)
KEYS = st.from_regex(r"[A-Za-z0-9_\-]{1,6}(/[A-Za-z0-9_\-]{1,6}){0,2}", fullmatch=True)


@st.composite
def indexes(draw: st.DrawFn) -> Index:
    named = {
        table: tuple(draw(st.lists(NAMES, max_size=3, unique=True)))
        for table in ("speaker", "tags", "accent")
    }
    tables = {table: names for table, names in named.items() if names}
    frames = draw(st.dictionaries(st.sampled_from(["f0", "mel"]), SPECS, max_size=2))
    splits = {}
    for split in draw(st.sets(st.sampled_from(["train", "val", "test"]))):
        keys = iter(draw(st.lists(KEYS, max_size=6, unique=True)))
        shards = []
        for number in range(draw(st.integers(0, 2))):
            size = draw(st.integers(600, 2**40))
            rows = []
            for key in (key for _, key in zip(range(3), keys, strict=False)):
                offset = draw(st.integers(512, size - 1))
                length = draw(st.integers(0, min(size - offset, 2**28)))
                place = Span(offset, length, draw(st.integers(0, 2**32 - 1)))
                chosen = {
                    table: tuple(draw(st.lists(st.sampled_from(range(len(names))), max_size=2)))
                    for table, names in tables.items()
                }
                extension = draw(st.sampled_from(["flac", "wav", "ogg", "mp3"]))
                members = {extension: place, "json": Span(512, 3, 7)}
                members |= {f"{name}.npy": Span(512, 3, 8) for name in frames}
                applies = {table: some for table, some in chosen.items() if some}
                rows.append(Recording(key, draw(st.integers(1, 3_600_000)), applies, members))
            shards.append(Shard(f"{split}/{number}.tar", size, f"{number:064x}", tuple(rows)))
        splits[split] = tuple(shards)
    rate = draw(st.integers(1_000, 768_000))
    labels = Labels(tables, frames)
    return Index(sample_rate=rate, splits=splits, labels=labels, base=draw(st.none() | NAMES))


@pytest.mark.slow
@given(indexes())
def test_what_is_saved_is_loaded(tmp_path_factory: pytest.TempPathFactory, index: Index) -> None:
    folder = tmp_path_factory.mktemp("index")
    path = save_index(index, folder)
    assert path == folder / INDEX_NAME
    assert load_index(folder) == index
    assert load_index(folder).base == index.base
    assert load_index(folder).fingerprint == index.fingerprint
    first = path.read_bytes()
    save_index(load_index(folder), folder)
    assert path.read_bytes() == first, "the same set gives the same bytes"
    assert [file.name for file in folder.iterdir()] == [INDEX_NAME]


@pytest.mark.parametrize("more", [{}, {"accent": ("irish", "scots")}])
def test_fingerprint_is_over_everything_but_the_place(
    shard_set: Path, more: dict[str, tuple[str, ...]]
) -> None:
    """Of the text of version 0.1.0 as of today's, which is needed where there is more than speaker and tags."""
    index = load_index(shard_set)
    tables = {**index.labels.tables, **more}
    index = replace(index, labels=Labels(tables))
    shard = index.splits["train"][0]
    row = shard.recordings[0]

    def with_row(**changes: Any) -> Index:
        rows = (replace(row, **changes), *shard.recordings[1:])
        return with_shard(recordings=rows)

    def with_shard(**changes: Any) -> Index:
        shards = (replace(shard, **changes), *index.splits["train"][1:])
        return replace(index, splits={**index.splits, "train": shards})

    others = [
        replace(index, sample_rate=8001),
        replace(index, labels=Labels({**tables, "speaker": ("ben", "anna")})),
        replace(index, labels=Labels({**tables, "tags": ("sung", "read")})),
        replace(index, labels=Labels({**tables, "emotion": ("calm",)})),
        replace(index, labels=Labels(tables, {"f0": {"hop_length": 80}})),
        replace(index, labels=Labels(tables, {"f0": {"hop_length": 160}})),
        replace(index, labels=Labels(tables, {"energy": {"hop_length": 80}})),
        replace(index, splits={"train": index.splits["train"], "val": index.splits["val"]}),
        replace(index, splits={**index.splits, "train": index.splits["train"][::-1]}),
        with_row(key="other"),
        with_row(frames=row.frames + 1),
        with_row(rows={"tags": row.rows["tags"]}),
        with_row(rows={"speaker": row.rows["speaker"]}),
        with_row(rows={"speaker": (0, 1), "tags": row.rows["tags"]}),
        with_row(rows={"speaker": (0, 0), "tags": row.rows["tags"]}),
        with_row(members={**row.members, "json": Span(512, 1, 0)}),
        with_row(members={**row.members, "json": row.members["json"]._replace(crc32=1)}),
        with_shard(name="train/other.tar"),
        with_shard(bytes=shard.bytes + 1),
        with_shard(sha256="f" * 64),
        with_shard(recordings=shard.recordings[::-1]),
    ]
    assert len({other.fingerprint for other in [index, *others]}) == len(others) + 1
    moved = replace(index, base="s3://elsewhere")
    assert moved.fingerprint == index.fingerprint
    assert replace(index, splits=dict(reversed(index.splits.items()))).fingerprint == index.fingerprint


def test_fingerprint_of_a_file_can_be_checked_by_hand(tmp_path: Path) -> None:
    """Where it says what version 0.1.0 could not; for others `test_legacy` writes that version's text."""
    write_shard_set(tmp_path, train=2, val=1, tables={"accent": ("scots", "irish")})
    lines = as_text(tmp_path).read_text().splitlines()
    (line,) = [line for line in lines if line.startswith('"fingerprint"')]
    rest = "\n".join(other for other in lines if other != line)
    assert hashlib.sha256(rest.encode()).hexdigest() == json.loads(f"{{{line.rstrip(',')}}}")["fingerprint"]


def test_seconds_are_those_of_the_recordings(shard_set: Path) -> None:
    index = load_index(shard_set)
    assert index.seconds("val") == (4_000 + 7_000) / 8_000
    assert index.seconds("nothing") == 0


def test_a_changed_index_is_refused(shard_set: Path, tmp_path: Path) -> None:
    """A bit of any column, of the header or of a name in it."""
    content = (shard_set / INDEX_NAME).read_bytes()
    places = [content.index(text) for text in (b"anna", b"rec-00003", b'"sample_rate":"8000"', b'"U16"')]
    for place in [*places, *range(len(content) - 1, content.rindex(b"}"), -97)]:
        for bit in (1, 2):
            changed = bytearray(content)
            changed[place] ^= bit
            (tmp_path / INDEX_NAME).write_bytes(changed)
            with pytest.raises(UserError, match="run `wavenet-pl index` again") as caught:
                load_index(tmp_path)
            assert len(str(caught.value).removeprefix(str(tmp_path))) < 500


def test_what_was_changed_is_said_to_be(shard_set: Path, tmp_path: Path) -> None:
    content = (shard_set / INDEX_NAME).read_bytes()
    (tmp_path / INDEX_NAME).write_bytes(content.replace(b"rec-00003", b"rec-00099"))
    with pytest.raises(UserError, match="was changed: its checksum says .*run `wavenet-pl index` again"):
        load_index(tmp_path)


@pytest.mark.parametrize("kept", [0.0, 0.001, 0.3, 0.99, 1.01])
def test_a_cut_index_is_refused(shard_set: Path, tmp_path: Path, kept: float) -> None:
    data = (shard_set / INDEX_NAME).read_bytes() + bytes(1_000)
    (tmp_path / INDEX_NAME).write_bytes(data[: int(kept * (len(data) - 1_000))])
    with pytest.raises(UserError, match="is no index that can be used: it is no safetensors file"):
        load_index(tmp_path)


def test_no_index_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file.*`wavenet-pl prepare`, or with `wavenet-pl index`"):
        load_index(tmp_path / "nothing")
    with pytest.raises(UserError, match="cannot be read"):
        load_index("memory://no-such-set")


def test_where_nobody_can_tell_whether_there_is_an_index_it_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bucket").mkdir()
    with serving_s3(tmp_path, monkeypatch) as server:
        server.always = "403"
        for ask in (index_name, lambda storage: load_index(storage.location)):
            with pytest.raises(
                UserError, match="s3://bucket/index.safetensors cannot be read .*, expected the index"
            ):
                ask(Storage("s3://bucket"))


def test_failed_save_leaves_the_older_index(shard_set: Path, tmp_path: Path) -> None:
    index = load_index(shard_set)
    save_index(index, tmp_path)
    before = (tmp_path / INDEX_NAME).read_bytes()
    with pytest.raises(UnicodeEncodeError):
        save_index(replace(index, labels=Labels({"speaker": ("\ud800", "ben")})), tmp_path)
    assert (tmp_path / INDEX_NAME).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [INDEX_NAME]


def test_index_on_a_url_is_read(shard_set: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe(f"/set/{INDEX_NAME}", (shard_set / INDEX_NAME).read_bytes())
    try:
        assert load_index("memory://set") == load_index(shard_set)
    finally:
        memory.rm("/set", recursive=True)


def test_shards_lie_beside_the_index_or_where_it_says(shard_set: Path) -> None:
    index = load_index(shard_set)
    assert shard_storage(index, shard_set).location == str(shard_set)
    assert shard_storage(replace(index, base="memory://far"), shard_set).location == "memory://far"
    with pytest.raises(UserError, match="would run a program"):
        shard_storage(replace(index, base="pipe:touch /tmp/x"), shard_set)


@pytest.mark.cold("what is imported")
def test_reading_an_index_does_not_wait_for_torch(shard_set: Path) -> None:
    program = (
        "import sys; from wavenet_pl.shards.index import load_index; load_index(sys.argv[1]);"
        "assert not {'torch', 'soundfile', 'webdataset', 'fsspec'} & set(sys.modules)"
    )
    root = Path(__file__).resolve().parents[2]
    subprocess.run(
        [sys.executable, "-c", program, str(shard_set)],
        cwd=root,
        check=True,
        env={**os.environ, "PYTHONPATH": "."},
    )


def small_index(**members: Span) -> Index:
    rows = {"speaker": (0,), "tags": (0,)}
    row = Recording("a", 4000, rows, {"flac": Span(512, 90, 1), "json": Span(1536, 30, 2), **members})
    shard = Shard("train/0.tar", 10240, "0" * 64, (row,))
    return Index(
        sample_rate=8000, splits={"train": (shard,)}, labels=Labels({"speaker": ("ann",), "tags": ("sung",)})
    )


def test_frames_leave_the_fingerprint_of_a_set_without_them_alone() -> None:
    # From before there were frames: the order of the data, and so every older run, hangs on it.
    assert small_index().fingerprint == "815be86513f5abeb14c8d790b5a646c99672f8b62db4a78e4e51451d1ec429f2"


def test_frames_come_back_and_count_in_the_fingerprint(tmp_path: Path) -> None:
    notes = Notes(hop_length=32)
    mel = Mel(
        hop_length=100, window_length=400, num_mels=20, lowest_hz=55.0, highest_hz=3800.0, floor_db=-80.0
    )
    plain = small_index(**{"notes.npy": Span(2560, 100, 3), "mel.npy": Span(3072, 100, 4)})
    tables = plain.labels.tables
    index = replace(plain, labels=Labels(tables, {"notes": notes.spec, "mel": mel.spec}))
    save_index(index, tmp_path)
    assert load_index(tmp_path) == index
    others = [
        plain,
        replace(index, labels=Labels(tables, {"notes": notes.spec})),
        replace(
            index, labels=Labels(tables, {"notes": notes.spec, "mel": replace(mel, floor_db=-70.0).spec})
        ),
    ]
    assert len({other.fingerprint for other in [index, *others]}) == 4


def test_a_recording_without_its_frames_is_refused(tmp_path: Path) -> None:
    index = small_index()
    save_index(replace(index, labels=Labels(index.labels.tables, {"notes": {"hop_length": 32}})), tmp_path)
    with pytest.raises(
        UserError, match=r"'a' in train/0.tar has no notes\.npy, expected one in every recording"
    ):
        load_index(tmp_path)
