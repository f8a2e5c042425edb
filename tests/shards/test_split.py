"""Splits in parts, together, and in another table of speakers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.shards.made import write_shard_set
from wavenet_pl.audio.features import NotesSpec
from wavenet_pl.errors import UserError
from wavenet_pl.shards.index import load_index, shard_storage
from wavenet_pl.shards.labels import Labels
from wavenet_pl.shards.split import Split


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    folder = write_shard_set(
        tmp_path_factory.mktemp("split") / "set", train=6, val=1, speakers=("anna", "ben", "cleo")
    )
    index = load_index(folder)
    return Split(
        index.splits["train"], shard_storage(index, folder), index.sample_rate, Labels(index.speakers)
    )


def rows(split: Split) -> list[int]:
    return [split[position].speaker for position in range(len(split))]


def test_speakers_are_found_by_name_in_another_table(split: Split) -> None:
    names = split.labels.speakers
    table = Labels(("zoe", *reversed(names)))
    other = split.relabelled(table, "the data", "the model")
    assert [table.speakers[row] for row in rows(other)] == [names[row] for row in rows(split)]
    assert other.labels == table
    assert all(np.array_equal(other.read(position), split.read(position)) for position in range(len(split)))
    assert rows(split) == [0, 1, 2] * 2, "the first is as it was"


def test_a_speaker_or_features_that_the_table_lacks_are_refused_with_both_sides(split: Split) -> None:
    with pytest.raises(
        UserError,
        match=r"the model has the speakers \(1, row 0 is 'zoe'\), the data has \(3, row 0 is 'anna'\)",
    ):
        split.relabelled(Labels(("zoe",)), "the data", "the model")
    told = Labels(split.labels.speakers, features={"notes": NotesSpec(hop_length=40)})
    with pytest.raises(
        UserError, match="the model has notes features {.*, the data has none, expected equal ones"
    ):
        split.relabelled(told, "the data", "the model")


def test_parts_are_the_recordings_of_one_speaker_or_the_first_ones(split: Split) -> None:
    assert rows(split.of_speaker(1)) == [1, 1]
    assert rows(split.told_speaker(1)) == [1] * 6
    frames = split.frames
    assert len(split.up_to(int(frames[:3].sum()))) == 3
    assert len(split.up_to(int(frames[:3].sum()) - 1)) == 2
    assert len(split.up_to(1)) == 1, "never none"
    assert len(split.up_to(10**9)) == 6


def test_two_together_are_read_from_where_each_lies(split: Split, tmp_path: Path) -> None:
    folder = write_shard_set(tmp_path / "set", train=2, val=1, speakers=("anna",), seed=5)
    index = load_index(folder)
    more = Split(index.splits["train"], shard_storage(index, folder), index.sample_rate, Labels(("anna",)))
    both = split + more.relabelled(split.labels, "more", "the model")
    assert len(both) == 8 and rows(both)[6:] == [0, 0]
    assert np.array_equal(both.read(7), more.read(1)) and np.array_equal(both.read(2), split.read(2))
