"""Columns that mean harm, under a checksum that is right: each is refused in one line before anything is read by it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.shards.indexes import Arrays, change_columns, read, sealed, write_many
from tests.shards.made import write_shard_set
from wavenet_pl.errors import UserError
from wavenet_pl.inputs.array import UserFrames
from wavenet_pl.shards import checks
from wavenet_pl.shards.index import INDEX_NAME, load_index

Change = Callable[[dict[str, str], Arrays], object]
F0 = UserFrames(name="f0", hop_length=80, mean=(0.5,), std=(0.25,))
WIDE = 2**64


def put(name: str, position: int, value: int) -> Change:
    """One number of a column is another one."""

    def change(facts: dict[str, str], arrays: Arrays) -> None:
        if value > np.iinfo(arrays[f"train/{name}"].dtype).max:
            arrays[f"train/{name}"] = arrays[f"train/{name}"].astype(np.uint64)
        arrays[f"train/{name}"][position] = value

    return change


def text(name: str, content: bytes) -> Change:
    """The beginning of a column of text is another one."""

    def change(facts: dict[str, str], arrays: Arrays) -> None:
        arrays[f"train/{name}"][: len(content)] = np.frombuffer(content, np.uint8)

    return change


def turned(name: str, into: Callable[[Any], Any]) -> Change:
    """A column is made into something else."""

    def change(facts: dict[str, str], arrays: Arrays) -> None:
        arrays[f"train/{name}"] = into(arrays[f"train/{name}"])

    return change


def more(name: str, numbers: Any) -> Change:
    return lambda facts, arrays: arrays.update({name: np.array(numbers, np.uint8)})


def lost(name: str) -> Change:
    return lambda facts, arrays: arrays.pop(f"train/{name}")


def said(**changes: str) -> Change:
    return lambda facts, arrays: facts.update(changes)


LABELS = {"tables": {"speaker": ["anna"], "tags": ["a"]}, "frames": {"f0": F0.spec}}
EVIL: dict[str, tuple[Change, str]] = {
    "offset that wraps": (put("offset/flac", 1, WIDE - 512), "offset of 'rec-00001' in .* is 18446744073709551104"),
    "size that wraps": (put("size/flac", 1, WIDE - 512), "size of 'rec-00001' in"),
    "offset and size that wrap together": (put("size/flac", 1, 2**59), "points outside its shard"),
    "offset outside": (put("offset/flac", 2, 2**40), "'rec-00002' in train/shard-000000.tar points outside"),
    "offset before any header": (put("offset/flac", 0, 511), "offset of 'rec-00000' in .* is 511"),
    "other member outside": (put("offset/json", 5, 2**40), "'rec-00005' in train/shard-000001.tar points out"),
    "crc32 of 33 bits": (put("crc32/flac", 0, 2**32), "crc32 of 'rec-00000' in .* is 4294967296"),
    "no audio": (put("offset/flac", 3, 0), "'rec-00003' in train/shard-000000.tar has no audio"),
    "no frames": (put("offset/f0.npy", 3, 0), r"'rec-00003' in .* has no f0\.npy, expected one in every"),
    "frames 0": (put("frames", 4, 0), "frames of 'rec-00004' in train/shard-000001.tar is 0"),
    "frames of years": (put("frames", 4, 10**17), "split train has a recording of 1(0){17} samples, more than 3600 s"),
    "frames of 64 bits": (turned("frames", lambda x: x.astype(np.uint64)), "is uint64, expected 32 bits at most"),
    "frames that are no numbers": (turned("frames", lambda x: x * np.float32("nan")), "is F32, expected U8, U16"),
    "frames below 0": (turned("frames", lambda x: -x.astype(np.int32)), "'train/frames' is I32, expected U8, U16"),
    "frames in a square": (turned("frames", lambda x: x.reshape(4, 2)), "has the shape"),
    "frames without a shape": (turned("frames", lambda x: np.array(x[0])), "has the shape"),
    "one number too few": (turned("size/flac", lambda x: x[1:]), r"'size/flac' has the shape \(7,\), expected \(8,\)"),
    "no such column": (lost("size/json"), "it has no column 'size/json'"),
    "no keys": (lost("keys"), "it has no column 'keys'"),
    "column too many": (more("train/more", [1]), "it has a column 'more'"),
    "kind too many": (more("train/sha1/flac", [1] * 8), "it has a column 'sha1/flac'"),
    "split too many": (more("evil/keys", [1]), "it has a split 'evil', expected train, val, test"),
    "no split": (more("keys", [1]), "it has a split 'keys'"),
    "members that are a path": (
        lambda facts, arrays: [
            arrays.update({f"train/{kind}/../x": arrays[f"train/{kind}/flac"]}) for kind in ("offset", "size", "crc32")
        ],
        r"members called '\.\./x', expected letters",
    ),
    "key that is no UTF-8": (text("keys", b"\xff\xfe"), r"the key '\\\\xff\\\\xfec-00000' has other signs"),
    "key above": (text("keys", b"../"), r"the key '\.\./-00000' has other signs"),
    "key with a slash before": (text("keys", b"/"), "the key '/ec-00000' has other signs"),
    "key with a slash behind": (text("keys", b"rec-0000/"), "the key 'rec-0000/' has other signs"),
    "key with two slashes": (text("keys", b"re//"), "the key 're//00000' has other signs"),
    "key of two lines": (text("keys", b"a\nb"), r"the key 'a\\nb-00000' has other signs"),
    "key twice": (text("keys", b"rec-00007"), "split train names the key 'rec-00007' twice"),
    "key empty": (put("keys/bounds", 1, 0), "the key '' has other signs"),
    "key endless": (
        lambda facts, arrays: [
            arrays.update({"train/keys": np.concatenate([arrays["train/keys"], np.full(5_000, 97, np.uint8)])}),
            put("keys/bounds", -1, 8 * 9 + 5_000)(facts, arrays),
        ],
        "the key 'rec-00007aaa.* has 5009 signs, expected 4096 at most",
    ),
    "bounds not in order": (put("keys/bounds", 3, 5), "the bounds of its column 'keys' are not in order"),
    "bounds that wrap": (put("keys/bounds", 3, WIDE - 9), "the bounds of its column 'keys' are not in order"),
    "bounds from within": (put("keys/bounds", 0, 1), "the bounds of its column 'keys' are not in order"),
    "bounds beyond the end": (put("keys/bounds", -1, 80), "the bounds of its column 'keys' are not in order"),
    "bounds too short": (turned("keys/bounds", lambda x: x[1:]), "'keys/bounds' has the shape"),
    "no bounds": (lost("keys/bounds"), "it has no column 'keys/bounds'"),
    "empty bounds": (turned("shards/names/bounds", lambda x: x[:0]), "has the shape"),
    "wide keys": (turned("keys", lambda x: x.astype(np.uint16)), "keys or the names of its shards are no text"),
    "shards with other counts": (put("shards/recordings", 0, 5), "other numbers of recordings than 8 in all"),
    "counts that wrap": (
        turned("shards/recordings", lambda x: np.array([WIDE - 1, 9], np.uint64)), "other numbers of recordings than 8"
    ),
    "shard above": (text("shards/names", b"../"), r"shard '\.\./in/shard-000000.tar' is no path below the set"),
    "shard at the root": (text("shards/names", b"/"), "is no path below the set"),
    "program as a shard": (text("shards/names", b"pipe:"), "is no path below the set"),
    "escapes as a shard": (text("shards/names", b"\x1b]0;"), r"shard '\\x1b\]0;n/shard-000000.tar' is no path below"),
    "shard that is no UTF-8": (text("shards/names", b"\xff"), "can't decode byte 0xff"),
    "shard of 2**63 bytes": (put("shards/bytes", 0, 2**63), "bytes of a shard are 9223372036854775808"),
    "sha256 of 16 bytes": (turned("shards/sha256", lambda x: x[:, :16]), "'shards/sha256' has the shape"),
    "sha256 of numbers": (turned("shards/sha256", lambda x: x.astype(np.uint16)), "does not hold bytes"),
    "row outside its table": (put("rows/speaker", 2, 2), "speaker of 'rec-00002' in train/shard-000000.tar is 2"),
    "row that wraps": (put("rows/speaker", 2, WIDE - 1), "speaker of 'rec-00002' in .* is 18446744073709551615"),
    "rows of no table": (said(labels=json.dumps({**LABELS, "tables": {}})), "rows of 'speaker', which is none of"),
    "rows out of order": (put("rows/speaker/bounds", 3, 9), "bounds of its column 'rows/speaker' are not in order"),
    "format newer": (said(format="5"), "its format is '5', expected 4"),
    "format that is none": (said(format="4\n" * 1_000), "its format is '4"),
    "sample rate of 1 Hz": (said(sample_rate="1"), "sample_rate is 1"),
    "sample rate true": (said(sample_rate="true"), "sample_rate is True"),
    "sample rate as text": (said(sample_rate='"8000"'), "sample_rate is '8000'"),
    "sample rate in a list": (said(sample_rate="[8000]"), r"sample_rate is \[8000\]"),
    "sample rate NaN": (said(sample_rate="NaN"), "sample_rate is nan"),
    "sample rate of 5,000 digits": (said(sample_rate="9" * 5_000), "Exceeds the limit"),
    "labels that are none": (said(labels="3"), "its labels are 3, expected tables and frames"),
    "labels endless": (said(labels="[" * 200_000), "recursion"),
    "names twice": (said(labels=json.dumps({**LABELS, "tables": {"speaker": ["a", "a"]}})), "its speaker names are"),
    "table that is a path": (said(labels=json.dumps({**LABELS, "tables": {"../x": ["a"]}})), r"one called '\.\./x'"),
    "frames that recordings lack": (
        said(labels=json.dumps({**LABELS, "tables": {"speaker": ["a", "b"]}, "frames": {"mel": {}}})), r"no mel\.npy"
    ),
    "fingerprint that is a path": (said(fingerprint="../../x"), r"its fingerprint is '\.\./\.\./x'"),
    "no fingerprint": (lambda facts, arrays: facts.pop("fingerprint"), "it lacks 'fingerprint'"),
    "no labels": (lambda facts, arrays: facts.pop("labels"), "it lacks 'labels'"),
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shard_set(tmp_path_factory.mktemp("checks") / "set", frames=900, frames_beside=(F0,))


def refusal(folder: Path, content: bytes) -> str:
    (folder / INDEX_NAME).write_bytes(content)
    with pytest.raises(
        UserError, match="is no index that can be used: .*run `wavenet-pl index` again"
    ) as caught:
        load_index(folder)
    message = str(caught.value).removeprefix(str(folder))
    assert "\n" not in message and "\x1b" not in message and len(message) < 500
    return message


@pytest.mark.parametrize("evil", EVIL)
def test_what_is_sealed_and_unsound_is_refused_in_one_line(folder: Path, tmp_path: Path, evil: str) -> None:
    facts, arrays = read(folder / INDEX_NAME)
    change, message = EVIL[evil]
    change(facts, arrays)
    found = refusal(tmp_path, sealed(facts, arrays))
    assert re.search(message, found), found


def test_sealed_anew_without_a_change_it_is_the_same_index(folder: Path, tmp_path: Path) -> None:
    facts, arrays = read(folder / INDEX_NAME)
    (tmp_path / INDEX_NAME).write_bytes(sealed(facts, arrays))
    assert load_index(tmp_path) == load_index(folder)


HEADER = b'{"__metadata__":{"sha256":"0"},"train/keys":{"dtype":"U8","shape":[%d],"data_offsets":[%d,%d]}}'
FILES = {
    "empty": b"",
    "seven bytes": b"\0" * 7,
    "zeros": bytes(4_096),
    "text": b'{"format": 4}' * 9,
    "header beyond the end": (10**6).to_bytes(8, "little") + b"{}",
    "giant header": (2**63).to_bytes(8, "little") + b"{}",
    "header that is no UTF-8": (2).to_bytes(8, "little") + b"\xff\xff",
    "header that is no object": (2).to_bytes(8, "little") + b"[]",
    "header endless": (200_000).to_bytes(8, "little") + b"[" * 200_000,
    "nothing at all": (2).to_bytes(8, "little") + b"{}",
    "petabytes": HEADER % (2**50, 0, 2**50),
    "shape of another size": HEADER % (2**62, 0, 8),
    "offsets that wrap": HEADER % (8, 2**64 - 8, 0),
    "offsets turned round": HEADER % (8, 8, 0),
    "hole before": HEADER % (4, 4, 8),
    "bytes behind": HEADER % (4, 0, 4),
    "two over one another": b'{"__metadata__":{"sha256":"0"},"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},'
    b'"b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}',
    "metadata of numbers": b'{"__metadata__":{"sha256":0}}',
}


@pytest.mark.parametrize("kind", FILES)
def test_what_is_no_file_of_columns_is_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    content = FILES[kind]
    if content[:1] == b"{" and kind != "text":
        content = len(content).to_bytes(8, "little") + content + bytes(8)
    refusal(tmp_path, content)


def test_what_is_wrong_with_one_of_many_is_found_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are checked some at a time: at the edges as well."""
    monkeypatch.setattr(checks, "_AT_ONCE", 64)
    write_many(tmp_path, 300)
    sound = (tmp_path / INDEX_NAME).read_bytes()
    assert load_index(tmp_path).columns("train").num_recordings == 300
    for row in (0, 63, 64, 127, 299):
        entry = f"'rec-{row:08d}' in train/{row // 100:06d}.tar"
        for change, message in (
            (put("size/flac", row, 2**30), f"{entry} points outside its shard"),
            (put("frames", row, 0), f"frames of {entry} is 0"),
            (put("rows/speaker", row, 3), f"speaker of {entry} is 3"),
            (put("keys", 12 * row + 3, ord(".")), f"the key 'rec.{row:08d}' has other signs"),
        ):
            (tmp_path / INDEX_NAME).write_bytes(sound)
            change_columns(tmp_path, change)
            with pytest.raises(UserError) as caught:
                load_index(tmp_path)
            assert message in str(caught.value)


def test_different_keys_with_one_hash_are_different(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_many(tmp_path, 20)
    monkeypatch.setattr(checks, "_hashes", lambda keys, bounds: np.zeros(len(bounds) - 1, np.uint64))
    assert load_index(tmp_path).columns("train").num_recordings == 20


def test_hashes_are_of_the_keys_and_not_of_where_they_stand() -> None:
    names = [b"a", b"ab", b"abcdefgh", b"abcdefghi", b"b", b"abcdefghabcdefgh", b"abcdefgi", b"a\0", b"ab"]
    keys, bounds = (
        np.frombuffer(b"".join(names), np.uint8),
        np.cumsum([0, *map(len, names)]).astype(np.uint32),
    )
    hashes = checks._hashes(keys, bounds).tolist()
    assert len(set(hashes)) == len(set(names)) and hashes[1] == hashes[-1]
