"""What is measured before and after, of the right recordings."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from tests.adaptation.voices import NEW, SPEAKERS, make_base, new_config
from tests.shards.made import spoil, write_shard_set
from wavenet_pl.adaptation.base import Base
from wavenet_pl.adaptation.data import AdaptationData, base_split
from wavenet_pl.adaptation.measure import BEGINNING, measure_beginning, measure_forgetting, measure_rows
from wavenet_pl.adaptation.results import mean_forgotten
from wavenet_pl.adaptation.rows import bits_by_row, bits_of, sums_by_row
from wavenet_pl.errors import UserError
from wavenet_pl.evaluation.scoring import Score, score
from wavenet_pl.runs.delta import SPEAKER_TABLE


@pytest.fixture(scope="module")
def base(base_set: Path) -> Base:
    return make_base(base_set)


def data_of(base: Base, new_set: Path, base_set: Path | None = None) -> AdaptationData:
    labels = base.labels_with(NEW)
    replay = None if base_set is None else base_split(str(base_set), "train", 8_000, ("speaker",), labels)
    return AdaptationData(new_config(new_set), labels, replay, 0.5)


def test_bits_under_a_row_are_those_that_evaluate_gives_of_a_recording_of_that_speaker(
    base: Base, base_set: Path
) -> None:
    split = base_split(str(base_set), "val", 8_000, ("speaker",), base.model.labels)
    found = [each for each in score(base.model, split, lambda share: None) if isinstance(each, Score)]
    bits_RN, counts_N = sums_by_row(base.model, split, [None, 1])
    assert counts_N.tolist() == [each.samples for each in found]
    assert bits_RN[0] == pytest.approx([each.bits for each in found], rel=1e-5)
    assert bits_RN[1] == pytest.approx(
        sums_by_row(base.model, split.with_row("speaker", 1), [None])[0][0], rel=1e-6
    )
    assert bits_of(base.model, split.of_row("speaker", 2)).mean == pytest.approx(
        bits_by_row(base.model, split.of_row("speaker", 2), [2])[0].mean
    )


@pytest.mark.slow
def test_the_nearest_row_is_chosen_by_the_new_voice_alone(
    base: Base, new_set: Path, base_set: Path, tmp_path: Path
) -> None:
    data = data_of(base, new_set, base_set)
    assert len(data.voice) == 4 and len(data.splits["train"]) == 13
    found = measure_beginning(base, data, tmp_path / "with", lambda line: None)
    assert found == measure_beginning(base, data_of(base, new_set), tmp_path / "alone", lambda line: None)
    own = bits_by_row(base.model, data.voice, range(3))
    assert found.nearest == min(zip(SPEAKERS, own, strict=True), key=lambda pair: pair[1].mean)[0]
    assert found.rows[found.nearest] == found.before.mean


def test_the_curve_begins_with_all_that_is_held_out(
    base: Base, new_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = data_of(base, new_set)
    all_of_it = measure_beginning(base, data, tmp_path / "all", lambda line: None)
    assert all_of_it.validated == all_of_it.before.mean
    monkeypatch.setattr("wavenet_pl.adaptation.measure.HELD_OUT_SECONDS", 0.1)  # one of two recordings
    some = measure_beginning(base, data, tmp_path / "some", lambda line: None)
    assert some.validated == pytest.approx(all_of_it.validated) != some.before.mean


@pytest.mark.slow
def test_it_is_measured_once_and_again_where_what_is_kept_is_damaged(
    base: Base, new_set: Path, tmp_path: Path
) -> None:
    data = data_of(base, new_set)
    said: list[str] = []
    first = measure_beginning(base, data, tmp_path, said.append)
    assert measure_beginning(base, data, tmp_path, said.append) == first and len(said) == 1
    for damaged in ("{", '{"nearest": 1}', json.dumps({"nearest": "ben", "before": 1, "rows": {}})):
        (tmp_path / BEGINNING).write_text(damaged)
        assert measure_beginning(base, data, tmp_path, said.append) == first
    assert len(said) == 4


@pytest.mark.slow
def test_what_is_forgotten_is_of_each_speakers_own_recordings(
    base: Base, new_set: Path, base_set: Path
) -> None:
    adapted = base.with_row(new_config(new_set), "f" * 64, NEW, 0).eval()
    same = measure_forgetting(base, adapted, str(base_set))
    assert list(same) == list(SPEAKERS)
    assert all(each.after == pytest.approx(each.before, abs=1e-6) for each in same.values())
    with torch.no_grad():
        adapted.get_parameter(SPEAKER_TABLE)[1] += 3
    other = measure_forgetting(base, adapted, str(base_set))
    assert [name for name in SPEAKERS if abs(other[name].after - other[name].before) > 1e-4] == ["ben"]
    with pytest.raises(UserError, match="gone.* cannot be read"):
        measure_forgetting(base, adapted, str(base_set / "gone"))


def test_parts_of_one_recording_have_no_interval(base: Base, tmp_path: Path) -> None:
    write_shard_set(tmp_path, train=1, val=3, speakers=("anna",), frames=900, parts=4)
    split = base_split(str(tmp_path), "val", 8_000, ("speaker",), base.model.labels)
    for bits in (bits_of(base.model, split), *bits_by_row(base.model, split, [1])):
        assert math.isfinite(bits.mean) and bits[1:] == (-math.inf, math.inf)


def test_every_row_is_scored_on_the_held_out_voice(base: Base, new_set: Path) -> None:
    adapted = base.with_row(new_config(new_set), "f" * 64, NEW, 2).eval()
    own, rows = measure_rows(adapted, data_of(base, new_set).splits["val"], NEW)
    assert list(rows) == [*SPEAKERS, NEW]
    assert own.mean == rows[NEW] == pytest.approx(rows["cleo"])


def test_a_speaker_of_whom_nothing_can_be_read_does_not_count(
    base: Base, new_set: Path, tmp_path: Path
) -> None:
    adapted = base.with_row(new_config(new_set), "f" * 64, NEW, 0).eval()
    shards = write_shard_set(
        tmp_path, train=3, val=3, speakers=SPEAKERS, frames=3_000, recordings_per_shard=1
    )
    spoil(shards, "val/shard-000001.tar")
    measured = measure_forgetting(base, adapted, str(shards))
    assert list(measured) == ["anna", "cleo"] and math.isfinite(mean_forgotten(measured))
    spoil(shards, "val/shard-000000.tar")
    spoil(shards, "val/shard-000002.tar")
    with pytest.raises(
        UserError, match="no validation recording of the speakers of the base that can be read"
    ):
        measure_forgetting(base, adapted, str(shards))
