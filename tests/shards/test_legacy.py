"""What version 0.1.0 wrote: read as ever, under the fingerprints that it had."""

from __future__ import annotations

import hashlib
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.shards.made import write_shard_set
from wavenet_pl import cli
from wavenet_pl.errors import UserError
from wavenet_pl.inputs.mel import Mel
from wavenet_pl.inputs.notes import Notes
from wavenet_pl.shards import legacy
from wavenet_pl.shards.format import Span
from wavenet_pl.shards.index import INDEX_NAME, Index, load_index, save_index
from wavenet_pl.shards.labels import Labels
from wavenet_pl.shards.recording import Recording, Shard

MEL = Mel(hop_length=100, window_length=400, num_mels=20, lowest_hz=55.0, highest_hz=3800.0, floor_db=-80.0)
NOTES = Notes(hop_length=32)
ZEROS = "0" * 64
TEXT = f"""\
{{"format": 2,
"sample_rate": 8000,
"speakers": ["anna","Ünal"],
"tags": ["calm","sung"],
"features": {{"mel":{{"floor_db":-80.0,"highest_hz":3800.0,"hop_length":100,"lowest_hz":55.0,"num_mels":20,\
"window_length":400}},"notes":{{"hop_length":32}}}},
"splits": {{
"train": [{{"name": "train/a.tar", "bytes": 10240, "sha256": "{ZEROS}", "recordings": [
["a",500,1,[0,1],{{"flac":[512,900,7],"json":[2048,30,8],"mel.npy":[3072,80,9],"notes.npy":[4096,90,10]}}],
["b",400,-1,[],{{"flac":[5120,900,7],"mel.npy":[6656,80,9],"notes.npy":[7680,90,10]}}]]}}],
"val": [{{"name": "val/a.tar", "bytes": 9000, "sha256": "{ZEROS}", "recordings": [
["a",300,0,[1],{{"mel.npy":[3072,80,9],"notes.npy":[4096,90,10],"wav":[512,900,7]}}]]}}]}}}}"""
"""The whole of an index, but for its fingerprint: two speakers, two tags, and both kinds of features."""
FINGERPRINT = "1eeaba68d7471a1796c89c64f161711e8645e04a6cdd8db6c7095fdb8599ffde"
"""What that version wrote below the text above."""
OTHERS = {"mel.npy": Span(3072, 80, 9), "notes.npy": Span(4096, 90, 10)}
INDEX = Index(
    sample_rate=8000,
    splits={
        "train": (
            Shard(
                "train/a.tar",
                10240,
                ZEROS,
                (
                    Recording(
                        "a",
                        500,
                        {"speaker": (1,), "tags": (0, 1)},
                        {"flac": Span(512, 900, 7), "json": Span(2048, 30, 8), **OTHERS},
                    ),
                    Recording(
                        "b",
                        400,
                        {},
                        {
                            "flac": Span(5120, 900, 7),
                            "mel.npy": Span(6656, 80, 9),
                            "notes.npy": Span(7680, 90, 10),
                        },
                    ),
                ),
            ),
        ),
        "val": (
            Shard(
                "val/a.tar",
                9000,
                ZEROS,
                (Recording("a", 300, {"speaker": (0,), "tags": (1,)}, {"wav": Span(512, 900, 7), **OTHERS}),),
            ),
        ),
    },
    labels=Labels(
        {"speaker": ("anna", "Ünal"), "tags": ("calm", "sung")}, {"mel": MEL.spec, "notes": NOTES.spec}
    ),
)
"""The same in today's words."""


def write_index(folder: Path, text: str = TEXT) -> Path:
    """An index of that version, with a fingerprint that fits its text."""
    line = f'"fingerprint": "{hashlib.sha256(text.encode()).hexdigest()}",\n"splits"'
    folder.mkdir(parents=True, exist_ok=True)
    (folder / legacy.INDEX_NAME).write_text(text.replace('"splits"', line, 1) + "\n", encoding="utf-8")
    return folder


def text_before(folder: Path) -> str:
    """The text that version 0.1.0 had for a set: its index less the fingerprint, in lines of its own."""
    index = load_index(folder)
    dump = partial(json.dumps, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    tables = index.labels.tables
    lines = ['{"format": 2', f'"sample_rate": {index.sample_rate}']
    lines += [f'"speakers": {dump(tables.get("speaker", []))}', f'"tags": {dump(tables.get("tags", []))}']
    lines += [f'"features": {dump(index.labels.frames)}'] if index.labels.frames else []
    splits = []
    for split, shards in sorted(index.splits.items()):
        told = []
        for shard in shards:
            rows = [
                dump(
                    [
                        row.key,
                        row.frames,
                        *row.rows.get("speaker", [-1]),
                        row.rows.get("tags", []),
                        row.members,
                    ]
                )
                for row in shard.recordings
            ]
            head = f'"name": {dump(shard.name)}, "bytes": {shard.bytes}, "sha256": "{shard.sha256}"'
            told.append(f'{{{head}, "recordings": [\n' + ",\n".join(rows) + "]}")
        splits.append(f'"{split}": [' + ",\n".join(told) + "]")
    return ",\n".join([*lines, '"splits": {\n' + ",\n".join(splits) + "}}"])


# --- the index ---


def test_an_index_of_that_version_is_read_under_its_fingerprint(tmp_path: Path) -> None:
    index = load_index(write_index(tmp_path))
    assert index == INDEX
    assert index.fingerprint == INDEX.fingerprint == FINGERPRINT


def test_written_anew_it_keeps_its_fingerprint(tmp_path: Path) -> None:
    path = save_index(load_index(write_index(tmp_path)), tmp_path)
    assert [path] == list(tmp_path.iterdir()), "the older one is gone"
    assert load_index(tmp_path) == INDEX
    assert load_index(tmp_path).fingerprint == FINGERPRINT


@pytest.mark.parametrize(
    ("gone", "labels"),
    [
        ('"features": {', {"tables": INDEX.labels.tables}),
        ('"speakers": [', {"tables": {"tags": INDEX.labels.tables["tags"]}, "frames": INDEX.labels.frames}),
    ],
)
def test_an_index_without_features_or_speakers_is_read(
    tmp_path: Path, gone: str, labels: dict[str, Any]
) -> None:
    """The first left a line out, the second had an empty table and -1 for everyone."""
    lines = TEXT.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith(gone))
    lines[at : at + 1] = [] if "features" in gone else ['"speakers": [],']
    text = "\n".join(lines)
    if "speakers" in gone:
        text = text.replace('["a",500,1,', '["a",500,-1,').replace('["a",300,0,', '["a",300,-1,')
    index = load_index(write_index(tmp_path, text))
    assert index.labels == Labels(**labels)
    assert index.fingerprint == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    "told", [{}, {"tags": ("read", "sung")}, {"speakers": ()}, {"frames_beside": (NOTES, MEL)}]
)
def test_a_set_has_the_fingerprint_that_it_had(tmp_path: Path, told: dict[str, Any]) -> None:
    write_shard_set(tmp_path, train=3, val=1, frames=(900, 1_200), **told)
    assert load_index(tmp_path).fingerprint == hashlib.sha256(text_before(tmp_path).encode()).hexdigest()


def test_what_that_version_could_not_say_has_a_fingerprint_of_its_own(tmp_path: Path) -> None:
    write_shard_set(tmp_path, train=3, val=1, frames=900, tables={"accent": ("scots",)})
    assert load_index(tmp_path).fingerprint != hashlib.sha256(text_before(tmp_path).encode()).hexdigest()


def test_index_leaves_such_a_set_its_fingerprint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is written as columns, under the same one; with another shard it has another."""
    write_shard_set(tmp_path, train=5, val=2, frames=900, tags=("read", "sung"), frames_beside=(NOTES, MEL))
    older, text = load_index(tmp_path), text_before(tmp_path)
    write_index(tmp_path, text)
    (tmp_path / INDEX_NAME).unlink()
    assert cli.main(["index", str(tmp_path)]) == 0
    wrote = f"wrote {tmp_path / INDEX_NAME} in place of index.json (fingerprint {older.fingerprint[:12]}, as before)"
    assert wrote in capsys.readouterr().out
    assert load_index(tmp_path) == older and load_index(tmp_path).fingerprint == older.fingerprint
    assert not (tmp_path / legacy.INDEX_NAME).exists()

    (tmp_path / "train/shard-000001.tar").rename(tmp_path / "train/shard-000009.tar")
    assert cli.main(["index", str(tmp_path)]) == 0
    index = load_index(tmp_path)
    assert index.labels == older.labels, "how frames were made, only the older index knew"
    assert (
        index.fingerprint == hashlib.sha256(text_before(tmp_path).encode()).hexdigest() != older.fingerprint
    )


# --- labels, as checkpoints and exports keep them ---


def test_labels_of_that_version_have_todays_names() -> None:
    plain = {
        "speakers": ["anna", "Ünal"],
        "tags": ["calm", "sung"],
        "features": {"notes": {"hop_length": 32}, "mel": dict(MEL.spec)},
    }
    assert Labels.read(plain) == INDEX.labels
    assert Labels.read({"speakers": [], "tags": [], "features": {}}) == Labels()
    assert legacy.labels_of(INDEX.labels.tables, INDEX.labels.frames) == plain, "there and back"
    assert legacy.labels_of({"accent": ("scots",)}, {}) is None


@pytest.mark.parametrize(
    "changed",
    [{"speakers": "anna"}, {"speakers": ["anna", "anna"]}, {"tags": [1]}, {"tags": {"x": 0}}, {"features": []},
     {"features": {"../mel": {}}}, {"more": 1}],
)  # fmt: skip
def test_other_labels_are_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="its "):
        Labels.read({"speakers": ["anna"], "tags": [], "features": {}, **changed})


# --- an index that means harm ---

EVIL: dict[str, tuple[str, str]] = {
    "speaker true": ('["b",400,-1,', '["b",400,true,'),
    "speaker list": ('["b",400,-1,', '["b",400,[0],'),
    "speaker text": ('["b",400,-1,', '["b",400,"anna",'),
    "speaker none": ('["b",400,-1,', '["b",400,null,'),
    "speaker out of range": ('["b",400,-1,', '["b",400,2,'),
    "speaker below": ('["b",400,-1,', '["b",400,-2,'),
    "speaker endless": ('["b",400,-1,', f'["b",400,{"9" * 4000},'),
    "tag out of range": ("[0,1]", "[0,2]"),
    "tag true": ("[0,1]", "[0,true]"),
    "tags text": ("[0,1]", '"01"'),
    "tags number": ("[0,1]", "1"),
    "row short": ('["b",400,-1,[],', '["b",400,-1,'),
    "row long": ('["b",400,-1,[],', '["b",400,-1,[],[],'),
    "row of today": ('["b",400,-1,[],', '["b",400,{},'),
    "names twice": ('["anna","Ünal"]', '["anna","anna"]'),
    "names numbers": ('["anna","Ünal"]', "[1,2]"),
    "names none": ('["anna","Ünal"]', "null"),
    "no names": ('"speakers": ["anna","Ünal"],\n', ""),
    "features list": ('"features": {', '"features": [], "more": {'),
    "features path": ('"notes":{"hop', '"../notes":{"hop'),
    "features text": ('{"hop_length":32}', '{"hop_length":"32"}'),
    "features that recordings lack": ('"notes":{"hop', '"f0":{"hop'),
}


@pytest.mark.parametrize("evil", EVIL)
def test_a_hostile_one_is_refused_in_one_line(tmp_path: Path, evil: str) -> None:
    old, new = EVIL[evil]
    assert old in TEXT
    write_index(tmp_path, TEXT.replace(old, new, 1))
    with pytest.raises(
        UserError, match="is no index that can be used: .*run `wavenet-pl index` again"
    ) as caught:
        load_index(tmp_path)
    message = str(caught.value).removeprefix(str(tmp_path))
    assert "\n" not in message
    assert len(message) < 500


@pytest.mark.parametrize(("old", "new"), [('"calm"', '"cool"'), ("[0,1]", "[1,0]"), (",-1,[]", ",1,[]")])
def test_a_changed_one_is_refused(tmp_path: Path, old: str, new: str) -> None:
    path = write_index(tmp_path) / legacy.INDEX_NAME
    path.write_text(path.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    with pytest.raises(UserError, match=f"was changed: its fingerprint says '{FINGERPRINT}'"):
        load_index(tmp_path)
