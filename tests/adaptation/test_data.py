"""Which crops an adaptation reads, and under which rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.adaptation.voices import NEW, SPEAKERS, make_base, new_config
from tests.shards.made import write_shard_set
from wavenet_pl.adaptation.data import AdaptationData, base_split
from wavenet_pl.data.lanes import LanePlan
from wavenet_pl.data.order import ReplayPlan
from wavenet_pl.errors import UserError
from wavenet_pl.shards.labels import Labels

INPUTS = ("speaker",)


def data_of(base_set: Path, new_set: Path, share: float | None = None) -> AdaptationData:
    labels = make_base(base_set).labels_with(NEW)
    replay = None if share is None else base_split(str(base_set), "train", 8_000, INPUTS, labels)
    return AdaptationData(new_config(new_set), labels, replay, share or 0.0)


def test_the_new_voice_is_read_under_its_new_row(base_set: Path, new_set: Path) -> None:
    data = data_of(base_set, new_set)
    for name in ("train", "val"):
        split = data.splits[name]
        assert {split[position].rows["speaker"] for position in range(len(split))} == {(len(SPEAKERS),)}
        assert split.labels.tables["speaker"] == (*SPEAKERS, NEW)


def test_replayed_recordings_keep_their_voices_and_their_audio(base_set: Path, new_set: Path) -> None:
    data, alone = data_of(base_set, new_set, 0.5), data_of(base_set, new_set)
    split = data.splits["train"]
    assert [split[position].rows for position in range(4, len(split))] == [
        {"speaker": (n % 3,)} for n in range(9)
    ]
    base = base_split(str(base_set), "train", 8_000, INPUTS, data.labels)
    assert np.array_equal(split.read(6), base.read(2))
    assert np.array_equal(split.read(1), alone.splits["train"].read(1))
    assert len(data.splits["val"]) == 2, "nothing is replayed into what is held out"


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_an_epoch_goes_through_the_new_voice_once_and_draws_its_share_of_the_others(
    base_set: Path, new_set: Path, share: float
) -> None:
    data = data_of(base_set, new_set, share)
    drawn = []
    for epoch in range(3):
        plan = data.plan("train", epoch)
        assert isinstance(plan, ReplayPlan)
        windows = plan.windows(plan.order)
        assert len(set(plan.order.tolist())) == plan.num_slots, "no slot twice"
        own = windows.recording < 4
        assert (windows.stop - windows.start)[own].sum() == 4 * 2_500, "every sample of the new voice once"
        others = int((~own).sum())
        assert others == min(round(own.sum() * share / (1 - share)), 9 * 3)
        drawn.append(set(plan.order[~own].tolist()))
        assert not np.array_equal(own, np.sort(own)[::-1]), "mixed, and not one after the other"
    if share < 0.5:
        assert drawn[0] != drawn[1] != drawn[2], "other ones in each epoch"
    again = data_of(base_set, new_set, share).plan("train", 1)
    assert np.array_equal(again.order, data.plan("train", 1).order)


def test_without_replay_the_plan_is_that_of_any_training(base_set: Path, new_set: Path) -> None:
    assert not isinstance(data_of(base_set, new_set).plan("train", 0), ReplayPlan)
    assert not isinstance(data_of(base_set, new_set, 0.5).plan("val", 0), ReplayPlan)


def test_replayed_crops_go_in_no_lanes(base_set: Path, new_set: Path) -> None:
    labels = make_base(base_set).labels_with(NEW)
    config = new_config(new_set)
    config = replace(config, data=replace(config.data, window=2))
    assert isinstance(AdaptationData(config, labels).plan("train", 0), LanePlan)
    replayed = base_split(str(base_set), "train", 8_000, INPUTS, labels)
    with pytest.raises(UserError, match="data.window is 2, expected null with --replay"):
        AdaptationData(config, labels, replayed, 0.5)


def test_replay_of_voices_that_the_base_does_not_know_is_refused(tmp_path: Path, base_set: Path) -> None:
    other = write_shard_set(tmp_path / "other", speakers=("anna", "zoe"))
    labels = make_base(base_set).labels_with(NEW)
    with pytest.raises(
        UserError,
        match=r"the base has the speaker names \(4, row 1 is 'ben'\), .*other has \(2, row 1 is 'zoe'\)",
    ):
        base_split(str(other), "train", 8_000, INPUTS, labels)


def test_replay_of_another_rate_or_without_a_split_is_refused(tmp_path: Path, base_set: Path) -> None:
    labels = make_base(base_set).labels_with(NEW)
    with pytest.raises(UserError, match="has sample rate 8000, expected 16000, as the base was trained on"):
        base_split(str(base_set), "train", 16_000, INPUTS, labels)
    with pytest.raises(UserError, match="has no recording in split 'test', expected some"):
        base_split(str(base_set), "test", 8_000, INPUTS, labels)


def test_the_base_may_have_been_trained_on_several_sets(base_set: Path, tmp_path: Path) -> None:
    other = write_shard_set(tmp_path / "other", train=3, val=1, speakers=("zoe", "anna"), seed=9)
    labels = Labels({"speaker": ("anna", "ben", "cleo", "zoe")})
    split = base_split({str(base_set): 0.5, str(other): 0.5}, "train", 8_000, INPUTS, labels)
    mine = base_split(str(base_set), "train", 8_000, INPUTS, labels)
    assert [labels.tables["speaker"][row] for row in split.table_rows("speaker")[0][len(mine) :]] == [
        "zoe",
        "anna",
        "zoe",
    ]
    assert split.table_rows("speaker")[0][: len(mine)].tolist() == mine.table_rows("speaker")[0].tolist()
