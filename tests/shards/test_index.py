"""The index: what is written comes back, and nothing else is taken for an index."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.shards.made import write_shard_set
from wavenet_pl.errors import UserError
from wavenet_pl.inputs.mel import Mel
from wavenet_pl.inputs.notes import Notes
from wavenet_pl.shards.format import Span
from wavenet_pl.shards.index import INDEX_NAME, Index, Recording, Shard, load_index, save_index, shard_storage
from wavenet_pl.shards.labels import Labels

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
    lines = (tmp_path / INDEX_NAME).read_text().splitlines()
    (line,) = [line for line in lines if line.startswith('"fingerprint"')]
    rest = "\n".join(other for other in lines if other != line)
    assert hashlib.sha256(rest.encode()).hexdigest() == json.loads(f"{{{line.rstrip(',')}}}")["fingerprint"]


def test_seconds_are_those_of_the_recordings(shard_set: Path) -> None:
    index = load_index(shard_set)
    assert index.seconds("val") == (4_000 + 7_000) / 8_000
    assert index.seconds("nothing") == 0


@pytest.mark.parametrize(("old", "new"), [(4_000, 4_001), ('"anna"', '"anne"'), ("rec-00003", "rec-00099")])
def test_a_changed_index_is_refused(shard_set: Path, tmp_path: Path, old: object, new: object) -> None:
    text = (shard_set / INDEX_NAME).read_text()
    assert str(old) in text
    (tmp_path / INDEX_NAME).write_text(text.replace(str(old), str(new), 1))
    with pytest.raises(UserError, match="was changed: its fingerprint says .*run `wavenet-pl index` again"):
        load_index(tmp_path)


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.99])
def test_a_cut_index_is_refused(shard_set: Path, tmp_path: Path, kept: float) -> None:
    data = (shard_set / INDEX_NAME).read_bytes()
    (tmp_path / INDEX_NAME).write_bytes(data[: int(kept * len(data))])
    with pytest.raises(UserError, match="is no index that can be used"):
        load_index(tmp_path)


def test_an_index_of_an_older_format_says_what_to_do(shard_set: Path, tmp_path: Path) -> None:
    text = (shard_set / INDEX_NAME).read_text()
    (tmp_path / INDEX_NAME).write_text(text.replace('"format": 3', '"format": 1', 1))
    with pytest.raises(UserError, match="its format is 1, expected 3; run `wavenet-pl index` again"):
        load_index(tmp_path)


def test_no_index_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file.*`wavenet-pl prepare`, or with `wavenet-pl index`"):
        load_index(tmp_path / "nothing")
    with pytest.raises(UserError, match="cannot be read"):
        load_index("memory://no-such-set")


def test_failed_save_leaves_the_older_index(shard_set: Path, tmp_path: Path) -> None:
    index = load_index(shard_set)
    save_index(index, tmp_path)
    before = (tmp_path / INDEX_NAME).read_bytes()
    with pytest.raises(UnicodeEncodeError):
        save_index(replace(index, labels=Labels({"speaker": ("\ud800", "ben")})), tmp_path)
    assert (tmp_path / INDEX_NAME).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [INDEX_NAME]


# --- hostile indexes: the fingerprint fits, the content is evil ---


def seal(tree: dict[str, Any]) -> dict[str, Any]:
    """What an attacker does who has read the code: a fingerprint that fits."""
    body = dict(tree)
    body.pop("fingerprint", None)
    lines = [
        f"{json.dumps(name)}: {value}," for name, value in ((n, dump(body[n])) for n in HEAD if n in body)
    ]
    splits = []
    for split in sorted(body["splits"]):
        shards = []
        for shard in body["splits"][split]:
            rows = ",\n".join(dump(row) for row in shard["recordings"])
            head = (
                f'{{"name": {dump(shard["name"])}, "bytes": {shard["bytes"]}, "sha256": "{shard["sha256"]}"'
            )
            shards.append(f'{head}, "recordings": [\n{rows}]}}')
        splits.append(f"{dump(split)}: [" + ",\n".join(shards) + "]")
    text = "{" + "\n".join([*lines, '"splits": {']) + "\n" + ",\n".join(splits) + "}}"
    return {**body, "fingerprint": hashlib.sha256(text.encode()).hexdigest()}


HEAD = ("format", "sample_rate", "tables", "frames")


def dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def small_tree() -> dict[str, Any]:
    members = {"flac": [512, 900, 7], "f0.npy": [4096, 80, 9], "json": [2048, 30, 2**32 - 1]}
    shard = {
        "name": "train/a.tar",
        "bytes": 10_240,
        "sha256": "0" * 64,
        "recordings": [
            ["a", 500, {"accent": [0], "speaker": [0], "tags": [0]}, members], ["b", 400, {}, members],
        ],
    }  # fmt: skip
    return {
        "format": 3,
        "sample_rate": 8000,
        "tables": {"accent": ["scots"], "speaker": ["anna"], "tags": ["x"]},
        "frames": {"f0": {"hop_length": 80, "mean": [120.5], "std": [30]}},
        "splits": {"train": [shard]},
    }


def change(*path: Any, to: object) -> Callable[[dict[str, Any]], None]:
    def apply(tree: Any) -> None:
        for step in path[:-1]:
            tree = tree[step]
        tree[path[-1]] = to

    return apply


SHARD: tuple[Any, ...] = ("splits", "train", 0)
ROW = (*SHARD, "recordings", 0)
EVIL: dict[str, Callable[[dict[str, Any]], None]] = {
    "shard above": change(*SHARD, "name", to="../secret.tar"),
    "shard above, later": change(*SHARD, "name", to="train/../../secret.tar"),
    "shard absolute": change(*SHARD, "name", to="/etc/secret.tar"),
    "shard absolute, twice": change(*SHARD, "name", to="//etc/secret.tar"),
    "shard backslash": change(*SHARD, "name", to="..\\secret.tar"),
    "shard url": change(*SHARD, "name", to="http://evil/a.tar"),
    "shard pipe": change(*SHARD, "name", to="pipe:touch x.tar"),
    "shard zero byte": change(*SHARD, "name", to="a\0.tar"),
    "shard two lines": change(*SHARD, "name", to="a\nb.tar"),
    "shard no tar": change(*SHARD, "name", to="passwd"),
    "shard number": change(*SHARD, "name", to=3),
    "shard list": change(*SHARD, "name", to=["a.tar"]),
    "shard text": change(*SHARD, to="train/a.tar"),
    "shards text": change("splits", "train", to="train/a.tar"),
    "shards number": change("splits", "train", to=3),
    "bytes negative": change(*SHARD, "bytes", to=-1),
    "bytes float": change(*SHARD, "bytes", to=1e9),
    "bytes text": change(*SHARD, "bytes", to="10240"),
    "bytes huge": change(*SHARD, "bytes", to=10**30),
    "sha256 number": change(*SHARD, "sha256", to=5),
    "sha256 injection": change(*SHARD, "sha256", to='", "x": "'),
    "split unknown": lambda tree: tree["splits"].update(evil=[]),
    "splits list": change("splits", to=[]),
    "splits none": change("splits", to=None),
    "row short": change(*ROW, to=["a", 500]),
    "row text": change(*ROW, to="abcde"),
    "row number": change(*ROW, to=7),
    "key above": change(*ROW, 0, to="../a"),
    "key dotted": change(*ROW, 0, to="a.b"),
    "key two lines": change(*ROW, 0, to="a\nb"),
    "key endless": change(*ROW, 0, to="a." * 100_000),
    "key number": change(*ROW, 0, to=1),
    "key twice": change(*ROW, 0, to="b"),
    "frames zero": change(*ROW, 1, to=0),
    "frames negative": change(*ROW, 1, to=-5),
    "frames bool": change(*ROW, 1, to=True),
    "frames float": change(*ROW, 1, to=1.5),
    "frames huge": change(*ROW, 1, to=2**80),
    "speaker outside": change(*ROW, 2, "speaker", to=[1]),
    "speaker below": change(*ROW, 2, "speaker", to=[-1]),
    "speaker bool": change(*ROW, 2, "speaker", to=[False]),
    "speaker name": change(*ROW, 2, "speaker", to=["anna"]),
    "speaker number": change(*ROW, 2, "speaker", to=0),
    "speaker nested": change(*ROW, 2, "speaker", to=[[0]]),
    "tag outside": change(*ROW, 2, "tags", to=[0, 1]),
    "tag huge": change(*ROW, 2, "tags", to=[10**30]),
    "tags none": change(*ROW, 2, "tags", to=None),
    "tags text": change(*ROW, 2, "tags", to="x"),
    "tags object": change(*ROW, 2, "tags", to={"x": 0}),
    "row of no table": change(*ROW, 2, "smell", to=[0]),
    "rows list": change(*ROW, 2, to=[0, 0]),
    "rows none": change(*ROW, 2, to=None),
    "rows number": change(*ROW, 2, to=0),
    "members list": change(*ROW, 3, to=[]),
    "members empty": change(*ROW, 3, to={}),
    "no audio": change(*ROW, 3, to={"json": [512, 1, 0]}),
    "offset outside": change(*ROW, 3, "flac", to=[10_000, 900, 7]),
    "end one byte behind": change(*ROW, 3, "flac", to=[10_240 - 900 + 1, 900, 7]),
    "offset negative": change(*ROW, 3, "flac", to=[-1, 900, 7]),
    "offset huge": change(*ROW, 3, "flac", to=[2**70, 1, 7]),
    "offset before any header": change(*ROW, 3, "flac", to=[511, 900, 7]),
    "offset bool": change(*ROW, 3, "flac", to=[True, 900, 7]),
    "size negative": change(*ROW, 3, "flac", to=[512, -3, 7]),
    "size giant": lambda tree: (
        change(*SHARD, "bytes", to=2**40)(tree),
        change(*ROW, 3, "flac", to=[512, 2**29, 7])(tree),
    )[0],
    "place short": change(*ROW, 3, "flac", to=[512, 900]),
    "place number": change(*ROW, 3, "flac", to=5),
    "place nested": change(*ROW, 3, "flac", to=[[[]], 5, 7]),
    "crc32 negative": change(*ROW, 3, "flac", to=[512, 900, -1]),
    "crc32 huge": change(*ROW, 3, "flac", to=[512, 900, 2**32]),
    "crc32 text": change(*ROW, 3, "flac", to=[512, 900, "7"]),
    "rate 1 Hz": change("sample_rate", to=1),
    "rate bool": change("sample_rate", to=True),
    "rate text": change("sample_rate", to="8000"),
    "rate list": change("sample_rate", to=[8000]),
    "names text": change("tables", "speaker", to="anna"),
    "names numbers": change("tables", "speaker", to=[1]),
    "names twice": change("tables", "speaker", to=["anna", "anna"]),
    "names half a sign": change("tables", "speaker", to=["\ud800"]),
    "names object": change("tables", "tags", to={"x": 1}),
    "table path": change("tables", "../accent", to=["x"]),
    "table two lines": change("tables", "a\nb", to=["x"]),
    "table endless": change("tables", "a" * 100_000, to=["x"]),
    "tables list": change("tables", to=["speaker"]),
    "tables none": change("tables", to=None),
    "tables a million": change("tables", to={f"t{number}": [] for number in range(2_000)}),
    "frames path": change("frames", to={"../f0": {}}),
    "frames list": change("frames", to=["f0"]),
    "frames number": change("frames", "f0", to=80),
    "frames of text": change("frames", "f0", "hop_length", to="80"),
    "frames of bools": change("frames", "f0", "mean", to=[True]),
    "frames nested": change("frames", "f0", "mean", to=[[1.0]]),
    "frames endless": change("frames", "f0", "mean", to=[1.0] * 10_000),
    "frames that recordings lack": change("frames", "mel", to={}),
    "base number": change("base", to=5),
    "format older": change("format", to=1),
    "format newer": change("format", to=4),
    "format as before": change("format", to=2),
    "format bool": change("format", to="1\n" * 1_000),
    "no tables": lambda tree: tree.pop("tables"),
    "no frames": lambda tree: tree.pop("frames"),
    "no bytes": lambda tree: tree["splits"]["train"][0].pop("bytes"),
}


def test_small_tree_is_an_index(tmp_path: Path) -> None:
    (tmp_path / INDEX_NAME).write_text(json.dumps(seal(small_tree())))
    index = load_index(tmp_path)
    assert [row.key for row in index.splits["train"][0].recordings] == ["a", "b"]
    tree = small_tree()
    change(*ROW, 3, "flac", to=[10_240 - 900, 900, 7])(tree)
    (tmp_path / INDEX_NAME).write_text(json.dumps(seal(tree)))
    assert load_index(tmp_path).splits["train"][0].recordings[0].audio == ("flac", Span(9_340, 900, 7))


@pytest.mark.parametrize("evil", EVIL)
def test_hostile_index_is_refused_in_one_line(tmp_path: Path, evil: str) -> None:
    tree = small_tree()
    EVIL[evil](tree)
    try:
        tree = seal(tree)
    except (TypeError, KeyError, AttributeError, UnicodeEncodeError):
        tree["fingerprint"] = "0" * 64  # no such index can be sealed
    (tmp_path / INDEX_NAME).write_text(json.dumps(tree))
    with pytest.raises(
        UserError, match="is no index that can be used: .*run `wavenet-pl index` again"
    ) as caught:
        load_index(tmp_path)
    message = str(caught.value).removeprefix(str(tmp_path))
    assert "\n" not in message
    assert len(message) < 500


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "3",
        '"x"',
        "null",
        "{}",
        "[" * 200_000,
        '{"a":' * 200_000,
        "<html></html>",
        "\0",
        "9" * 5_000,
    ],
)
def test_what_is_no_object_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / INDEX_NAME).write_text(text)
    with pytest.raises(UserError, match="is no index that can be used") as caught:
        load_index(tmp_path)
    assert "\n" not in str(caught.value)


def test_fingerprint_that_is_no_text_is_refused_in_one_line(tmp_path: Path) -> None:
    for fingerprint in ("x\ny", ["a"] * 1_000, None, {"a": 1}):
        (tmp_path / INDEX_NAME).write_text(json.dumps({**small_tree(), "fingerprint": fingerprint}))
        with pytest.raises(UserError, match="was changed") as caught:
            load_index(tmp_path)
        assert "\n" not in str(caught.value)


def test_index_on_a_url_is_read(shard_set: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe("/set/index.json", (shard_set / INDEX_NAME).read_bytes())
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
