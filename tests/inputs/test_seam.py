"""The seam of all inputs: the same of each kind, whatever it is that a model is told.

Shapes: N frames, F features of a frame.
"""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.shards.made import make_frames, with_rows, write_shard_set
from tests.test_conditioning import F0, FRAMES, MEL, NOTES
from wavenet_pl.errors import UserError
from wavenet_pl.inputs.column import Column
from wavenet_pl.inputs.frames import Frames
from wavenet_pl.inputs.input import Array, Columns, Input, crop_fields
from wavenet_pl.inputs.known import BUILT_IN, build_inputs, check_inputs
from wavenet_pl.inputs.speaker import Speaker
from wavenet_pl.inputs.table import Table
from wavenet_pl.inputs.tags import Tags
from wavenet_pl.shards.damage import Damage
from wavenet_pl.shards.index import load_index, shard_storage
from wavenet_pl.shards.split import Split

NAMES = ("speaker", "tags", "accent", "notes", "mel", "f0")
RATE = 8_000
COLUMNS = [
    Columns(first, number, context) for first in (0, 1, 777, 2_999) for number in (1, 333) for context in (0, 4)
] + [Columns(0, 5_000, 3)]  # fmt: skip
"""Some begin anywhere in a frame, and some end after the recording."""
each_name = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    """Recordings of three lengths, with names and frames of every kind."""
    return split_of(tmp_path_factory.mktemp("seam") / "set", tables={"accent": ("scots", "irish", "welsh")})


def split_of(folder: Path, **options: Any) -> Split:
    given = {
        "train": 6,
        "val": 0,
        "speakers": ("ben", "anna"),
        "tags": ("loud", "calm"),
        "frames_beside": FRAMES,
    }
    write_shard_set(folder, **{"frames": (3_000, 3_333, 4_001), **given, **options})
    index = load_index(folder)
    return Split(index.splits["train"], shard_storage(index, folder), index.sample_rate, index.labels)


def input_of(split: Split, name: str) -> Input:
    [found] = build_inputs((name,), split.labels)
    return found


def said(split: Split, name: str, position: int) -> Any:
    """What a person would say of a recording: a name, names, or the array that stands beside it."""
    number = int(split[position].key.removeprefix("rec-"))
    if name in split.labels.tables:
        names = [split.labels.tables[name][row] for row in split[position].rows[name]]
        return names if name == "tags" else names[0]
    [frames] = [each for each in FRAMES if each.name == name]
    return make_frames(frames, (split.read(position) * 32768).astype(np.int16), number)


def assert_same(one: Array, other: Array) -> None:
    assert np.shape(one) == np.shape(other) and np.asarray(one).dtype == np.asarray(other).dtype
    assert np.array_equal(one, other)


# --- what a set says about a recording ---


@each_name
def test_fields_that_say_nothing_have_the_shapes_of_those_that_do(split: Split, name: str) -> None:
    told = input_of(split, name)
    for columns in COLUMNS:
        blank, read = told.blank(columns), told.read(split, 1, columns)
        assert isinstance(read, dict) and blank.keys() == read.keys()
        for field, value in blank.items():
            assert np.shape(value) == np.shape(read[field]), (field, columns)
            assert np.asarray(value).dtype == np.asarray(read[field]).dtype, field
        nothing = -1 if name in ("speaker", "accent") else 0
        assert (np.asarray(blank[name]) == nothing).all()


@each_name
def test_a_clip_is_told_what_a_crop_of_the_same_recording_is_told(split: Split, name: str) -> None:
    told = input_of(split, name)
    for position in range(len(split)):
        value = told.resolve(said(split, name, position), RATE)
        for columns in COLUMNS:
            crop, clip = told.read(split, position, columns), told.fields(value, columns)
            assert isinstance(crop, dict) and crop.keys() == clip.keys()
            for field in crop:
                assert_same(crop[field], clip[field])


@pytest.mark.parametrize("frames", FRAMES, ids=lambda frames: frames.name)
def test_each_column_finds_the_frame_of_its_sample(split: Split, frames: Frames) -> None:
    """By the definition: row f describes samples f * hop to (f + 1) * hop - 1, and outside is nothing."""
    for position in (0, 1):
        stored_NF = said(split, frames.name, position)
        for columns in COLUMNS:
            fields = frames.read(split, position, columns)
            assert isinstance(fields, dict)
            given_NF, phase = fields[frames.name], int(fields[f"{frames.name}_phase"])
            for column in range(0, columns.number, 7):
                frame = (columns.first + column) // frames.hop_length
                row = columns.frame_context + (phase + column) // frames.hop_length
                for around in range(-columns.frame_context, columns.frame_context + 1):
                    found, expected = given_NF[row + around], np.zeros(frames.num_features, np.float32)
                    if 0 <= frame + around < len(stored_NF):
                        expected = frames.scaled(stored_NF[frame + around][None])[0]
                    assert np.array_equal(found, expected), (columns, column, around)


@each_name
def test_a_wrong_value_is_another_one_and_always_the_same(split: Split, name: str) -> None:
    told = input_of(split, name)
    for position in range(len(split)):
        for columns in COLUMNS:
            read = told.read(split, position, columns)
            assert isinstance(read, dict)
            for draws in ([0, 1, 2, 3], [7, 5, 11, 13], [2**63 - 1] * 4, [split.frames.sum()] * 4):
                other = told.wrong(split, position, columns, read[name], list(map(int, draws)))
                again = told.wrong(split, position, columns, read[name], list(map(int, draws)))
                if other is None:
                    # Nothing is played or sounds anywhere beside the end of a recording.
                    assert isinstance(told, Frames) and not read[name].any(), (name, columns)
                    continue
                assert again is not None
                assert_same(other, again)
                assert np.shape(other) == np.shape(read[name])
                assert np.asarray(other).dtype == np.asarray(read[name]).dtype
                assert not np.array_equal(other, read[name])


@pytest.mark.parametrize("name", ["speaker", "accent"])
def test_every_other_name_is_a_wrong_one_and_as_often(split: Split, name: str) -> None:
    told = input_of(split, name)
    own = np.asarray(split[0].rows[name][0])
    number = len(split.labels.tables[name])
    found: list[Any] = [told.wrong(split, 0, COLUMNS[0], own, [draw]) for draw in range(6 * (number - 1))]
    assert {row: found.count(row) for row in range(number)} == {
        row: 0 if row == own else 6 for row in range(number)
    }


def test_where_there_is_no_other_value_none_is_wrong(tmp_path: Path) -> None:
    alone = split_of(
        tmp_path / "set",
        train=1,
        speakers=("anna",),
        tags=("calm",),
        tables={"accent": ("scots",)},
        frames=900,
    )
    for name in ("speaker", "tags", "accent"):
        told = input_of(alone, name)
        fields = told.read(alone, 0, COLUMNS[0])
        assert isinstance(fields, dict)
        assert told.wrong(alone, 0, COLUMNS[0], fields[name], [1, 2, 3, 4]) is None


@pytest.mark.parametrize("name", ["speaker", "accent"])
def test_a_recording_without_a_name_has_no_row_and_no_wrong_one(split: Split, name: str) -> None:
    nameless = with_rows(split, lambda recording: {})
    told = input_of(split, name)
    assert told.read(nameless, 0, COLUMNS[0]) == told.blank(COLUMNS[0])
    assert told.wrong(nameless, 0, COLUMNS[0], np.asarray(-1), [1, 2, 3, 4]) is None


def test_no_tags_are_a_set_of_tags_like_any_other(split: Split) -> None:
    tags = input_of(split, "tags")
    told = with_rows(split, lambda recording: {} if recording.key == "rec-00000" else recording.rows)
    own = np.zeros(2, np.float32)
    fields = tags.read(told, 0, COLUMNS[0])
    assert isinstance(fields, dict) and fields["tags"].tolist() == [0, 0]
    for draw in range(6):
        other = tags.wrong(told, 0, COLUMNS[0], own, [draw])
        assert other is not None and other.sum() == 1


@pytest.mark.parametrize("name", ["notes", "mel", "f0"])
def test_a_damaged_array_is_returned_as_what_is_wrong_with_it(tmp_path: Path, name: str) -> None:
    damaged = split_of(tmp_path / "set", train=2)
    place, shard = damaged[1].members[f"{name}.npy"], tmp_path / "set/train/shard-000000.tar"
    content = bytearray(shard.read_bytes())
    content[place.offset + place.size - 3] ^= 0xFF
    shard.write_bytes(content)
    told = input_of(damaged, name)
    found = told.read(damaged, 1, COLUMNS[0])
    assert isinstance(found, Damage) and found.key == "rec-00001"
    right = told.read(damaged, 0, COLUMNS[0])
    assert isinstance(right, dict)
    assert told.wrong(damaged, 0, COLUMNS[0], right[name], [0, 0, 0, 0]) is None, "no other one can be read"
    assert crop_fields((told,), damaged, 1, COLUMNS[0], None) == found


def test_crops_have_the_fields_of_all_inputs_and_padding_says_nothing(split: Split) -> None:
    inputs, columns = build_inputs(NAMES, split.labels), Columns(100, 200, 2)
    draws = {name: [1, 2, 3, 4] for name in NAMES}
    crop, plain = crop_fields(inputs, split, 2, columns, draws), crop_fields(inputs, split, 2, columns, None)
    padding = crop_fields(inputs, split, -1, columns, draws)
    assert isinstance(crop, dict) and isinstance(plain, dict) and isinstance(padding, dict)
    assert crop.keys() == padding.keys()
    assert set(plain) == {*NAMES, "notes_phase", "mel_phase", "f0_phase"}
    assert set(crop) - set(plain) == {f"{what}_{name}" for what in ("other", "changed") for name in NAMES}
    for name in NAMES:
        assert crop[f"changed_{name}"] and not padding[f"changed_{name}"]
        assert not np.array_equal(crop[f"other_{name}"], crop[name])
        assert_same(padding[f"other_{name}"], padding[name])
        assert np.shape(padding[f"other_{name}"]) == np.shape(crop[f"other_{name}"])


# --- what a set has to have ---


def test_a_set_that_has_it_all_lacks_nothing(split: Split, tmp_path: Path) -> None:
    split_of(tmp_path / "set", tables={"accent": ("scots", "irish")})
    check_inputs("here", load_index(tmp_path / "set"), NAMES)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("speaker", "2 of 2 recordings without a speaker, such as rec-00000, .*; name them in metadata.csv"),
        ("tags", "here has no tags, expected some, .*a column tags in metadata.csv, or with --tag-columns"),
        ("notes", "here has no notes frames, expected some, .*prepare it again with --notes"),
        ("mel", "here has no mel frames, expected some, .*prepare it again with --mel"),
        ("accent", "inputs has accent, expected some of f0, .*mel, notes, speaker, tags; here knows no other: "),
        ("accent", "here knows no other: prepare it again with --tables accent or --frames accent:hop=N"),
        ("spekaer", "expected some of f0, .*; did you mean speaker\\?; here knows no other"),
    ],
)  # fmt: skip
def test_what_a_set_lacks_is_said_with_what_to_do(tmp_path: Path, name: str, said: str) -> None:
    split_of(tmp_path / "set", train=2, speakers=(), tags=(), frames_beside=(F0,))
    with pytest.raises(UserError, match=said):
        check_inputs("here", load_index(tmp_path / "set"), (name,))


def test_recordings_without_a_name_of_ones_own_table_are_counted(tmp_path: Path) -> None:
    split_of(tmp_path / "set", train=3, tables={"accent": ("scots", "irish")})
    index = load_index(tmp_path / "set")
    [shard] = index.splits["train"]
    rows = [replace(row, rows={}) if row.key == "rec-00001" else row for row in shard.recordings]
    index = replace(index, splits={**index.splits, "train": (replace(shard, recordings=rows),)})
    with pytest.raises(
        UserError,
        match="here has 1 of 3 recordings without an accent, such as rec-00001, .*fill the column accent in "
        "metadata.csv, and prepare again with --tables accent",
    ):
        check_inputs("here", index, ("accent",))


# --- words ---


@each_name
def test_a_row_of_a_batch_is_described_by_what_was_said(split: Split, name: str) -> None:
    told = input_of(split, name)
    rows: list[Any] = [told.read(split, position, COLUMNS[0]) for position in range(3)]
    batch: dict[str, Any] = {name: np.stack([row[name] for row in rows])}
    for row in range(3):
        value = said(split, name, row)
        expected = f"{name} {value if isinstance(value, str) else ', '.join(value)}" if isinstance(
            value, (str, list)
        ) else name  # fmt: skip
        assert told.describe(batch, row) == expected
        if isinstance(told, Frames):
            assert told.describe({**batch, "keys": ["a", "b", "c"]}, row) == f"{name} of {'abc'[row]}"


def test_no_tags_are_described_as_none() -> None:
    assert Tags(("calm", "loud")).describe({"tags": np.zeros((1, 2))}, 0) == "tags none"


@pytest.mark.parametrize("kind", [Speaker, Tags, lambda names: Column(names=names, name="accent")])
def test_the_names_are_the_summary_and_a_long_table_is_cut(kind: Any) -> None:
    assert kind(("anna", "ben")).summary() == "anna, ben"
    assert kind(("an\nna", "b\x1ben")).summary().isprintable()
    many = kind(tuple(f"p{number}" for number in range(1000))).summary()
    assert many.startswith("p0, p1, ") and many.endswith("p199 and 800 more")


@pytest.mark.parametrize("frames", [NOTES, MEL, F0], ids=lambda frames: frames.name)
def test_how_frames_are_made_is_their_summary(frames: Frames) -> None:
    assert ast.literal_eval(frames.summary()) == frames.spec


def test_each_kind_says_what_its_option_is_for() -> None:
    for name, kind in BUILT_IN.items():
        assert kind.name == name and kind.metavar and kind.help
        assert issubclass(kind, (Table, Frames))
