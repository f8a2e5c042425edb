"""What simple models reach, against sums over single samples."""

from __future__ import annotations

from math import log2
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.shards.made import spoil, write_shard_set
from tests.small import small_config, small_model
from wavenet_pl.errors import UserError
from wavenet_pl.evaluation.baselines import (
    Baselines,
    _codes_of,
    load_baselines,
    measure_baselines,
    save_baselines,
)
from wavenet_pl.evaluation.evaluation import evaluate
from wavenet_pl.evaluation.linear_prediction import LinearPredictor, Setting
from wavenet_pl.model import Model
from wavenet_pl.shards.index import load_index, shard_storage
from wavenet_pl.shards.split import Split

RECORDINGS = st.lists(st.lists(st.integers(0, 7), min_size=1, max_size=30), min_size=1, max_size=5)


def measured(train: list[list[int]], val: list[list[int]], channels: int = 8, silence: int = 4):  # type: ignore[no-untyped-def]
    def arrays(rows: list[list[int]]) -> list[np.ndarray]:
        return [np.array(row, dtype=np.int64) for row in rows]

    return measure_baselines(arrays(train), arrays(val), quantization_channels=channels, silence_code=silence)


@given(RECORDINGS, RECORDINGS)
def test_bits_are_those_of_counting_one_by_one(train: list[list[int]], val: list[list[int]]) -> None:
    samples = [code for row in train for code in row]
    pairs = [pair for row in train for pair in zip([4, *row], row, strict=False)]
    unigram = order1 = scored = 0.0
    for row in val:
        for before, code in zip([4, *row], row, strict=False):
            unigram -= log2((samples.count(code) + 1) / (len(samples) + 8))
            followers = sum(first == before for first, _ in pairs)
            order1 -= log2((pairs.count((before, code)) + 1) / (followers + 8))
            scored += 1
    found = measured(train, val)
    assert found.uniform == 3
    assert found.unigram == pytest.approx(unigram / scored)
    assert found.order1 == pytest.approx(order1 / scored)
    assert (found.train_samples, found.val_samples) == (len(samples), scored)


def test_a_constant_is_learned_and_noise_is_not() -> None:
    constant = [[4] * 5_000]
    assert measured(constant, constant).unigram < 0.01
    noise = [np.random.Generator(np.random.Philox(n)).integers(0, 8, 40_000).tolist() for n in range(2)]
    found = measured(noise[:1], noise[1:])
    assert found.unigram == pytest.approx(3, abs=0.01)
    assert found.order1 == pytest.approx(3, abs=0.01)


def test_a_walk_is_known_by_its_last_step_only() -> None:
    walk = [[n % 8 for n in range(8_000)]]
    found = measured(walk, walk)
    assert found.unigram == pytest.approx(3, abs=0.01)
    assert found.order1 < 0.05


def test_no_validation_scores_nothing() -> None:
    found = measured([[1, 2]], [])
    assert (found.unigram, found.order1, found.val_samples) == (0, 0, 0)


def test_a_model_is_compared_on_the_recordings_that_it_was_scored_on(tmp_path, monkeypatch):
    monkeypatch.setattr("wavenet_pl.evaluation.baselines._MOST_PREDICTED", 5_000)
    monkeypatch.setattr("wavenet_pl.evaluation.baselines.MAX_SAMPLES", 9_000)
    shards = write_shard_set(tmp_path, train=2, val=4, recordings_per_shard=1)
    model = Model(small_config(shards, "data.max_bad_fraction=0.5"), sample_rate=8_000).eval()
    spoil(shards, "val/shard-000002.tar")
    results = evaluate(model, count=0, predictions=0, threads=1)
    assert results.baselines is not None and len(results.scores) == 3
    assert results.baselines.val_samples == results.overall.samples
    index = load_index(shards)
    split = Split(index.splits["val"], shard_storage(index, shards), 8_000)
    setting = Setting(
        results.baselines.linear_order, results.baselines.linear_memory, results.baselines.linear_width_memory
    )
    predictor = LinearPredictor(model.codec, setting)
    nats = [predictor.nats(model.encode(split.read(position)).numpy()) for position in (0, 1, 3)]
    assert results.baselines.linear == pytest.approx(np.concatenate(nats).mean() / np.log(2))


def test_baselines_are_read_back_as_they_were(tmp_path):
    for more in ((), (0.05, 24, 128, 8)):  # runs of earlier versions have no linear prediction
        baselines = Baselines(8.0, 1 / 3, 0.1, 1000, 100, *more)
        save_baselines(baselines, tmp_path / "baselines.json")
        assert load_baselines(tmp_path / "baselines.json") == baselines
        assert baselines.strongest == (("linear prediction", 0.05) if more else ("order-1", 0.1))
        assert len(baselines.explained) == len(baselines.rows) == 3 + bool(more)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"uniform": 1}', "[" * 4000, " " * 5000,
             '{"uniform": NaN, "unigram": 1, "order1": 1, "train_samples": 1, "val_samples": 1}',
             '{"uniform": 8, "unigram": 1, "order1": null, "train_samples": 1, "val_samples": 1}',
             '{"uniform": "x", "unigram": 1, "order1": 1, "train_samples": 1, "val_samples": 1}'],
)  # fmt: skip
def test_damaged_baselines_are_one_message(tmp_path, text):
    (tmp_path / "baselines.json").write_text(text)
    with pytest.raises(UserError, match="baselines.json cannot be used .*remove it") as error:
        load_baselines(tmp_path / "baselines.json")
    assert "\n" not in str(error.value)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(1, 120))
def test_no_more_samples_are_taken_than_are_asked_for(lengths: list[int], most: int) -> None:
    """Whole recordings while they fit; a first one that is longer is cut, as there would be nothing."""

    audio = [np.random.default_rng(n).uniform(-1, 1, n).astype(np.float32) for n in lengths]

    class Recordings(list[SimpleNamespace]):
        def try_read(self, position: int) -> np.ndarray:
            return audio[position]

    codec = small_model().codec
    taken = list(_codes_of(Recordings(SimpleNamespace(frames=n) for n in lengths), codec, most))  # type: ignore[arg-type]
    fitting = max(1, int((np.cumsum(lengths) <= most).sum()))
    assert sum(map(len, taken)) <= most and len(taken) == fitting
    for codes, whole in zip(taken, audio, strict=False):
        assert np.array_equal(codes, codec.encode(torch.from_numpy(whole))[:most])
