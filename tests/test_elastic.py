"""A run that stops anywhere goes on with other numbers of ranks and workers, and learns the same."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.test_datamodule import data_of, loader_of, read_from, rows
from tests.processes import losses, train, weights
from tests.shards.made import write_shard_set
from wavenet_pl.data.datamodule import AudioDataModule

pytestmark = [
    pytest.mark.filterwarnings("ignore:This DataLoader will create"),
]

BATCH_SIZE = 12
RANKS = [(1, 1), (2, 1), (3, 1), (1, 2), (4, 1), (6, 1), (12, 1), (1, 3), (2, 2), (3, 4)]
"""World size and accumulated batches, which all divide the batch size."""


def legs(ranks: list[tuple[int, int]], workers: int, most: int) -> st.SearchStrategy[list[Any]]:
    """Starts of one run: ranks and accumulated batches, workers, global batches until the stop."""
    leg = st.tuples(st.sampled_from(ranks), st.integers(0, workers), st.integers(1, 6))
    return st.lists(leg, min_size=2, max_size=most)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> AudioDataModule:
    """Forty-nine crops of six recordings, in five batches an epoch, the last one nearly empty."""
    frames = (4_000, 7_000, 2_500, 5_501, 1_200, 3_200)
    folder = write_shard_set(tmp_path_factory.mktemp("elastic"), train=6, val=1, frames=frames)
    return data_of(folder, batch_size=BATCH_SIZE)


@pytest.fixture(scope="module")
def batches(data: AudioDataModule) -> list[Counter[Any]]:
    """Every global batch of as many epochs as the longest run has, read by one process without a stop."""
    loader = loader_of(data)
    epochs = [[Counter(rows(batch)) for batch in loader] for _ in range(6)]
    assert {len(epoch) for epoch in epochs} == {5}
    for epoch in epochs:
        slots = Counter({row: count for batch in epoch for row, count in batch.items() if row[0] >= 0})
        assert sum(slots.values()) == data.plan("train", 0).num_slots == 49 and set(slots.values()) == {1}
    return [batch for epoch in epochs for batch in epoch]


def go_on(data: AudioDataModule, batches: list[Counter[Any]], starts: list[Any]) -> None:
    """Every start gives the next global batches, each as the same set."""
    state, seen = {"epoch": 0, "batches": 0}, 0
    for (world_size, parts), workers, stop in starts:
        found, state = read_from(data, state, world_size, parts, workers, stop)
        assert found == batches[seen : seen + stop]
        seen += stop


@settings(max_examples=200)
@given(starts=legs(RANKS, workers=0, most=5))
def test_a_run_that_is_stopped_anywhere_gives_the_same_batches_to_any_ranks(
    data: AudioDataModule, batches: list[Counter[Any]], starts: list[Any]
) -> None:
    go_on(data, batches, starts)


@pytest.mark.slow
@settings(max_examples=200)
@given(starts=legs(RANKS[:4], workers=3, most=3))
def test_a_run_that_is_stopped_anywhere_gives_the_same_batches_to_any_ranks_and_workers(
    data: AudioDataModule, batches: list[Counter[Any]], starts: list[Any]
) -> None:
    go_on(data, batches, starts)


# --- real processes ---


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shard_set(tmp_path_factory.mktemp("elastic") / "set", train=10, val=3)


def train_in_legs(shards: Path, folder: Path, legs: list[tuple[int, int, int]]) -> Path:
    """Train, on so many ranks with so many workers each, until such a step; then on others from there."""
    folder.mkdir()
    for ranks, workers, step in legs:
        train(
            shards, folder, f"data.batch_size={BATCH_SIZE}", f"trainer.devices={ranks}", f"data.num_workers={workers}",
            f"trainer.max_steps={step}",
        )  # fmt: skip
    return folder


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_one_two_three_and_one_rank_learn_what_one_learns(shards, tmp_path):
    """An epoch has nine steps: the stops at 7, 15 and 20 lie in the middle of three of them."""
    whole = losses(train_in_legs(shards, tmp_path / "whole", [(1, 0, 30)]))
    parts = losses(train_in_legs(shards, tmp_path / "parts", [(1, 2, 7), (2, 1, 15), (3, 2, 20), (1, 0, 30)]))
    assert parts.keys() == whole.keys()
    assert all(parts[step] == whole[step] for step in range(1, 8)), (
        "as long as there was one rank, bit by bit"
    )
    assert parts == pytest.approx(whole, rel=1e-5)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("ranks", [1, 2])
def test_other_workers_change_no_bit(shards, tmp_path, ranks):
    whole = train_in_legs(shards, tmp_path / "whole", [(ranks, 0, 20)])
    parts = train_in_legs(shards, tmp_path / "parts", [(ranks, 2, 6), (ranks, 0, 13), (ranks, 3, 20)])
    assert losses(parts) == losses(whole)
    one, other = weights(parts), weights(whole)
    assert one.keys() == other.keys() and all(one[name].equal(other[name]) for name in one)
