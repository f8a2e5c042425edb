"""How far back a model listens, against made models whose answer is known."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.evaluation.runs import trained
from tests.shards.made import write_shard_set
from tests.small import small_model
from wavenet_pl.evaluation.context import (
    ContextPoint,
    bits_with_context,
    effective_receptive_field,
    list_contexts,
    measure_context,
)
from wavenet_pl.evaluation.sample import draw_predictions
from wavenet_pl.numbers.intervals import Interval
from wavenet_pl.shards.index import load_index, shard_storage
from wavenet_pl.shards.split import Split


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shard_set(tmp_path_factory.mktemp("context"), train=8, val=4)


@pytest.fixture(scope="module")
def split(shards: Path) -> Split:
    index = load_index(shards)
    return Split(index.splits["val"], shard_storage(index, shards), index.sample_rate)


def quiet(share: float) -> None:
    """Progress that nobody hears of."""


def test_contexts_double_and_go_beyond_the_receptive_field():
    assert list_contexts(33) == [1, 2, 4, 8, 16, 32, 33, 64]
    assert list_contexts(64) == [1, 2, 4, 8, 16, 32, 64, 128]


def test_bits_are_those_of_a_window_by_itself_and_of_the_whole_past_in_the_end(split):
    torch.manual_seed(0)
    module = small_model().eval()
    torch.nn.init.normal_(module.network.output.weight)  # so that the past makes a difference
    chosen = draw_predictions(split.frames, 20, earliest=64, seed=0)
    ends = np.cumsum(split.frames)
    for context in (1, 8, 33, 64):
        found = bits_with_context(module, split, chosen, context, quiet)
        for slot, bits in list(zip(chosen, found, strict=True))[::7]:
            position = int(np.searchsorted(ends, slot, side="right"))
            sample = int(slot - (ends - split.frames)[position])
            codes = module.codec.encode(torch.from_numpy(split.read(position)))[None, : sample + 1]
            begin = max(0, sample - context) if context < 33 else 0
            with torch.inference_mode():
                outputs, _ = module(codes[:, begin:sample])
                nats = module.head.nats(outputs[:, :, -1:], codes[:, -1:]).item()
            assert bits == pytest.approx(nats / math.log(2), abs=1e-4)


def test_beyond_the_receptive_field_nothing_is_gained(split):
    points = measure_context(small_model().eval(), split, predictions=64, seed=0, progress=quiet)
    by_context = {point.context: point for point in points}
    assert by_context[64].lost.mean == pytest.approx(0, abs=1e-6)
    assert by_context[33].lost == (0, 0, 0)


@pytest.mark.slow
def test_a_trained_model_loses_by_less_context_and_one_that_hears_two_samples_needs_two(shards, split):
    module = trained(shards, steps=80)
    points = measure_context(module, split, predictions=300, seed=0, progress=quiet)
    assert points[0].lost.mean > 0.3
    assert 2 <= effective_receptive_field(points) <= 33
    with torch.no_grad():
        for layer in module.network.layers:  # deaf to all but the present
            layer.dilated.weight[:, :, :-1] = 0
    deaf = measure_context(module, split, predictions=300, seed=0, progress=quiet)
    assert effective_receptive_field(deaf) <= 2, "the first convolution sees two codes"


def test_the_same_seed_draws_the_same_and_predictions_have_all_their_context():
    frames = np.array([50, 100, 64, 400])
    drawn = draw_predictions(frames, 1_000, earliest=64, seed=0)
    assert np.array_equal(drawn, draw_predictions(frames, 1_000, earliest=64, seed=0))
    assert not np.array_equal(drawn, draw_predictions(frames, 1_000, earliest=64, seed=1))
    recording = np.searchsorted(np.cumsum(frames), drawn, side="right")
    sample = drawn - (np.cumsum(frames) - frames)[recording]
    assert set(recording) == {1, 3}, "the others are no longer than the context"
    assert sample.min() == 64
    assert (sample < frames[recording]).all()
    assert np.mean(recording == 1) == pytest.approx(36 / 372, abs=0.03), "even over all that can be drawn"


def test_short_recordings_have_no_curve(split):
    assert len(draw_predictions(split.frames, 10, earliest=100_000, seed=0)) == 0
    module = small_model("model.network.layers_per_stack=12", "data.crop_samples=9000")
    short = Split([], split.stored[0].storage, split.sample_rate)
    assert measure_context(module, short, predictions=10, seed=0, progress=quiet) == []


def test_effective_is_the_first_context_from_which_on_all_are_enough():
    def point(context: int, lost: float) -> ContextPoint:
        return ContextPoint(context, Interval(3.0, 2.9, 3.1), Interval(lost, lost, lost))

    assert effective_receptive_field([point(1, 0.5), point(2, 0.02), point(4, 0.009), point(8, 0)]) == 4
    assert effective_receptive_field([point(1, 0.5), point(2, 0.0), point(4, 0.02), point(8, 0)]) == 8
    assert effective_receptive_field([point(1, 0.001), point(2, 0.0)]) == 1
