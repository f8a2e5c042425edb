"""The order of an epoch, against formulas in plain Python."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavenet_pl.data import order as orders
from wavenet_pl.data.order import PADDING, EpochPlan
from wavenet_pl.numbers import counter

LENGTHS = st.lists(st.integers(1, 400), min_size=1, max_size=25)
WORLDS = st.integers(1, 8)
PARTS = st.integers(1, 4)


def plan_of(
    frames: list[int],
    crop_samples: int = 50,
    batch_size: int = 4,
    *,
    seed: int = 0,
    epoch: int = 0,
    fingerprint: str = "f",
    shuffle: bool = True,
) -> EpochPlan:
    return EpochPlan(
        frames=np.array(frames, dtype=np.int64),
        crop_samples=crop_samples,
        batch_size=batch_size,
        seed=seed,
        epoch=epoch,
        fingerprint=fingerprint,
        shuffle=shuffle,
    )


def splitmix64(key: int, number: int) -> int:
    """Output `number` of the generator seeded with `key`, by its definition."""
    mask = 2**64 - 1
    z = (key + (number + 1) * 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return z ^ (z >> 31)


def key_of(what: str, seed: int, epoch: int, fingerprint: str) -> int:
    parts = [f"s{what}", f"i{seed}", f"i{epoch}", f"s{fingerprint}"]
    digest = hashlib.sha256("".join(f"{len(part)}:{part}" for part in parts).encode()).hexdigest()
    return int(digest[:16], 16)


def windows_by_hand(plan: EpochPlan) -> list[tuple[int, int, int]]:
    """(recording, start, stop) of every slot, by walking through the recordings."""
    key = key_of("shift", plan.seed, plan.epoch, plan.fingerprint)
    rows = []
    for recording, frames in enumerate(plan.frames.tolist()):
        slots = (frames + plan.crop_samples - 1) // plan.crop_samples
        room = slots * plan.crop_samples - frames
        uniform = (splitmix64(key, recording) >> 11) / 2**53
        shift = int(uniform * (room + 1)) if plan.shuffle else 0
        edges = [slot * plan.crop_samples - shift for slot in range(slots + 1)]
        clipped = [min(max(edge, 0), frames) for edge in edges]
        rows += [(recording, *pair) for pair in pairwise(clipped)]
    return rows


@given(
    LENGTHS, st.integers(1, 80), st.integers(0, 2**40), st.integers(0, 9), st.text(max_size=9), st.booleans()
)
def test_order_and_windows_are_the_formula(
    frames: list[int], crop: int, seed: int, epoch: int, fingerprint: str, shuffle: bool
) -> None:
    plan = plan_of(frames, crop, seed=seed, epoch=epoch, fingerprint=fingerprint, shuffle=shuffle)
    rows = windows_by_hand(plan)
    key = key_of("order", seed, epoch, fingerprint)
    order = sorted(range(len(rows)), key=lambda slot: splitmix64(key, slot) if shuffle else slot)
    assert plan.order.tolist() == order
    windows = plan.windows(plan.order)
    found = list(zip(windows.recording.tolist(), windows.start.tolist(), windows.stop.tolist(), strict=True))
    assert found == [rows[slot] for slot in order]
    assert windows.predictions == sum(frames)


def test_order_is_the_same_on_every_machine_and_in_every_release() -> None:
    plan = plan_of([120, 75, 30], seed=7, epoch=2, fingerprint="abc")
    assert plan.order.tolist() == [4, 3, 5, 1, 0, 2]
    assert plan.windows(plan.order).start.tolist() == [30, 0, 0, 41, 0, 91]


def test_a_long_order_is_what_it_was_in_the_first_release() -> None:
    """More recordings than are counted at a time."""
    bits = counter.random_bits(counter.stream_key("lengths"), np.arange(300))
    frames = (bits % np.uint64(5_000)).astype(np.int64) + 1
    plan = plan_of(frames.tolist(), 700, seed=11, epoch=3, fingerprint="0a1b")
    rows = np.stack([plan.order, *plan.windows(plan.order)]).astype("<i8")
    assert hashlib.sha256(rows.tobytes()).hexdigest().startswith("c3588bc426bf50623f491561ff662e74")


@given(st.lists(st.integers(1, 400), min_size=1, max_size=200), st.data())
def test_slots_before_a_recording_are_those_of_all_before_it(frames: list[int], data: st.DataObject) -> None:
    recordings = sorted(data.draw(st.lists(st.integers(0, len(frames)), max_size=9)))
    counts = [-(-length // 50) for length in frames]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(orders, "_COUNTED", data.draw(st.integers(1, 250)))
        before = plan_of(frames).slots_before(np.array(recordings, dtype=np.int64))
    assert before.tolist() == [sum(counts[:recording]) for recording in recordings]


@pytest.mark.parametrize("crop", [1, 50, 2**31, 2**40])
def test_slots_are_counted_for_recordings_of_an_hour_and_crops_of_any_length(crop: int) -> None:
    frames = [1, 49, 50, 51, 3_600 * 192_000]
    for kind in (np.uint32, np.int64):
        plan = replace(plan_of(frames, crop), frames=np.array(frames, kind))
        assert plan.counts(slice(None)).tolist() == [-(-length // crop) for length in frames]


@given(LENGTHS, st.integers(1, 80), st.integers(0, 3), st.booleans())
def test_every_sample_is_predicted_exactly_once_per_epoch(
    frames: list[int], crop: int, epoch: int, shuffle: bool
) -> None:
    plan = plan_of(frames, crop, epoch=epoch, shuffle=shuffle)
    assert plan.num_slots == sum(-(-length // crop) for length in frames)
    assert plan.num_batches == -(-plan.num_slots // plan.batch_size)
    seen = [np.zeros(length, dtype=int) for length in frames]
    for number in range(plan.num_batches):
        windows = plan.windows(plan.batch(number))
        for recording, start, stop in zip(windows.recording, windows.start, windows.stop, strict=True):
            if recording == PADDING:
                assert start == stop
                continue
            assert 0 < stop - start <= crop
            seen[recording][start:stop] += 1
    assert all((row == 1).all() for row in seen)


@given(LENGTHS, WORLDS, PARTS, st.integers(1, 3), st.booleans())
def test_ranks_and_parts_share_each_global_batch_without_rest(
    frames: list[int], world_size: int, parts: int, size: int, shuffle: bool
) -> None:
    plan = plan_of(frames, batch_size=world_size * parts * size, shuffle=shuffle)
    slots = []
    for number in range(plan.num_batches):
        shares = [
            plan.share(number, part, rank, parts=parts, world_size=world_size).tolist()
            for part in range(parts)
            for rank in range(world_size)
        ]
        assert all(len(share) == size for share in shares)
        together = [slot for share in shares for slot in share]
        assert together == plan.batch(number).tolist(), "the global batch knows no ranks"
        slots += together
    assert sorted(slot for slot in slots if slot != PADDING) == list(range(plan.num_slots))
    assert slots[: plan.num_slots] == plan.order.tolist()
    assert set(slots[plan.num_slots :]) <= {PADDING}, "padding stands at the end of the epoch only"
    assert len(slots) - plan.num_slots < plan.batch_size


def test_share_of_an_indivisible_batch_is_our_mistake() -> None:
    with pytest.raises(AssertionError):
        plan_of([500], batch_size=4).share(0, 0, 0, parts=1, world_size=3)
    with pytest.raises(AssertionError):
        plan_of([500], batch_size=4).batch(3)


@pytest.mark.parametrize("change", [{"seed": 1}, {"epoch": 1}, {"fingerprint": "g"}])
def test_order_and_edges_change_with_seed_epoch_and_fingerprint(change: dict[str, object]) -> None:
    plan = plan_of([130] * 40)
    other = replace(plan, **change)  # type: ignore[arg-type]
    slots = np.arange(plan.num_slots)
    assert plan.order.tolist() != other.order.tolist()
    assert plan.windows(slots).start.tolist() != other.windows(slots).start.tolist()
    assert replace(plan).order.tolist() == plan.order.tolist()


def test_order_does_not_depend_on_the_batch_size() -> None:
    assert plan_of([130] * 9).order.tolist() == plan_of([130] * 9, batch_size=6).order.tolist()


def test_validation_is_a_plain_walk_in_every_epoch() -> None:
    plan = plan_of([120, 50, 7], shuffle=False, epoch=3)
    windows = plan.windows(plan.order)
    assert windows.recording.tolist() == [0, 0, 0, 1, 2]
    assert windows.start.tolist() == [0, 50, 100, 0, 0]
    assert windows.stop.tolist() == [50, 100, 120, 50, 7]


def test_a_long_recording_counts_by_its_length() -> None:
    plan = plan_of([5_000, 50, 50])
    counts = np.bincount(plan.windows(plan.order).recording)
    assert counts.tolist() == [100, 1, 1]


def test_padding_predicts_nothing() -> None:
    windows = plan_of([60]).windows(np.array([PADDING, 0, PADDING]))
    assert windows.recording.tolist() == [PADDING, 0, PADDING]
    assert (windows.start[[0, 2]] == windows.stop[[0, 2]]).all()
    assert windows.predictions == windows.stop[1] - windows.start[1]


def test_a_split_of_nothing_has_no_batches() -> None:
    assert plan_of([]).num_slots == plan_of([]).num_batches == 0


def test_shuffling_has_no_favourite_places() -> None:
    """Over many epochs each slot comes early as often as late."""
    places = np.stack([np.argsort(plan_of([50] * 10, epoch=epoch).order) for epoch in range(400)])
    assert np.abs(places.mean(axis=0) - 4.5).max() < 0.7  # 5 standard deviations of a uniform place
