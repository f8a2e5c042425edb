"""Splits in parts, together, and in other tables."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.shards.damages import wav_bytes, write_tar, write_unchecked_index
from tests.shards.made import with_rows, write_shard_set
from wavenet_pl.errors import UserError
from wavenet_pl.inputs.notes import Notes
from wavenet_pl.shards import split as split_file
from wavenet_pl.shards.damage import Damage
from wavenet_pl.shards.index import load_index, shard_storage
from wavenet_pl.shards.labels import Labels
from wavenet_pl.shards.split import Split


def split_of(folder: Path, *inputs: str) -> Split:
    """The recordings to train on, with the labels of a model that is told these."""
    index = load_index(folder)
    labels = index.labels.of(inputs)
    return Split(index.splits["train"], shard_storage(index, folder), index.sample_rate, labels)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shard_set(
        tmp_path_factory.mktemp("split") / "set",
        train=6,
        val=1,
        speakers=("anna", "ben", "cleo"),
        tables={"accent": ("scots", "irish")},
    )


@pytest.fixture(scope="module")
def split(folder: Path) -> Split:
    return split_of(folder, "speaker")


def rows(split: Split, table: str = "speaker") -> list[int]:
    return [each for position in range(len(split)) for each in split[position].rows.get(table, (-1,))]


def test_speakers_are_found_by_name_in_another_table(split: Split) -> None:
    names = split.labels.tables["speaker"]
    table = ("zoe", *reversed(names))
    other = split.relabelled(Labels({"speaker": table}), "the data", "the model")
    assert [table[row] for row in rows(other)] == [names[row] for row in rows(split)]
    assert other.labels == Labels({"speaker": table})
    assert all(np.array_equal(other.read(position), split.read(position)) for position in range(len(split)))
    assert rows(split) == [0, 1, 2] * 2, "the first is as it was"


def test_every_table_of_a_model_is_relabelled_and_others_stay_as_they_are(folder: Path, split: Split) -> None:
    told = split_of(folder, "speaker", "accent")
    assert told.labels.tables["accent"] == ("irish", "scots")
    model = Labels({**told.labels.tables, "accent": ("cockney", "scots", "irish")})
    moved = told.relabelled(model, "the data", "the model")
    assert (rows(moved), rows(moved, "accent")) == (rows(told), [1, 2] * 3)
    own = Labels({"speaker": ("zoe", *told.labels.tables["speaker"])})
    moved = told.relabelled(own, "the data", "the model")
    assert (rows(moved), rows(moved, "accent")) == ([row + 1 for row in rows(told)], rows(told, "accent"))
    assert moved.labels == Labels({**told.labels.tables, **own.tables})


def test_names_or_frames_that_a_model_lacks_are_refused_with_both_sides(split: Split) -> None:
    with pytest.raises(
        UserError,
        match=r"the model has the speaker names \(1, row 0 is 'zoe'\), the data has \(3, row 0 is 'anna'\)",
    ):
        split.relabelled(Labels({"speaker": ("zoe",)}), "the data", "the model")
    told = Labels(split.labels.tables, frames={"notes": Notes(hop_length=40).spec})
    with pytest.raises(
        UserError, match="the model has notes frames {.*, the data has none, expected equal ones"
    ):
        split.relabelled(told, "the data", "the model")


def test_parts_are_the_recordings_of_one_row_or_the_first_ones(split: Split) -> None:
    assert rows(split.of_row("speaker", 1)) == [1, 1]
    assert rows(split.of_row("accent", 0)) == [1, 0, 2], "those with an odd number"
    assert rows(split.with_row("speaker", 1)) == [1] * 6
    assert rows(split.with_row("speaker", 1), "accent") == rows(split, "accent"), "the rest is as it was"
    frames = split.frames
    assert len(split.up_to(int(frames[:3].sum()))) == 3
    assert len(split.up_to(int(frames[:3].sum()) - 1)) == 2
    assert len(split.up_to(1)) == 1, "never none"
    assert len(split.up_to(10**9)) == 6


def test_the_sets_of_rows_are_those_of_the_recordings_at_hand(folder: Path) -> None:
    split = split_of(folder, "speaker", "accent")
    assert split.row_sets("accent") == [(0,), (1,)]
    assert split.with_row("accent", 1).row_sets("accent") == [(1,)]
    assert split.row_sets("tags") == [()], "nobody has one"


def test_two_together_are_read_from_where_each_lies(split: Split, tmp_path: Path) -> None:
    more = split_of(write_shard_set(tmp_path / "set", train=2, val=1, speakers=("anna",), seed=5), "speaker")
    both = split + more.relabelled(split.labels, "more", "the model")
    assert len(both) == 8 and rows(both)[6:] == [0, 0]
    assert np.array_equal(both.read(7), more.read(1)) and np.array_equal(both.read(2), split.read(2))


def test_sets_of_rows_are_those_of_the_recordings_whatever_was_made_of_the_split(tmp_path: Path) -> None:
    rows = [(0,), (), (2, 1), (1, 2), (0, 1, 2), (), (2,)]
    plain = split_of(write_shard_set(tmp_path / "set", train=7, val=1, tags=("a", "b", "c")), "tags")
    several = iter(rows)
    split = with_rows(plain, lambda recording: {"tags": next(several)})
    assert [each.rows.get("tags", ()) for each in split] == rows
    turned = split.relabelled(Labels({"tags": ("c", "x", "b", "a")}), "the data", "the model")
    again = turned.relabelled(Labels({"tags": ("x", "a", "b", "c")}), "the data", "the model")
    for some in (split, turned, again, turned.with_row("tags", 1), turned.of_row("tags", 0), turned + turned.up_to(1),
                 turned.at(np.array([6, 2, 0])), turned.at(np.array([6, 2, 0])).of_row("tags", 0)):  # fmt: skip
        assert some.row_sets("tags") == sorted({each.rows.get("tags", ()) for each in some})
        items, bounds = some.table_rows("tags")
        assert [tuple(items[bounds[n] : bounds[n + 1]]) for n in range(len(some))] == [
            each.rows.get("tags", ()) for each in some
        ]
    assert [again.labels.tables["tags"][row] for row in again[4].rows["tags"]] == ["a", "b", "c"]


def test_shards_are_told_with_how_many_recordings_in_a_row_they_have(tmp_path: Path) -> None:
    split = split_of(write_shard_set(tmp_path / "set", train=10, val=1))
    names = [f"train/shard-{number:06d}.tar" for number in range(3)]

    def runs(some: Split) -> list[tuple[str, int]]:
        return [(shard.name, shard.recordings) for shard in some.shards]

    assert runs(split) == list(zip(names, (4, 4, 2), strict=True))
    assert runs(split.up_to(1)) == [(names[0], 1)]
    assert runs(split.at(np.array([9, 8, 0, 1, 5]))) == [(names[2], 2), (names[0], 2), (names[1], 1)]
    assert runs(split + split.up_to(1)) == [*runs(split), (names[0], 1)]
    assert [shard.bytes for shard in split.shards] == [
        (tmp_path / "set" / name).stat().st_size for name in names
    ]


def counted_decodings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Number of samples of each decoding from here on."""
    decoded: list[int] = []
    decode = split_file.decode_audio

    def counting(content: bytes, start: int, stop: int, **options: Any) -> Any:
        decoded.append(stop - start)
        return decode(content, start, stop, **options)

    monkeypatch.setattr(split_file, "decode_audio", counting)
    return decoded


def test_a_recording_that_stays_decoded_is_decoded_once_and_is_the_same(
    split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = counted_decodings(monkeypatch)
    keeping = pickle.loads(pickle.dumps(split.keeping_decoded(2 * (4_000 + 7_000))))
    for _ in range(3):
        for position, start, stop in ((0, 0, 4_000), (1, 5_990, 6_990), (0, 17, 18), (1, 0, 1)):
            np.testing.assert_array_equal(
                keeping.read(position, start, stop), split.read(position, start, stop), strict=True
            )
    assert decoded.count(7_000) == 1 and decoded.count(4_000) == 1 + 3, "and those of the split without"
    keeping.read(2)  # takes the place of one
    keeping.read(0, 0, 5)
    assert decoded[-2:] == [2_500, 4_000]


def test_what_has_finer_steps_than_16_bits_or_is_damaged_is_read_as_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fine = np.linspace(-1, 1, 3_000, dtype=np.float32)
    entries = {"fine": fine, "whole": np.rint(fine * 9) / 16, "cut": fine}
    (tmp_path / "train").mkdir()
    write_tar(
        tmp_path / "train/a.tar",
        [
            (f"{key}.wav", wav_bytes(audio)[: 4_000 if key == "cut" else None])
            for key, audio in entries.items()
        ],
    )
    write_unchecked_index(tmp_path, 3_000)
    split = split_of(tmp_path)
    assert [split[position].key for position in range(3)] == [*entries]
    decoded = counted_decodings(monkeypatch)
    keeping = split.keeping_decoded(10**6)
    for position, counts in ((0, [3_000, 900, 900]), (1, [3_000]), (2, [3_000, 900, 900])):
        decoded.clear()
        got = [keeping.try_read(position, 0, 900) for _ in range(2)]
        assert decoded == counts
        for each in got:
            np.testing.assert_array_equal(each, split.try_read(position, 0, 900))
    assert isinstance(keeping.try_read(2, 0, 3_000), Damage) and isinstance(split.try_read(2), Damage)
