"""The file of columns: a sound safetensors file as narrow as it can be, and as large in memory as one shard."""

from __future__ import annotations

import pickle
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.shards.indexes import read, write_many
from tests.shards.made import write_shard_set
from wavenet_pl.data.order import EpochPlan
from wavenet_pl.errors import UserError
from wavenet_pl.shards.column_file import columns_of, in_memory
from wavenet_pl.shards.format import Span
from wavenet_pl.shards.index import INDEX_NAME, Index, load_index, save_index, shard_storage
from wavenet_pl.shards.labels import Labels
from wavenet_pl.shards.lazily import Lazily
from wavenet_pl.shards.recording import Recording, Shard
from wavenet_pl.shards.split import Split

MANY = 200_000


def row(key: str, **changes: object) -> Recording:
    whole = Recording(key, 100, {"speaker": (0,)}, {"flac": Span(512, 9, 1), "json": Span(1536, 9, 2)})
    return replace(whole, **changes)  # type: ignore[arg-type]


def shard(name: str, *recordings: Recording) -> Shard:
    return Shard(name, 10_240, "0" * 64, recordings)


def test_rows_come_back_whatever_only_some_of_them_have() -> None:
    """Members, tables and counts of their rows, recordings of a shard, shards of a split."""
    splits = {
        "train": (
            shard("a.tar", row("a"), row("b", rows={})),
            shard("b.tar"),
            shard("c.tar", row("c", members={"wav": Span(512, 2**40, 2**32 - 1)}), row("d", frames=2**31)),
            shard("ü.tar", row("e/f", rows={"tags": (3, 1, 3), "speaker": (70_000,)})),
        ),
        "val": (),
        "test": (shard("d.tar"),),
    }
    assert in_memory(splits) == splits
    columns = in_memory(splits)["train"]
    assert [columns.shard_name(int(each)) for each in columns.shard_of(np.arange(5))] == [
        "a.tar", "a.tar", "c.tar", "c.tar", "ü.tar",
    ]  # fmt: skip
    assert columns.without("speaker").tolist() == [1] and columns.without("smell").tolist() == list(range(5))
    assert columns_of(columns) is columns


def test_any_reader_of_safetensors_opens_it(shard_set: Path) -> None:
    arrays = load_file(shard_set / INDEX_NAME)
    index = load_index(shard_set)
    recordings = [each for shard in index.splits["train"] for each in shard.recordings]
    assert arrays["train/frames"].tolist() == [each.frames for each in recordings]
    assert arrays["train/offset/flac"].tolist() == [each.members["flac"].offset for each in recordings]
    keys, bounds = arrays["train/keys"].tobytes().decode(), arrays["train/keys/bounds"].tolist()
    assert [keys[bounds[n] : bounds[n + 1]] for n in range(len(recordings))] == [
        each.key for each in recordings
    ]


def test_columns_are_as_narrow_as_their_numbers_allow(tmp_path: Path) -> None:
    rows = [row(f"{n}", frames=60_000 + n * 3_000) for n in range(3)]
    save_index(Index(sample_rate=8_000, splits={"train": [shard("a.tar", *rows)]}), tmp_path)
    kinds = {name: array.dtype.name for name, array in read(tmp_path / INDEX_NAME)[1].items()}
    assert kinds["train/frames"] == "uint32" and kinds["train/offset/flac"] == "uint16"
    assert kinds["train/size/flac"] == kinds["train/rows/speaker"] == "uint8"


def test_an_index_of_many_takes_some_ninety_bytes_for_each(tmp_path: Path) -> None:
    write_shard_set(tmp_path, train=40, val=0, frames=80, recordings_per_shard=40, tags=("a", "b"))
    _, arrays = read(tmp_path / INDEX_NAME)
    assert sum(array.nbytes for array in arrays.values()) / 40 < 90


def test_writing_takes_memory_for_one_shard_at_a_time(tmp_path: Path) -> None:
    peaks = []
    for shards in (6, 36):
        lazily = Lazily(shards, lambda n: shard(f"{n}.tar", *(row(f"r{n}-{each}") for each in range(20))))
        index = Index(sample_rate=8_000, splits={"train": lazily}, labels=Labels({"speaker": ("a",)}))
        tracemalloc.start()
        save_index(index, tmp_path)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert load_index(tmp_path) == index
    assert peaks[1] < 1.3 * peaks[0]


def test_tables_that_no_header_holds_are_refused_and_leave_the_older_index(
    shard_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = load_index(shard_set)
    before = save_index(index, tmp_path).read_bytes()
    monkeypatch.setattr("wavenet_pl.shards.column_file._HEADER_BYTES", 5_000)
    with pytest.raises(
        UserError, match=r"the set's tables take \d+ bytes, expected 5000 at most; leave a table"
    ):
        save_index(replace(index, labels=Labels({"speaker": tuple(map(str, range(2_000)))})), tmp_path)
    assert (tmp_path / INDEX_NAME).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [INDEX_NAME]


def test_a_split_of_many_is_small_in_memory_and_smaller_on_its_way_to_a_worker(tmp_path: Path) -> None:
    write_many(tmp_path, MANY)
    load_index(tmp_path)  # what is imported and kept for ever is not counted
    tracemalloc.start()
    index = load_index(tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    split = Split(index.splits["train"], shard_storage(index, tmp_path), 8_000, index.labels)
    assert split[MANY - 1].key == f"rec-{MANY - 1:08d}"
    now = tracemalloc.get_traced_memory()[0]
    content = pickle.dumps(split)
    told = split.relabelled(Labels({"speaker": ("c", "b", "a")}), "the data", "the model")
    parts = told, told.with_row("speaker", 1), told + told.with_row("accent", 3), told.of_row("speaker", 1)
    more = pickle.dumps(parts)
    tracemalloc.stop()
    assert now < MANY and peak < 60 * MANY, "bytes: less than one for a recording"
    assert len(content) < 4_000 and len(more) < 12_000
    [one, other, both, some] = pickle.loads(more)
    assert pickle.loads(content)[7] == split[7]
    assert (one[7].rows, other[7].rows, both[7].rows) == (
        {"speaker": (1,)},
        {"speaker": (1,)},
        {"speaker": (1,)},
    )
    assert both[MANY + 2].rows == {"speaker": (0,), "accent": (3,)} and len(both) == 2 * MANY
    assert some[4].key == "rec-00000013" and len(some) == len(told.of_row("speaker", 1))


@pytest.mark.parametrize("shuffle", [True, False])
def test_a_plan_of_many_is_computed_once_and_shared(tmp_path: Path, shuffle: bool) -> None:
    write_many(tmp_path, MANY)
    index = load_index(tmp_path)
    split = Split(index.splits["train"], shard_storage(index, tmp_path), 8_000, index.labels)
    plan = EpochPlan(split.lengths, 2_000, 64, seed=0, epoch=0, fingerprint="", shuffle=shuffle)
    content = pickle.dumps(plan)
    assert len(content) < MANY // 5
    same = EpochPlan(split.frames, 2_000, 64, seed=0, epoch=0, fingerprint="", shuffle=shuffle)
    there = pickle.loads(content)
    assert "order" in vars(there), "a worker does not sort"
    assert np.array_equal(there.order, same.order)
    assert all(
        np.array_equal(ours, theirs)
        for ours, theirs in zip(there.windows(there.batch(5)), same.windows(same.batch(5)), strict=True)
    )


def test_nothing_can_be_written_over_what_is_mapped(shard_set: Path) -> None:
    frames = load_index(shard_set).columns("train").frames
    with pytest.raises(ValueError, match="read-only"):
        frames[0] = 1


def test_an_index_that_is_written_anew_is_no_matter_for_who_has_read_it(tmp_path: Path) -> None:
    write_shard_set(tmp_path, train=8)
    index = load_index(tmp_path)
    split = Split(index.splits["train"], shard_storage(index, tmp_path), 8_000)
    before = [each.key for each in split]
    save_index(replace(index, splits={"train": index.splits["train"][1:]}), tmp_path)
    assert [each.key for each in split] == before
    assert [each.key for each in pickle.loads(pickle.dumps(split))] == before, "nor for its workers"
