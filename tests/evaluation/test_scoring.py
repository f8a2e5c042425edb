"""Bits of recordings, against one forward over each; better models have fewer bits on any half of the data."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.evaluation.runs import trained
from tests.shards.made import write_shard_set
from tests.small import SIXTEEN_BITS, small_model
from wavenet_pl.evaluation.context import measure_context
from wavenet_pl.evaluation.sample import draw_recordings
from wavenet_pl.evaluation.scoring import Score, gaps, grouped, score
from wavenet_pl.model import Model
from wavenet_pl.shards.damage import Damage
from wavenet_pl.shards.index import load_index, shard_storage
from wavenet_pl.shards.split import Split


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shard_set(tmp_path_factory.mktemp("scoring"), train=8, val=12)


def drawn(shards: Path, max_samples: int = 10**9, seed: int = 0) -> Split:
    index = load_index(shards)
    split = Split(index.splits["val"], shard_storage(index, shards), index.sample_rate)
    return draw_recordings(split, seed=seed, max_samples=max_samples)


def scores_of(module: Model, split: Split) -> list[Score]:
    found = list(score(module, split, lambda share: None))
    assert all(isinstance(each, Score) for each in found)
    return found


@pytest.mark.parametrize("settings", [(), SIXTEEN_BITS], ids=["softmax", "16 bits"])
def test_bits_are_those_of_one_forward_over_each_recording(shards, settings):
    torch.manual_seed(0)
    module, split = small_model(*settings).eval(), drawn(shards)
    scores = scores_of(module, split)
    assert [each.position for each in scores] == list(range(12))
    for each in scores[:3]:
        audio = np.concatenate([[0], split.read(each.position)]).astype(np.float32)
        codes = module.codec.encode(torch.from_numpy(audio))[None]
        with torch.inference_mode():
            outputs, _ = module(codes[:, :-1])
            bits = module.head.nats(outputs, codes[:, 1:]).double().sum().item() / math.log(2)
            comparable = module.comparable_nats(outputs, codes[:, 1:]).double().sum().item() / math.log(2)
        assert each.samples == len(audio) - 1
        assert each.bits == pytest.approx(bits, rel=1e-5)
        assert each.comparable_bits == pytest.approx(comparable, rel=1e-5)
        assert (each.bits == each.comparable_bits) == (not settings)


def test_a_group_counts_samples_and_not_recordings():
    group = grouped("both", [Score(0, "a", 10, 10.0, 20.0, {}), Score(1, "b", 1_000, 3_000.0, 4_000.0, {})])
    assert (group.recordings, group.samples) == (2, 1_010)
    assert group.bits.mean == pytest.approx(3_010 / 1_010)
    assert group.comparable_bits.mean == pytest.approx(4_020 / 1_010)


def test_parts_of_one_recording_are_one_in_every_interval(tmp_path):
    index = load_index(write_shard_set(tmp_path, train=1, val=8, frames=(1_500, 900), parts=4))
    split = Split(index.splits["val"], shard_storage(index, tmp_path), index.sample_rate, index.labels)
    torch.manual_seed(0)
    model = small_model("model.kind=speaker", labels=index.labels).eval()
    scores = list(score(model, split, lambda share: None))
    assert len({each.source for each in scores}) == 3, "of 0, of 1 to 4, of 5 to 8"
    alone = [each for each in scores if each.source == scores[0].source]
    assert len(alone) == 3
    group, [gap] = grouped("", alone), gaps(alone).values()
    points = measure_context(
        model, split.at(np.arange(3)), predictions=30, seed=0, progress=lambda share: None
    )
    for interval in (group.bits, group.comparable_bits, gap, points[0].bits, points[0].lost):
        assert math.isfinite(interval.mean) and interval[1:] == (-math.inf, math.inf)
    assert all(math.isfinite(each.low) for each in (grouped("", scores).bits, *gaps(scores).values()))


def test_a_cap_takes_the_beginning_of_the_same_order(shards):
    def keys(*arguments: int) -> list[str]:
        split = drawn(shards, *arguments)
        return [split[position].key for position in range(len(split))]

    whole = keys()
    assert len(set(whole)) == 12
    assert whole != sorted(whole), "it says nothing of the order in the index"
    some = keys(20_000)
    assert 1 < len(some) < 12
    assert some == whole[: len(some)]
    assert len(keys(1)) == 1, "one at least"
    assert keys(10**9, 1) != whole


def test_a_recording_comes_before_another_whatever_else_is_there(shards):
    index, whole = load_index(shards), drawn(shards)
    for shard in index.splits["val"]:
        half = Split([shard], shard_storage(index, shards), index.sample_rate)
        keys = [row.key for row in draw_recordings(half, seed=0, max_samples=10**9)]
        assert keys == [row.key for row in whole if row.key in keys]


def test_what_cannot_be_read_is_named_once_and_the_rest_is_scored(tmp_path):
    shards = write_shard_set(tmp_path, train=1, val=3, recordings_per_shard=1)
    path = shards / "val/shard-000001.tar"
    content = bytearray(path.read_bytes())
    content[2_000:2_400] = bytes(400)
    path.write_bytes(content)
    found = list(score(small_model(), drawn(shards), lambda share: None))
    damage = [each for each in found if isinstance(each, Damage)]
    assert [each.shard for each in damage] == ["val/shard-000001.tar"]
    assert len(found) == 3


@pytest.mark.slow
def test_models_are_ordered_alike_on_disjoint_halves(shards):
    """Three models of different width, context and training; each half has six recordings that the other has not."""
    whole = drawn(shards)
    halves = [whole.at(np.arange(start, len(whole), 2)) for start in (0, 1)]
    models = [
        trained(shards, "model.network.layers_per_stack=1", "model.network.residual_channels=2", steps=20),
        trained(shards, "model.network.layers_per_stack=2", steps=60),
        trained(shards, steps=150),
    ]
    bits = [[grouped("", scores_of(model, half)).bits for model in models] for half in halves]
    for first, second, third in bits:
        assert first.mean > second.mean > third.mean


def test_shards_of_one_recording_are_read_as_they_were(shards):
    rows = drawn(shards, seed=3)
    assert all(each.recordings == 1 for each in drawn(shards, max_samples=1).shards)
    for each in rows.shards:
        [shard] = [shard for shard in load_index(shards).splits["val"] if shard.name == each.name]
        assert (each.bytes, each.sha256) == (shard.bytes, shard.sha256)
    in_order = {row.key: row for shard in load_index(shards).splits["val"] for row in shard.recordings}
    assert [row.key for row in rows] != list(in_order) and all(row == in_order[row.key] for row in rows)
