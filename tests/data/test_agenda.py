"""When a node needs which shard: by arithmetic alone, against what the batches really read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.test_lanes import even_plan, plans, shard_of
from wavenet_pl.config.training import DataConfig
from wavenet_pl.data import agenda as agendas
from wavenet_pl.data.agenda import Agenda, changes
from wavenet_pl.data.lanes import LanePlan
from wavenet_pl.data.order import EpochPlan, ReplayPlan
from wavenet_pl.data.plans import GIB, near_limit, with_decoded
from wavenet_pl.errors import UserError
from wavenet_pl.shards.near import NearFolder
from wavenet_pl.shards.split import Split
from wavenet_pl.shards.storage import Storage


def agenda_of(plan: LanePlan, rows: np.ndarray | None = None, size: int = 100) -> Agenda:
    """Of shards of `size` bytes and a little more, no two of a size."""
    rows = np.arange(plan.batch_size) if rows is None else rows
    return Agenda(lambda epoch: replace(plan, epoch=epoch), rows, size + np.arange(len(plan.shards)))


@settings(max_examples=60)
@given(plans(), st.integers(1, 4))
def test_with_as_much_as_it_needs_every_shard_is_wanted_before_it_is_read(plan: LanePlan, step: int) -> None:
    rows = np.arange(0, plan.batch_size, step)
    agenda = agenda_of(plan, rows)
    for epoch in (0, 1):
        need, order = agenda.need(epoch), replace(plan, epoch=epoch)
        for number in range(order.num_batches):
            wanted = agenda.wanted(epoch, number, need)
            assert len(set(wanted)) == len(wanted) and agenda.sizes[wanted].sum() <= need
            # Already when it is to be on its way, so that it has the time of `lead` batches to come.
            for later in range(number, min(number + plan.lead + 1, order.num_batches)):
                assert set(shard_of(order, order.batch(later)[rows]).tolist()) <= set(wanted)


@settings(max_examples=60)
@given(plans(), st.integers(1, 9), st.integers(0, 4_000), st.data())
def test_wanted_are_the_next_shards_each_once_while_there_is_room(
    plan: LanePlan, at_once: int, limit: int, data: st.DataObject
) -> None:
    whole = agenda_of(plan)
    agenda = replace(whole, sizes=np.where(np.arange(len(plan.shards)) % 5, whole.sizes, 0))
    number = data.draw(st.integers(0, plan.num_batches - 1))
    expected: dict[int, int] = {}
    for epoch, since in ((0, number), (1, 0)):
        for shard, _, last in zip(
            *replace(plan, epoch=epoch).visits(agenda.rows, len(plan.shards)), strict=True
        ):
            if last >= since and agenda.sizes[shard]:
                expected.setdefault(int(shard), int(agenda.sizes[shard]))
    while sum(expected.values()) > limit:
        expected.popitem()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(agendas, "_AT_ONCE", at_once)
        assert agenda.wanted(0, number, limit) == list(expected)


def test_a_node_needs_a_few_shards_for_each_of_its_rows_and_not_the_set() -> None:
    plan = even_plan(6_400, 16, 5, 4, 16)  # 400 shards
    need = agenda_of(plan, np.arange(4)).need(0)
    # Four shards of a window, or parts of five, and the next one on its way.
    assert 4 * 4 * 100 < need < 4 * 8 * 500
    assert agenda_of(plan).need(0) > 2 * need, "fewer nodes have more rows each"


def test_the_order_without_lanes_needs_every_shard_at_any_time() -> None:
    plan = EpochPlan(**even_plan(64, 4, 3, 1, 8).facts)
    agenda = Agenda(lambda epoch: replace(plan, epoch=epoch), np.arange(2), np.full(16, 10))
    assert agenda.need(0) == 160
    assert agenda.wanted(0, 5, 160) == list(range(16))
    assert agenda.wanted(0, 5, 35) == [0, 1, 2]


def test_the_next_epoch_is_prepared_for_where_there_is_room() -> None:
    plan = even_plan(640, 16, 5, 1, 8)
    agenda = agenda_of(plan)
    last = plan.num_batches - 1
    at_the_end = agenda.wanted(0, last, 10**9)
    assert sorted(at_the_end) == list(range(40))
    first, second = (replace(plan, epoch=epoch).visits(agenda.rows, 40) for epoch in (0, 1))
    open_ones = set(first.shard[first.last >= last].tolist())
    assert len(open_ones) < 20 and set(at_the_end[: len(open_ones)]) == open_ones
    following = [shard for shard in dict.fromkeys(second.shard.tolist()) if shard not in open_ones]
    assert at_the_end[len(open_ones) :] == following


def test_a_shard_of_which_no_copy_is_made_is_never_wanted() -> None:
    plan = even_plan(64, 4, 3, 1, 8)
    agenda = Agenda(lambda epoch: plan, np.arange(8), np.where(np.arange(16) % 2, 10, 0))
    assert all(number % 2 for number in agenda.wanted(0, 0, 1_000)) and agenda.need(0) <= 80


def test_changes_fetch_the_most_urgent_first_and_remove_what_lies_behind_or_is_half() -> None:
    sizes = np.array([10, 11, 12, 13, 14])
    assert changes([4, 2, 0], sizes, {}) == ([4, 2, 0], [])
    assert changes([4, 2, 0], sizes, {2: 12, 3: 13}) == ([4, 0], [3])
    assert changes([4, 2, 0], sizes, {2: 6, 4: 14, 1: 3}) == ([2, 0], [1, 2])


def test_a_limit_that_is_too_small_is_refused_by_name(tmp_path: Path) -> None:
    agenda = agenda_of(even_plan(6_400, 16, 5, 4, 16), size=GIB)
    need = agenda.need(0)
    near = NearFolder(tmp_path)
    gib = round(need / GIB)
    lanes = DataConfig(window=4, cache=str(tmp_path), cache_gib=gib / 2)
    with pytest.raises(
        UserError, match=rf"data.cache_gib is {gib / 2:g}, expected {gib} GiB .*lower data.window"
    ):
        near_limit(lanes, agenda)
    with pytest.raises(
        UserError, match=r"cache_gib is 1, expected .* without data.window any .*set data.window=4"
    ):
        near_limit(DataConfig(cache="x", cache_gib=1.0), agenda)
    assert near_limit(replace(lanes, cache_gib=gib + 1.0), agenda) == (gib + 1) * GIB
    assert near_limit(replace(lanes, cache_gib=None), agenda) == need
    vast = Agenda(agenda.plan, agenda.rows, agenda.sizes * 2**30)
    with pytest.raises(UserError, match=r"data.cache is .* has room for .* GiB, expected .*make room"):
        near_limit(replace(lanes, cache_gib=None), vast, [near])
    with pytest.raises(
        UserError, match=r"data.cache_gib is 1e\+09, and .* has room for .* lower it, or make room"
    ):
        near_limit(replace(lanes, cache_gib=1e9), agenda, [near])


def test_all_recordings_that_a_replay_draws_from_are_in_use() -> None:
    facts = EpochPlan(np.full(100, 5_000), 1_000, 4, seed=0, epoch=0, fingerprint="", shuffle=True).facts
    plan = ReplayPlan(**facts, own=2, replay_share=0.5)
    assert plan.predictions < 25_000 and plan.in_use(4) == 500_000


def test_recordings_stay_decoded_where_those_in_use_have_room_in_all_processes_together(
    tmp_path: Path,
) -> None:
    split = Split((), Storage(str(tmp_path)), 8_000)
    plan = EpochPlan(
        np.full(8, 2**17), 1_000, 4, seed=0, epoch=0, fingerprint="", shuffle=True
    )  # 2 MiB in 16 bits

    def room(mib: int, workers: int, shuffle: bool = True) -> int:
        config = DataConfig(decoded_mib=mib, num_workers=workers)
        return with_decoded(split, config, replace(plan, shuffle=shuffle), 4)._most_decoded

    assert [room(mib, workers) for mib, workers in ((2, 0), (2, 1), (2, 2), (4, 2), (1, 2), (0, 0))] == [
        2**21, 2**21, 2**20, 2**21, 0, 0,
    ]  # fmt: skip
    assert room(0, 4, shuffle=False) == 1, "the last one"
