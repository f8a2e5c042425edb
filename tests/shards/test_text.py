"""An index as text, as it was before there were columns: it is read, and nothing else is taken for one."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.shards.indexes import as_text, text_index
from tests.shards.made import write_shard_set
from wavenet_pl.errors import UserError
from wavenet_pl.shards import index as index_module
from wavenet_pl.shards.format import Span
from wavenet_pl.shards.index import load_index
from wavenet_pl.shards.legacy import INDEX_NAME


def test_it_says_what_the_columns_say_under_the_same_fingerprint(tmp_path: Path) -> None:
    write_shard_set(tmp_path, test=1, tags=("read", "sung"), tables={"accent": ("scots", "irish")})
    columns = load_index(tmp_path)
    as_text(tmp_path)
    text = load_index(tmp_path)
    assert text == columns and text.fingerprint == columns.fingerprint
    assert [text.seconds(split) for split in text.splits] == [
        columns.seconds(split) for split in columns.splits
    ]


def test_one_that_is_large_is_said_to_be_slow_and_what_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write_shard_set(tmp_path, train=3, val=2)
    as_text(tmp_path)
    with caplog.at_level(logging.WARNING):
        load_index(tmp_path)
        assert not caplog.messages
        monkeypatch.setattr(index_module, "_MANY", 4)
        load_index(tmp_path)
    [message] = caplog.messages
    assert (
        "lists 5 recordings as text" in message and "`wavenet-pl index` writes index.safetensors" in message
    )


@pytest.mark.parametrize(("old", "new"), [(4_000, 4_001), ('"anna"', '"anne"'), ("rec-00003", "rec-00099")])
def test_a_changed_index_is_refused(shard_set: Path, tmp_path: Path, old: object, new: object) -> None:
    text = text_index(load_index(shard_set))
    assert str(old) in text
    (tmp_path / INDEX_NAME).write_text(text.replace(str(old), str(new), 1))
    with pytest.raises(UserError, match="was changed: its fingerprint says .*run `wavenet-pl index` again"):
        load_index(tmp_path)


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.99])
def test_a_cut_index_is_refused(shard_set: Path, tmp_path: Path, kept: float) -> None:
    data = text_index(load_index(shard_set)).encode()
    (tmp_path / INDEX_NAME).write_bytes(data[: int(kept * len(data))])
    with pytest.raises(UserError, match="is no index that can be used"):
        load_index(tmp_path)


def test_an_index_of_an_older_format_says_what_to_do(shard_set: Path, tmp_path: Path) -> None:
    text = text_index(load_index(shard_set))
    (tmp_path / INDEX_NAME).write_text(text.replace('"format": 3', '"format": 1', 1))
    with pytest.raises(UserError, match="its format is 1, expected 3; run `wavenet-pl index` again"):
        load_index(tmp_path)


# --- the fingerprint fits, the content is evil ---


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
