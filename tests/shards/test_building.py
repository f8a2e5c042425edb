"""The builder of an index: each recording is found again with its names, whatever order they came in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from wavenet_pl.shards.building import build_index
from wavenet_pl.shards.format import Span
from wavenet_pl.shards.index import load_index, save_index

NAMED = st.dictionaries(
    st.sampled_from(["accent", "speaker", "tags"]), st.lists(st.sampled_from("abcdef"), max_size=3).map(tuple)
)


@dataclass(frozen=True)
class Named:
    """A recording as whoever reads or writes shards knows it."""

    key: str
    names: Mapping[str, tuple[str, ...]]
    frames: int = 100

    @property
    def members(self) -> dict[str, Span]:
        """Its audio."""
        return {"wav": Span(512, 9, 1)}


@dataclass(frozen=True)
class Shard:
    """A shard of such."""

    name: str
    recordings: tuple[Named, ...]
    bytes: int = 10_240
    sha256: str = "0" * 64


def shards_of(named: list[dict[str, tuple[str, ...]]]) -> list[Shard]:
    rows = [Named(f"key-{number}", names) for number, names in enumerate(named)]
    return [Shard("train/a.tar", tuple(rows[::2])), Shard("train/b.tar", tuple(rows[1::2]))]


@given(st.lists(NAMED, min_size=2, max_size=9))
def test_every_recording_has_its_names_and_tables_those_that_somebody_has(
    named: list[dict[str, tuple[str, ...]]],
) -> None:
    index = build_index(8_000, {"train": shards_of(named)}, {})
    recordings = {row.key: row for shard in index.splits["train"] for row in shard.recordings}
    tables = index.labels.tables
    for number, names in enumerate(named):
        row = recordings[f"key-{number}"]
        assert {table: {tables[table][each] for each in rows} for table, rows in row.rows.items()} == {
            table: set(some) for table, some in names.items() if some
        }
        assert all(list(rows) == sorted(set(rows)) for rows in row.rows.values()), "in order, each once"
    everyone = {(table, name) for names in named for table, some in names.items() for name in some}
    assert {(table, name) for table, names in tables.items() for name in names} == everyone
    assert all(list(names) == sorted(names) and names for names in tables.values())
    assert list(tables) == sorted(tables)


@given(st.lists(NAMED, min_size=2, max_size=9))
def test_the_order_in_which_names_come_says_nothing(
    named: list[dict[str, tuple[str, ...]]],
) -> None:
    turned = [{table: names[::-1] for table, names in reversed(list(one.items()))} for one in named]
    one, other = (build_index(8_000, {"train": shards_of(each)}, {}) for each in (named, turned))
    assert one == other and one.fingerprint == other.fingerprint


def test_splits_frames_and_base_are_what_they_were_given_as(tmp_path: Path) -> None:
    shards = shards_of([{"accent": ("scots",)}, {}])
    spec = {"hop_length": 80, "mean": [120.0], "std": [30.0]}
    index = build_index(
        8_000, {"train": shards[:1], "val": iter(shards[1:])}, {"f0": spec}, base="/elsewhere"
    )
    assert [shard.name for some in index.splits.values() for shard in some] == ["train/a.tar", "train/b.tar"]
    assert index.splits["val"][0].recordings[0].rows == {}
    assert (index.labels.frames, index.base, index.sample_rate) == ({"f0": spec}, "/elsewhere", 8_000)
    assert build_index(8_000, {"train": shards}, {}).base is None
    plain = build_index(8_000, {"train": shards}, {})
    save_index(plain, tmp_path)
    assert load_index(tmp_path) == plain
