"""The order in lanes: each slot once, the same for whoever asks, and each rank by its own part of the shards."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wavenet_pl.data.lanes import LanePlan
from wavenet_pl.data.order import PADDING, EpochPlan
from wavenet_pl.numbers import counter


def plan_of(
    frames: list[int], shards: list[int], window: int = 2, batch_size: int = 4, crop_samples: int = 50
) -> LanePlan:
    return LanePlan(
        frames=np.array(frames, dtype=np.int64),
        crop_samples=crop_samples,
        batch_size=batch_size,
        seed=7,
        epoch=2,
        fingerprint="abc",
        shuffle=True,
        shards=np.array(shards, dtype=np.int64),
        window=window,
    )


def even_plan(recordings: int, per_shard: int, slots: int, window: int, batch_size: int) -> LanePlan:
    return plan_of([50 * slots] * recordings, [per_shard] * (recordings // per_shard), window, batch_size)


def shard_of(plan: LanePlan, slots: np.ndarray) -> np.ndarray:
    """The shard of each slot, padding left out."""
    recording = plan.windows(slots[slots != PADDING]).recording
    return np.repeat(np.arange(len(plan.shards)), plan.shards)[recording]


def batch_of_all_ranks(plan: EpochPlan, number: int, world_size: int, parts: int) -> list[int]:
    """What the ranks take of a batch, one after the other."""
    shares = (
        plan.share(number, part, rank, parts=parts, world_size=world_size)
        for part in range(parts)
        for rank in range(world_size)
    )
    return [slot for share in shares for slot in share.tolist()]


@st.composite
def plans(draw: st.DrawFn) -> LanePlan:
    """Shards of 0 to 6 recordings, or one alone; batches of one row, and of more than the epoch has slots."""
    shards = draw(st.lists(st.integers(0, 6), min_size=1, max_size=8).filter(any))
    frames = draw(st.lists(st.integers(1, 400), min_size=sum(shards), max_size=sum(shards)))
    return plan_of(
        frames, shards, draw(st.integers(1, 5)), 12 * draw(st.integers(1, 6)), draw(st.integers(20, 90))
    )


@settings(max_examples=200)
@given(plans(), st.data())
def test_each_slot_comes_once_and_no_batch_depends_on_who_asks(plan: LanePlan, data: st.DataObject) -> None:
    batches = [plan.batch(number) for number in range(plan.num_batches)]
    slots = np.concatenate(batches)
    assert plan.num_batches == -(-plan.num_slots // plan.batch_size)
    assert sorted(slots[slots != PADDING]) == list(range(plan.num_slots))
    assert PADDING not in slots[: -plan.batch_size], "padding is in the last batch only"
    assert plan.order.tolist() == slots[slots != PADDING].tolist()
    world_size, parts = data.draw(st.sampled_from([(1, 1), (2, 1), (3, 2), (4, 3), (12, 1)]))
    number = data.draw(st.integers(0, plan.num_batches - 1))
    assert batch_of_all_ranks(replace(plan), number, world_size, parts) == batches[number].tolist()


@settings(max_examples=50)
@given(plans())
def test_windows_of_a_lane_hold_what_the_line_of_shards_has_there(plan: LanePlan) -> None:
    """Walking over the line in plain Python; only the order within a window is the plan's own."""
    size, slots = plan.batch_size, plan.num_slots
    key = counter.stream_key("shards", 7, 2, "abc")
    filled = [shard for shard, count in enumerate(plan.shards) if count]
    random = dict(enumerate(counter.random_bits(key, np.arange(len(filled))).tolist()))
    line = []
    starts = np.cumsum([0, *plan.shards])
    firsts = plan.slots_before(starts)
    for _, shard in sorted((random[number], shard) for number, shard in enumerate(filled)):
        line += range(firsts[shard], firsts[shard + 1])
    assert sorted(line) == list(range(slots))
    stretch = max(1, plan.window * slots // len(filled))
    batches = np.stack([plan.batch(number) for number in range(plan.num_batches)])
    for lane in range(size):
        mine = line[lane * slots // size : (lane + 1) * slots // size]
        edges = [0, *range((lane + 1) * stretch // size, len(mine), stretch), len(mine)]
        for start, stop in pairwise(edges):
            assert sorted(batches[start:stop, lane]) == sorted(mine[start:stop])


def test_the_order_is_the_same_on_every_machine_and_in_every_release() -> None:
    plan = plan_of([120, 75, 30, 200, 10, 90], [2, 1, 3], window=1, batch_size=3)
    assert [plan.batch(number).tolist() for number in range(5)] == [
        [0, 4, 10], [2, 6, 9], [1, 7, 12], [3, 8, 11], [PADDING, PADDING, 5],
    ]  # fmt: skip


@pytest.mark.parametrize("change", [{"seed": 1}, {"epoch": 1}, {"fingerprint": "g"}, {"window": 3}])
def test_the_order_changes_with_seed_epoch_fingerprint_and_window(change: dict[str, object]) -> None:
    plan = even_plan(240, 12, 3, 2, 8)
    assert replace(plan, **change).order.tolist() != plan.order.tolist()  # type: ignore[arg-type]


def test_crops_are_those_of_the_order_without_lanes() -> None:
    lanes = plan_of([130, 55, 260] * 40, [30] * 4)
    slots = np.arange(lanes.num_slots)
    for one, other in zip(lanes.windows(slots), EpochPlan(**lanes.facts).windows(slots), strict=True):
        assert np.array_equal(one, other)


def test_a_rank_reads_its_part_of_the_shards_whatever_the_accumulation() -> None:
    plan = even_plan(400, 4, 3, 2, 16)  # 100 shards
    for parts in (1, 2):
        for rank in range(4):
            shares = [
                plan.share(number, part, rank, parts=parts, world_size=4)
                for number in range(plan.num_batches)
                for part in range(parts)
            ]
            # A lane ends within a shard, where another one begins.
            assert 25 <= len(set(shard_of(plan, np.concatenate(shares)).tolist())) <= 25 + 4


def test_no_two_crops_of_a_recording_are_in_a_batch_where_lanes_are_long() -> None:
    plan = even_plan(800, 16, 3, 2, 16)
    for number in range(plan.num_batches):
        recordings = plan.windows(plan.batch(number)).recording
        assert len(set(recordings.tolist())) == 16


def test_lanes_change_shards_at_different_times() -> None:
    plan = even_plan(6_400, 16, 5, 1, 16)
    visits = plan.visits(np.arange(16), 400)
    _, times = np.unique(visits.first[visits.first > 0], return_counts=True)
    assert times.max() <= 3


@settings(max_examples=50)
@given(plans(), st.integers(1, 3))
def test_visits_are_when_rows_read_shards(plan: LanePlan, step: int) -> None:
    rows = np.arange(0, plan.batch_size, step)
    visits = plan.visits(rows, len(plan.shards))
    assert (np.diff(visits.first) >= 0).all() and (visits.first <= visits.last).all()
    read: set[int] = set()
    for number in range(plan.num_batches):
        here = set(shard_of(plan, plan.batch(number)[rows]).tolist())
        assert here <= set(visits.shard[(visits.first <= number) & (number <= visits.last)].tolist())
        read |= here
    assert read == set(visits.shard.tolist()), "and no others"


def test_a_late_batch_of_millions_takes_little_memory() -> None:
    frames = np.full(2_000_000, 16_000 * 13 - 9, dtype=np.int64)
    plan = plan_of([1], [1], window=4, batch_size=256, crop_samples=16_000)
    plan = replace(plan, frames=frames, shards=np.full(10_000, 200))
    assert plan.num_slots == 26_000_000
    tracemalloc.start()
    late = replace(plan)
    assert late.windows(late.batch(late.num_batches - 2)).predictions > 255 * 15_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50 * 2**20


def test_what_rows_have_in_use_at_a_time_is_about_what_they_still_come_back_to() -> None:
    plan = even_plan(1_600, 16, 5, 2, 8)  # 100 shards
    assert EpochPlan(**plan.facts).in_use(1) == plan.predictions
    for rows in (np.arange(2), np.arange(8)):
        first, last = {}, {}
        for number in range(plan.num_batches):
            for recording in plan.windows(plan.batch(number)[rows]).recording.tolist():
                first.setdefault(recording, number)
                last[recording] = number
        most = max(
            sum(int(plan.frames[each]) for each in first if first[each] <= number <= last[each])
            for number in range(plan.num_batches)
        )
        assert most <= plan.in_use(len(rows)) < 3 * most
    assert plan.in_use(10_000) == plan.predictions
