"""Clips as a user asks for them: whole, piece by piece, and many that differ."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.small import small_model
from tests.test_conditioning import MEL, NOTES, UPSAMPLINGS, fields, module_of
from wavenet_pl.errors import BadDataError
from wavenet_pl.generation.choice import Choice
from wavenet_pl.generation.draw import Draw
from wavenet_pl.generation.requests import ClipRequest
from wavenet_pl.model import Model

SINE = np.sin(np.arange(300) / 5).astype(np.float32)


@pytest.fixture
def module(torch_seed: None) -> Model:
    return small_model().eval()


def test_a_stream_hands_out_the_clip_in_pieces_of_twenty_milliseconds(module: Model) -> None:
    pieces = list(module.stream(ClipRequest(seconds=0.05)))
    assert [piece.shape for piece in pieces] == [(1, 160), (1, 160), (1, 80)]
    assert np.array_equal(np.concatenate(pieces, axis=1), module.generate(0.05))


def test_a_stream_computes_no_more_than_was_asked_for(module: Model) -> None:
    hour = module.stream(ClipRequest(seconds=3600))
    assert np.array_equal(next(hour), module.generate(0.02))


def test_clips_that_differ_are_what_each_is_alone() -> None:
    module = module_of("speaker,mel").float()
    frames = [np.random.default_rng(seed).random((8, MEL.num_features), dtype=np.float32) for seed in (0, 1)]
    clips = [
        ClipRequest(seconds=0.03, speaker="anna", features={"mel": frames[0]}),
        ClipRequest(seconds=0.01, speaker="ben", features={"mel": frames[1]}, prompt=SINE),
        ClipRequest(seconds=0.02, speaker="anna", features={"mel": frames[1]}),
    ]
    draw = Draw(seed=4, clips=(0, 1, 2))
    together = module.generate_each(clips, draw)
    assert [len(audio) for audio in together] == [240, 80, 160]
    for number, (clip, audio) in enumerate(zip(clips, together, strict=True)):
        assert np.array_equal(module.generate_each([clip], Draw(seed=4, clips=(number,)))[0], audio)
    by_hand = module.generate(0.03, 1, speaker="anna", features={"mel": frames[0]}, seed=4)
    assert np.array_equal(by_hand[0], together[0])


@pytest.mark.parametrize("upsampling", UPSAMPLINGS)
@pytest.mark.parametrize("inputs", ["notes", "speaker,mel", "tags,notes,mel"])
@torch.no_grad()
def test_columns_are_those_of_the_whole_condition_wherever_they_are_cut(inputs: str, upsampling: str) -> None:
    module, total = module_of(inputs, upsampling), 9_000
    generator = np.random.default_rng(0)
    features = {
        spec.name: generator.random((total // spec.hop_length, spec.num_features), dtype=np.float32)
        for spec in (NOTES, MEL)
        if spec.name in inputs
    }  # fmt: skip
    names = {"speaker": "ben" if "speaker" in inputs else None, "tags": ["calm"] if "tags" in inputs else ()}
    condition = module.condition_of([ClipRequest(seconds=1, features=features, **names)])
    assert condition is not None and not condition.constant
    whole_HT = condition.columns(0, 0, total)
    for begin, end in ((0, 1), (4_000, 4_200), (4_096, 4_097), (4_095, 8_200)):
        assert torch.equal(condition.columns(0, begin, end), whole_HT[:, begin:end])
    # One block, by what a batch of training says of the same frames.
    context = module.config.model.condition.frame_context
    batch = fields(4_000, rows=1)
    batch["speaker"], batch["tags"] = torch.tensor([1]), torch.tensor([[1.0, 0, 0]])
    for name, stored in features.items():
        frames = module.labels.features[name].scaled(stored)
        number = batch[name].shape[1] - 2 * (2 + 1) + 2 * context
        padded = np.concatenate([np.zeros((context, frames.shape[1])), frames])[:number]
        batch[name], batch[f"{name}_phase"] = torch.from_numpy(padded)[None], torch.tensor([0])
    expected = module.condition(batch, 3_000)
    assert expected is not None
    torch.testing.assert_close(whole_HT[:, :3_000], expected[0], rtol=0, atol=1e-6)


def test_a_global_condition_is_one_column() -> None:
    condition = module_of("speaker").condition_of([ClipRequest(seconds=1, speaker="ben")])
    assert condition is not None and condition.constant and condition.columns(0, 500, 700).shape[1] == 1


def test_damaged_weights_are_named(module: Model) -> None:
    with torch.no_grad():
        module.network.layers[0].skip.weight[0, 0] = float("nan")
    with pytest.raises(
        BadDataError, match=r"outputs are not finite near generated sample .* earlier checkpoint"
    ):
        module.generate(0.01)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"engine": "fast"}, "engine is 'fast', expected one of auto, reference, fused-cpu"),
        ({"weights": "int4"}, "weights is 'int4', expected one of float32, bf16, int8"),
        ({"threads": 0}, "threads is 0, expected 1 or more"),
        (
            {"engine": "reference", "weights": "int8"},
            "weights is int8, expected float32: the reference engine",
        ),
    ],
)
def test_a_choice_that_nobody_can_make_is_refused(module: Model, choice: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        module.build_engine(Choice(**choice))
