"""Several sets as one order: each slot once in every pass, shares within one, the same for whoever asks."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.test_datamodule import RECEPTIVE_FIELD, loader_of, read_from, rows
from tests.data.test_lanes import batch_of_all_ranks, plan_of
from tests.shards.made import write_shard_set
from tests.shards.s3_server import serving_s3
from wavenet_pl.config.training import DataConfig
from wavenet_pl.data.datamodule import AudioDataModule
from wavenet_pl.data.dealing import Dealing
from wavenet_pl.data.mixture import LanePass, MixturePlan, Pass


def mixture_of(
    sets: list[tuple[list[int], list[int]]],
    parts: tuple[int, ...],
    window: int | None = None,
    batch_size: int = 4,
    epoch: int = 0,
    crop_samples: int = 50,
) -> MixturePlan:
    """Of sets that are given as the lengths of their recordings and how many of them each shard has."""
    dealing = Dealing(parts, batch_size)
    passes: list[Pass] = []
    for number, (frames, shards) in enumerate(sets):
        lanes = plan_of(frames, shards, window or 1, batch_size, crop_samples)
        facts = {**lanes.facts, "epoch": 0, "fingerprint": f"set {number}"}
        facts |= {"dealing": dealing, "number": number}
        if window is None:
            passes.append(Pass(**facts))
        else:
            facts |= {"batch_size": dealing.lanes(number), "shards": lanes.shards, "window": window}
            passes.append(LanePass(**facts))
    whole = plan_of([length for frames, _ in sets for length in frames], [1], 1, batch_size, crop_samples)
    facts = {**whole.facts, "epoch": epoch, "fingerprint": "mixture"}
    return MixturePlan(**facts, sets=tuple(passes), dealing=dealing)


@st.composite
def mixtures(draw: st.DrawFn) -> MixturePlan:
    """Two to four ragged sets; some are gone through many times in an epoch, and some not once."""
    sets = []
    for _ in range(draw(st.integers(2, 4))):
        shards = draw(st.lists(st.integers(0, 4), min_size=1, max_size=4).filter(any))
        sets.append((draw(st.lists(st.integers(1, 300), min_size=sum(shards), max_size=sum(shards))), shards))
    parts = tuple(draw(st.lists(st.integers(1, 30), min_size=len(sets), max_size=len(sets))))
    window = draw(st.none() | st.integers(1, 3))
    return mixture_of(sets, parts, window, 12 * draw(st.integers(1, 3)), 0, draw(st.integers(50, 90)))


def epochs_of(plan: MixturePlan, number: int) -> list[np.ndarray]:
    """The global batches of the first epochs, each from a plan that has computed nothing before."""
    return [
        replace(plan, epoch=epoch).batch(batch)
        for epoch in range(number)
        for batch in range(plan.num_batches)
    ]


def owners(plan: MixturePlan, slots: np.ndarray) -> np.ndarray:
    """The set of each slot, by its recording."""
    recording = plan.windows(slots).recording
    return np.searchsorted(np.cumsum([len(each.frames) for each in plan.sets]), recording, side="right")


@settings(max_examples=25)
@given(mixtures())
def test_each_slot_comes_once_in_every_pass_and_every_sample_is_predicted_once(plan: MixturePlan) -> None:
    batches = epochs_of(plan, 2)
    slots = np.concatenate(batches)
    assert len(slots) == 2 * plan.num_slots == 2 * plan.num_batches * plan.batch_size, "no padding"
    assert len(set(slots.tolist())) == len(slots)
    windows, owner = plan.windows(slots), owners(plan, slots)
    passes = slots // sum(each.num_slots for each in plan.sets)
    batch = np.arange(len(slots)) // plan.batch_size
    first = 0
    for number, each in enumerate(plan.sets):
        mine = np.flatnonzero(owner == number)
        for which in range(passes[mine].max(initial=0)):
            rows = mine[passes[mine] == which]
            seen = [np.zeros(length, dtype=int) for length in each.frames]
            for row in rows.tolist():
                seen[windows.recording[row] - first][windows.start[row] : windows.stop[row]] += 1
            assert all((row == 1).all() for row in seen)
            later = mine[passes[mine] > which]
            assert batch[later].min() >= batch[rows].max(), "a pass is over when the next one begins"
        first += len(each.frames)


@settings(max_examples=25)
@given(mixtures())
def test_up_to_any_batch_each_set_has_had_its_share_within_one(plan: MixturePlan) -> None:
    had = np.zeros(len(plan.sets))
    share = np.array(plan.dealing.parts) / sum(plan.dealing.parts)
    for number, slots in enumerate(epochs_of(plan, 2), start=1):
        had += np.bincount(owners(plan, slots), minlength=len(had))
        assert (np.abs(had - share * number * plan.batch_size) < 1).all()
    assert plan.dealing.period * plan.batch_size % sum(plan.dealing.parts) == 0


@settings(max_examples=25)
@given(mixtures(), st.data())
def test_no_batch_depends_on_who_asks_or_what_was_asked_before(
    plan: MixturePlan, data: st.DataObject
) -> None:
    world_size, parts = data.draw(st.sampled_from([(1, 1), (2, 1), (3, 2), (4, 3), (12, 1)]))
    number = data.draw(st.integers(0, plan.num_batches - 1))
    batches = [plan.batch(each) for each in range(plan.num_batches)]
    assert plan.order.tolist() == np.concatenate(batches).tolist()
    assert batch_of_all_ranks(replace(plan), number, world_size, parts) == batches[number].tolist()


@settings(max_examples=25)
@given(mixtures(), st.integers(0, 3), st.integers(1, 3))
def test_visits_are_when_rows_read_shards(plan: MixturePlan, epoch: int, step: int) -> None:
    plan = replace(plan, epoch=epoch)
    lanes = all(isinstance(each, LanePass) for each in plan.sets)
    shards = np.concatenate([each.shards for each in plan.sets]) if lanes else np.ones(len(plan.frames), int)
    shard = np.repeat(np.arange(len(shards)), shards)
    rows = np.arange(0, plan.batch_size, step)
    visits = plan.visits(rows, len(shards))
    assert (np.diff(visits.first) >= 0).all() and (visits.first <= visits.last).all()
    assert len(visits.shard) == 0 or (visits.first.min() >= 0 and visits.last.max() < plan.num_batches)
    for number in range(plan.num_batches):
        here = set(shard[plan.windows(plan.batch(number)[rows]).recording].tolist())
        assert here <= set(visits.shard[(visits.first <= number) & (number <= visits.last)].tolist())


@pytest.mark.parametrize("window", [None, 2])
def test_a_late_batch_of_many_epochs_is_as_quick_as_the_first(window: int | None) -> None:
    """By what it computes: neither the order of an epoch nor the batches before are looked at."""
    sets = [([50 * 13] * 4_000, [40] * 100), ([50 * 9] * 1_000, [10] * 100)]
    plan = mixture_of(sets, (7, 3), window, 64, epoch=10**6)
    late = plan.batch(plan.num_batches - 1)
    assert len(set(late.tolist())) == 64
    assert set(np.bincount(owners(plan, late)).tolist()) <= {44, 45, 19, 20}
    assert all(array.size < 20_000 for each in plan._passes.values() for array in vars(each).values()
               if isinstance(array, np.ndarray))  # fmt: skip


def test_in_lanes_a_rank_reads_its_part_of_each_set() -> None:
    sets = [([150] * 400, [2] * 200), ([150] * 200, [2] * 100)]
    plan = mixture_of(sets, (7, 3), 2, 32)
    read: set[int] = set()
    rows = plan.rows(range(4), parts=1, world_size=4).reshape(4, -1)
    for rank in range(4):
        slots = np.concatenate([plan.batch(number)[rows[rank]] for number in range(plan.num_batches)])
        recording = plan.windows(slots).recording
        mine = set((recording[recording < 400] // 2).tolist())
        # A quarter, the shards at the edges of its lanes, and what the next pass begins with.
        assert len(mine) <= 200 / 4 + 3 * 8, rank
        read |= mine
    assert len(read) == 200
    visits = plan.visits(rows[0], 300)
    assert len(set(visits.shard.tolist())) < 150
    assert plan.lead == 2 * 3
    assert plan.in_use(8) == sum(each.in_use(rows) for each, rows in zip(plan.sets, (7, 4), strict=True))
    assert plan.in_use(8) < plan.in_use(10_000) == 600 * 150


def test_rows_of_a_set_are_spread_over_the_ranks() -> None:
    owner, lane = Dealing((7, 3), 40).rows(5)
    for rank in range(4):
        assert np.bincount(owner[10 * rank : 10 * rank + 10]).tolist() == [7, 3]
    assert sorted(zip(owner.tolist(), lane.tolist(), strict=True)) == [
        *((0, each) for each in range(28)), *((1, each) for each in range(12))
    ]  # fmt: skip


def test_the_order_is_the_same_on_every_machine_and_in_every_release() -> None:
    plan = mixture_of([([120, 75, 30, 200], [2, 2]), ([10, 90], [1, 1])], (2, 1), None, 3)
    assert [plan.batch(number).tolist() for number in range(plan.num_batches)] == [
        [7, 3, 11], [6, 5, 12], [9, 8, 10], [2, 0, 24], [4, 1, 25],
    ]  # fmt: skip
    assert replace(plan, epoch=1).batch(0).tolist() == [17, 21, 23]
    lanes = mixture_of([([120, 75, 30, 200], [2, 2]), ([10, 90], [1, 1])], (2, 1), 1, 3)
    assert [lanes.batch(number).tolist() for number in range(lanes.num_batches)] == [
        [6, 3, 11], [5, 2, 12], [8, 0, 10], [9, 1, 24], [7, 4, 25],
    ]  # fmt: skip


@pytest.mark.parametrize("change", ["seed", "parts", "fingerprint"])
def test_the_order_changes_with_seed_shares_and_sets(change: str) -> None:
    sets = [([150] * 40, [10] * 4), ([150] * 40, [10] * 4)]
    plan = mixture_of(sets, (1, 1), None, 8)
    other = mixture_of(sets, (1, 2) if change == "parts" else (1, 1), None, 8)
    if change != "parts":
        changed = {"seed": 1} if change == "seed" else {"fingerprint": "another"}
        other = replace(other, sets=tuple(replace(each, **changed) for each in other.sets))
    assert plan.order.tolist() != other.order.tolist()


def test_an_epoch_has_as_many_batches_as_hold_all_sets_once() -> None:
    plan = mixture_of([([150] * 40, [10] * 4), ([50] * 5, [5])], (1, 1), None, 8)
    assert (plan.num_batches, plan.num_slots) == (16, 128)  # of 125
    assert plan.predictions == 128 * 50


# --- with real sets ---


@pytest.mark.filterwarnings("ignore:.*GPU available but not used")
@pytest.mark.parametrize("window", [None, 1])
def test_what_is_read_is_the_same_for_any_ranks_and_parts_from_any_batch_on(
    tmp_path: Path, window: int | None
) -> None:
    for seed, name in enumerate(("ours", "theirs")):
        write_shard_set(tmp_path / name, train=5 - 2 * seed, val=1, seed=seed, recordings_per_shard=2)
    data = AudioDataModule(
        DataConfig(
            path={f"{tmp_path}/ours": 0.7, f"{tmp_path}/theirs": 0.3},
            batch_size=12, crop_samples=500, num_workers=0, window=window,
        ),
        receptive_field=RECEPTIVE_FIELD,
        seed=5,
        inputs=("speaker",),
    )  # fmt: skip
    loader = loader_of(data)
    whole = [Counter(rows(batch)) for _ in range(2) for batch in loader]
    assert len(whole) == 2 * len(loader) and all(-1 not in dict(batch) for batch in whole)
    assert sum(recording < 5 for batch in whole for recording, _ in batch) == pytest.approx(
        0.7 * 12 * len(whole), abs=1
    )
    for first, world_size, parts in ((0, 2, 3), (1, 1, 4), (len(loader) + 2, 3, 2)):
        state = {"epoch": first // len(loader), "batches": first % len(loader)}
        batches, after = read_from(data, state, world_size, parts, 0, 3)
        assert batches == whole[first : first + 3]
        assert after["epoch"] * len(loader) + after["batches"] == first + 3
    validated = [row for batch in data.val_dataloader() for row in batch["recording"].tolist() if row >= 0]
    assert validated == sorted(validated) and set(validated) == {0, 1}


def test_a_set_in_s3_is_read_as_one_in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With lanes, and copies near, of a mixture; each set's copies in a folder of its own."""
    ours = write_shard_set(tmp_path / "ours", train=4, val=1, recordings_per_shard=1)
    theirs = write_shard_set(tmp_path / "bucket/theirs", train=3, val=1, seed=1, recordings_per_shard=1)
    settings = {"batch_size": 4, "crop_samples": 900, "num_workers": 0, "window": 1}

    def batches(path: str, **more: str) -> list[list[tuple[int, bytes]]]:
        config = DataConfig(path={str(ours): 1.0, path: 2.0}, **settings, **more)  # type: ignore[arg-type]
        data = AudioDataModule(config, receptive_field=RECEPTIVE_FIELD, seed=5)
        got = [rows(batch) for batch in data.train_dataloader()]
        data.teardown("fit")
        return got

    local = batches(str(theirs))
    with serving_s3(tmp_path, monkeypatch) as server:
        assert batches("s3://bucket/theirs") == local
        assert any(asked.startswith("GET /bucket/theirs/train/") for asked in server.asked)
        assert batches("s3://bucket/theirs", cache=str(tmp_path / "near")) == local
