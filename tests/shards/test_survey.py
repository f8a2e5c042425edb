"""A whole set: what is wrong only beside the rest of it, how it is divided, and its index."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.nobody import as_nobody
from tests.shards.damages import TABLES, audio_bytes, write_tar
from wavenet_pl.errors import UserError
from wavenet_pl.shards.damage import Damage
from wavenet_pl.shards.format import Span
from wavenet_pl.shards.index import Index, load_index, save_index
from wavenet_pl.shards.labels import Labels
from wavenet_pl.shards.scan import ScannedRecording, ScannedShard, scan_shard
from wavenet_pl.shards.storage import Storage
from wavenet_pl.shards.survey import divide, find_shards, index_of, same_content, survey

WAV = Span(512, 9, 1)


def recording(key: str, **changes: object) -> ScannedRecording:
    whole = ScannedRecording(key, 100, 8000, {}, key, {"wav": WAV, "json": Span(1536, 9, 2)}, False)
    return replace(whole, **changes)  # type: ignore[arg-type]


def shard(name: str, *recordings: ScannedRecording) -> ScannedShard:
    return ScannedShard(name, 10_240, "0" * 64, recordings, ())


def index_with(*recordings: ScannedRecording) -> Index:
    return index_of({"train": [shard("train/a.tar", *recordings)]}, None)


@pytest.mark.parametrize(
    ("odd", "kind"),
    [
        (recording("odd", sample_rate=16_000), "sample rate"),
        (recording("odd", suspect=True, members={"wav": WAV}), "half"),
        (recording("odd", members={"wav": WAV}), "no JSON"),
        (recording("key-1"), "duplicate"),
    ],
)
def test_what_differs_from_the_rest_is_left_out(odd: ScannedRecording, kind: str) -> None:
    rest = [shard("train/a.tar", *(recording(f"key-{n}") for n in range(3)))]
    sound, damage = survey({"train": [*rest, shard("train/b.tar", odd)]}, None, TABLES)
    assert [(row.shard, row.key, row.kind) for row in damage] == [("train/b.tar", odd.key, kind)]
    assert [[row.key for row in part.recordings] for part in sound["train"]] == [
        ["key-0", "key-1", "key-2"],
        [],
    ]


def test_suspect_recording_that_has_everything_is_sound() -> None:
    rows = [recording("a"), recording("b", suspect=True), recording("c", suspect=True)]
    assert survey({"train": [shard("train/a.tar", *rows)]}, None, TABLES)[1] == []


def test_the_same_key_in_two_splits_is_allowed() -> None:
    splits = {"train": [shard("train/a.tar", recording("a"))], "val": [shard("val/a.tar", recording("a"))]}
    assert survey(splits, None, TABLES)[1] == []


def test_an_older_index_names_what_is_gone_or_shorter() -> None:
    older = index_with(recording("a"), recording("b"), recording("c", frames=150), recording("d"))
    now = [shard("train/a.tar", recording("a"), recording("c")), shard("train/new.tar", recording("d"))]
    sound, damage = survey({"train": now}, older, TABLES)
    assert [(row.key, row.kind) for row in damage] == [("c", "shorter"), ("b", "missing")]
    assert "150" in damage[0].found
    assert [row.key for part in sound["train"] for row in part.recordings] == ["a", "d"], "d has only moved"
    assert [row.kind for row in survey({"train": now[1:]}, older, TABLES)[1]] == ["missing shard"] * 3


def test_an_older_index_notices_other_bytes_of_the_same_size() -> None:
    older = index_with(*(recording(key) for key in "abcd"))
    now = [
        recording("a"),
        recording("b", members={"wav": WAV, "json": Span(1536, 9, 3)}),
        recording("c", members={"wav": WAV._replace(crc32=4), "json": Span(1536, 9, 2)}),
        recording("d", members={"wav": Span(512, 10, 5), "json": Span(2048, 9, 2)}),
    ]
    sound, damage = survey({"train": [shard("train/a.tar", *now)]}, older, TABLES)
    assert [(row.key, row.kind) for row in damage] == [("b", "changed"), ("c", "changed")]
    assert ".json" in damage[0].found
    assert ".wav" in damage[1].found
    assert [row.key for row in sound["train"][0].recordings] == ["a", "d"], "another size is meant"


@pytest.mark.parametrize("table", ["speaker", "accent"])
def test_no_name_is_damage_only_where_most_have_one(table: str) -> None:
    silent = recording("none")
    spoken = shard("train/a.tar", *(recording(f"s{n}", names={table: ("anna",)}) for n in range(3)), silent)
    assert survey({"train": [spoken]}, None, {**TABLES, table: False})[1] == [
        Damage("train/a.tar", "none", "no name", f"no {table}, where most of the set has one")
    ]
    few = shard("train/a.tar", silent, recording("one", names={table: ("anna",)}))
    assert survey({"train": [few]}, None, {**TABLES, table: False})[1] == []


def test_no_tag_is_no_damage_where_most_have_one() -> None:
    tagged = shard(
        "train/a.tar", *(recording(f"t{n}", names={"tags": ("sung",)}) for n in range(3)), recording("none")
    )
    assert survey({"train": [tagged]}, None, TABLES)[1] == []


@given(st.lists(st.integers(0, 30), min_size=2, max_size=60), st.floats(0.01, 0.99))
def test_division_keeps_every_recording_once_and_sources_together(
    sources: list[int], fraction: float
) -> None:
    rows = [recording(f"key-{n}", source=f"take-{source}") for n, source in enumerate(sources)]
    shards = [shard("a.tar", *rows[::2]), shard("b.tar", *rows[1::2])]
    if len(set(sources)) < 2:
        with pytest.raises(UserError, match="found 1 sound recordings, expected at least 2"):
            divide({"": shards}, fraction)
        return
    splits = divide({"": shards}, fraction)
    held = {split: {row.key for part in parts for row in part.recordings} for split, parts in splits.items()}
    assert set(held) == {"train", "val"}
    assert held["train"]
    assert held["val"]
    assert sorted(held["train"] | held["val"]) == sorted(row.key for row in rows)
    homes = {row.source: {split for split in held if row.key in held[split]} for row in rows}
    assert all(len(home) == 1 for home in homes.values())
    assert divide({"": [*shards, shard("c.tar", recording("new"))]}, 0.5).keys() == {"train", "val"}


def test_division_takes_about_the_fraction_and_adding_recordings_moves_none() -> None:
    rows = [recording(f"key-{n}") for n in range(2_000)]
    some = divide({"": [shard("a.tar", *rows[:1_500])]}, 0.1)["val"][0].recordings
    more = divide({"": [shard("a.tar", *rows)]}, 0.1)["val"][0].recordings
    assert 0.07 < len(more) / 2_000 < 0.13
    assert {row.key for row in some} == {row.key for row in more} & {row.key for row in rows[:1_500]}


def test_only_a_set_without_validation_is_divided() -> None:
    train, val = shard("train/a.tar", recording("a"), recording("b")), shard("val/a.tar", recording("c"))
    assert divide({"train": [train], "val": [val]}, 0.5) == {"train": [train], "val": [val]}
    assert divide({"train": [train], "val": [shard("val/a.tar")]}, 0.5)["val"][0].name == "train/a.tar"
    assert divide({"test": [val]}, 0.5) == {"test": [val]}


def test_built_index_of_a_written_set_is_its_index(shard_set: Path) -> None:
    storage = Storage(str(shard_set))
    names, aside = find_shards(storage)
    assert not aside
    scanned = {split: [scan_shard(storage, name, TABLES) for name in some] for split, some in names.items()}
    sound, damage = survey(scanned, None, TABLES)
    assert not damage
    index = index_of(divide(sound, 0.05), None)
    older = load_index(shard_set)
    assert index.fingerprint == older.fingerprint
    assert same_content(index, older)


def test_same_content_sees_through_table_order_and_empty_shards() -> None:
    rows = (
        recording("a", names={"speaker": ("ben",), "tags": ("x",)}),
        recording("b", names={"speaker": ("anna",), "tags": ("y", "x")}),
    )
    index = index_with(*rows)
    turned = replace(
        index,
        labels=Labels({table: names[::-1] for table, names in index.labels.tables.items()}),
        splits={
            "train": tuple(
                replace(
                    part,
                    recordings=tuple(
                        replace(
                            row,
                            rows={name: tuple(1 - each for each in some) for name, some in row.rows.items()},
                        )
                        for row in part.recordings
                    ),
                )
                for part in index.splits["train"]
            ),
            "test": (),
        },
    )
    assert same_content(index, turned)
    renamed = {**turned.labels.tables, "speaker": ("anna", "carl")}
    assert not same_content(index, replace(turned, labels=Labels(renamed)))
    elsewhere = [
        replace(row, names={"accent": row.names["speaker"], "tags": row.names["tags"]}) for row in rows
    ]
    assert not same_content(index, index_with(*elsewhere)), "the same names in another table"
    assert not same_content(index, replace(index, base="/elsewhere"))
    assert not same_content(index, index_with(*rows[:1]))


def test_shards_are_found_in_order_and_by_split(tmp_path: Path) -> None:
    for name in (
        "train/b.tar",
        "train/a.tar",
        "val/a.tar",
        "old/a.tar",
        "train/.a.tar.1.tmp",
        "train/.x.tar",
    ):
        write_tar(tmp_path / name, [])
    names, aside = find_shards(Storage(str(tmp_path)))
    assert names == {"train": ["train/a.tar", "train/b.tar"], "val": ["val/a.tar"]}
    assert aside == ["old/a.tar"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "no shards"),
        (["a.txt"], "no shards"),
        (["a.tar.gz"], "a plain .tar: unpack it"),
        (["validation/a.tar"], "train, val, test: rename it"),
        (["index.safetensors"], "whose shards are elsewhere; give the folder"),
        (["a.tar", "train/a.tar"], "both in itself and in train/"),
        (["a:b.tar"], "rename it"),
        (["a\nb.tar"], "rename it"),
    ],
)
def test_no_usable_shards_is_one_message(tmp_path: Path, files: list[str], message: str) -> None:
    for name in files:
        write_tar(tmp_path / name, [("a.wav", audio_bytes(10))])
    with pytest.raises(UserError, match=message) as caught:
        find_shards(Storage(str(tmp_path)))
    assert "\n" not in str(caught.value)


def test_place_that_is_not_there_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="gone cannot be listed .No such file or directory"):
        find_shards(Storage(str(tmp_path / "gone")))


def test_built_index_can_be_saved_and_loaded(tmp_path: Path) -> None:
    index = index_with(recording("a", names={"speaker": ("Ünal",), "tags": ("x",)}), recording("b"))
    save_index(index, tmp_path)
    assert load_index(tmp_path) == index


def test_a_folder_that_may_not_be_looked_into_is_passed_over_where_it_is_no_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As lost+found, at the root of a disk. A link that leads round is no folder."""
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o755)
    write_tar(tmp_path / "train/a.tar", [("a.wav", audio_bytes(100))])
    (tmp_path / "lost+found").mkdir(mode=0o700)
    (tmp_path / "round").symlink_to("round")
    with as_nobody():
        assert find_shards(Storage(".")) == ({"train": ["train/a.tar"]}, [])
    (tmp_path / "train").chmod(0o700)
    with as_nobody(), pytest.raises(UserError, match="cannot be listed .Permission denied"):
        find_shards(Storage("."))
