"""Splits: by whole recordings, every speaker its share, something to validate on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.options import SplitOptions
from data_prep.sources import Source
from data_prep.splits import assign_splits
from wavenet_pl.errors import UserError
from wavenet_pl.shards.index import SPLITS


def good(source: Source) -> bool:
    """Every recording is left by the rules."""
    return True


def sources(*counts: int, split: str | None = None) -> list[Source]:
    """So many recordings for each of the speakers a, b, c, ..."""
    return [
        Source(name=f"{speaker}/{take}.wav", speaker=speaker, split=split, size=1)
        for speaker, count in zip("abcdefghijklmnop", counts, strict=False)
        for take in range(count)
    ]


def by_name(
    corpus: list[Source], usable: Callable[[Source], bool] = good, **options: object
) -> dict[str, str]:
    """The split of every source."""
    splits = assign_splits(corpus, SplitOptions(**options), usable)  # type: ignore[arg-type]
    return {source.name: SPLITS[split] for source, split in zip(corpus, splits, strict=True)}


def counts_of(corpus: list[Source], **options: object) -> Counter[str]:
    return Counter(by_name(corpus, **options).values())


def test_fractions_are_what_was_asked_for() -> None:
    assert counts_of(sources(400, 600)) == {"train": 900, "val": 50, "test": 50}
    assert counts_of(sources(1000), val_fraction=0.2, test_fraction=0.0) == {"train": 800, "val": 200}


def test_every_speaker_gives_the_same_share() -> None:
    chosen = by_name(sources(100, 60, 200))
    for split in ("val", "test"):
        shares = Counter(name[0] for name, value in chosen.items() if value == split)
        assert shares == {"a": 5, "b": 3, "c": 10}


@given(st.lists(st.integers(1, 40), min_size=1, max_size=16), st.integers(0, 9))
def test_any_corpus_of_two_can_be_trained_and_validated_on(counts: list[int], missing: int) -> None:
    corpus = sources(*counts)
    for source in corpus[len(corpus) - missing :]:
        corpus[corpus.index(source)] = Source(name=source.name, speaker=source.speaker)  # not there
    present = [source for source in corpus if source.exists]
    if len(present) < 2:
        return
    chosen = by_name(corpus)
    found = Counter(chosen[source.name] for source in present)
    assert found["train"] >= 1
    assert found["val"] >= 1
    assert abs(found["val"] - 0.05 * len(present)) <= max(1, 0.06 * len(present))
    several = {speaker for speaker, count in zip("abcdefghijklmnop", counts, strict=False) if count > 1}
    trained = {source.speaker for source in corpus if chosen[source.name] == "train"}
    if len(present) > 20 and not missing:
        assert several <= trained


def test_splits_do_not_depend_on_the_order_of_the_corpus() -> None:
    corpus = sources(30, 40)
    assert by_name(corpus) == by_name(corpus[::-1])


def test_one_recording_is_too_few() -> None:
    with pytest.raises(
        UserError, match="of 1 recordings 1 are for training and 0 for validation, expected at least"
    ):
        by_name(sources(1))


def test_no_validation_is_needed_where_none_is_asked_for() -> None:
    assert counts_of(sources(1), val_fraction=0.0, test_fraction=0.0) == {"train": 1}


def test_what_the_corpus_says_stays() -> None:
    labelled = (Source(name=f"{split}.wav", split=split, size=1) for split in ("val", "test"))
    corpus = [*sources(5, split="train"), *labelled]
    chosen = by_name(corpus)
    assert Counter(chosen.values()) == {"train": 5, "test": 1, "val": 1}


def test_a_corpus_that_names_no_validation_gives_some_of_its_training() -> None:
    corpus = [*sources(40, split="train"), Source(name="t.wav", split="test", size=1)]
    assert counts_of(corpus) == {"train": 38, "val": 2, "test": 1}


@pytest.mark.parametrize("split", ["test", "val"])
def test_held_out_speakers_are_alone_in_their_split(split: str) -> None:
    corpus = sources(50, 50, 50)
    chosen = by_name(corpus, holdout_speakers=("b",), holdout_split=split)
    assert {name[0] for name, value in chosen.items() if value == split} == {"b"}
    assert {value for name, value in chosen.items() if name[0] == "b"} == {split}
    assert "val" in chosen.values()


def test_an_unknown_speaker_is_named_with_the_nearest() -> None:
    corpus = [Source(name=f"{n}.wav", speaker="alice", size=1) for n in range(5)]
    with pytest.raises(UserError, match="--holdout-speakers names 'alise', .*; did you mean alice?"):
        by_name(corpus, holdout_speakers=("alise",))


def test_somebody_has_to_be_left() -> None:
    with pytest.raises(UserError, match="0 are for training"):
        by_name(sources(5, 5), holdout_speakers=("a", "b"))


@pytest.mark.parametrize("bad", range(8))
def test_a_small_split_does_not_consist_of_useless_recordings(bad: int) -> None:
    corpus = sources(10)
    first = by_name(corpus)
    useless = set(sorted(first, key=lambda name: (first[name] == "train", name))[:bad])
    chosen = by_name(corpus, lambda source: source.name not in useless)
    for split in ("train", "val", "test"):
        members = {name for name, value in chosen.items() if value == split}
        assert members - useless, split


@pytest.mark.parametrize(("count", "most"), [(40, 2), (4000, 0)])
def test_few_recordings_are_asked_for_their_use(count: int, most: int) -> None:
    asked: list[str] = []

    def usable(source: Source) -> bool:
        asked.append(source.name)
        return True

    by_name(sources(count), usable)
    assert len(asked) == most
