"""The model: what it predicts and scores, and clips as a user asks for them: whole, in pieces, and many that differ."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.small import SIXTEEN_BITS, small_model
from tests.test_conditioning import FRAMES, MEL, UPSAMPLINGS, fields, model_of
from wavenet_pl.codec import MuLawCodec
from wavenet_pl.errors import BadDataError
from wavenet_pl.generation.choice import Choice
from wavenet_pl.generation.draw import Draw
from wavenet_pl.generation.requests import ClipRequest
from wavenet_pl.model import Model

SINE = np.sin(np.arange(300) / 5).astype(np.float32)


@pytest.fixture
def model(torch_seed: int) -> Model:
    return small_model().eval()


def batch_of(audio: Tensor, first: list[int], last: list[int]) -> dict[str, Any]:
    """Recordings of which the predictions from the first on count, up to the last, which does not."""
    output_T = torch.arange(audio.shape[1] - 1)
    counted = (torch.tensor(first)[:, None] <= output_T) & (output_T < torch.tensor(last)[:, None])
    return {"audio": audio, "begin": torch.zeros(len(audio)).long(), "counted": counted, "predictions": 1}


# --- what it predicts ---


def test_only_counted_predictions_enter_the_loss(torch_seed: int) -> None:
    model = small_model()
    audio = torch.rand(3, 200) - 0.5
    nats, count = model.nats(batch_of(audio, [32, 0, 0], [199, 50, 0]))
    codes = model.codec.encode(audio)
    outputs, _ = model.network(codes[:, :-1])
    each = torch.nn.functional.cross_entropy(outputs, codes[:, 1:], reduction="none")
    assert count == 167 + 50
    assert nats.item() == pytest.approx((each[0, 32:199].sum() + each[1, :50].sum()).item(), rel=1e-6)


def test_an_untrained_model_is_near_uniform(torch_seed: int) -> None:
    model = small_model()
    nats, count = model.nats(batch_of(torch.rand(2, 500) - 0.5, [32, 32], [499, 499]))
    assert nats.item() / count.item() == pytest.approx(math.log(256), abs=0.2)


@pytest.mark.parametrize("settings", [(), SIXTEEN_BITS], ids=["softmax", "16 bits"])
def test_every_parameter_gets_a_gradient(torch_seed: int, settings: tuple[str, ...]) -> None:
    model = small_model(*settings)
    nats, _ = model.nats(batch_of(torch.rand(1, 200) - 0.5, [32], [199]))
    nats.backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in model.parameters())


@torch.no_grad()
def test_comparable_nats_are_brute_force_sums_over_mu_law_codes(torch_seed: int) -> None:
    model = small_model(*SIXTEEN_BITS)
    assert model.comparable_key == "val/bits_mulaw256"
    audio = torch.arange(-32_768, 32_768, 700)[None] / 32_768
    outputs_BKT, codes_BT, _ = model.predict(batch_of(audio, [0], [audio.shape[1] - 1]))
    levels = torch.arange(65_536)
    merged = MuLawCodec(256).encode((levels - 32_768) / 32_768)
    for time in range(0, codes_BT.shape[1], 9):
        nats = model.head.nats(outputs_BKT[..., time : time + 1].expand(-1, -1, 65_536), levels[None])
        same = merged == merged[codes_BT[0, time]]
        expected = -nats[0, same].double().neg().exp().sum().log()
        found = model.comparable_nats(outputs_BKT, codes_BT)[0, time]
        assert found.item() == pytest.approx(expected.item(), abs=1e-4)


@torch.no_grad()
def test_bits_of_mu_law_models_are_comparable_as_they_are(torch_seed: int) -> None:
    model = small_model()
    outputs_BKT, codes_BT, _ = model.predict(batch_of(torch.rand(1, 200) - 0.5, [0], [199]))
    assert model.comparable_key == "val/bits"
    assert torch.equal(model.comparable_nats(outputs_BKT, codes_BT), model.head.nats(outputs_BKT, codes_BT))


# --- clips ---


def test_clip_n_of_a_seed_is_the_same_for_any_count(torch_seed: int) -> None:
    model = small_model().eval()
    both, one = model.generate(0.01, 2, seed=3), model.generate(0.01, 1, seed=3)
    assert both.shape == (2, 80) and both.dtype == np.float32 and np.abs(both).max() <= 1
    assert np.array_equal(both[:1], one)
    assert not np.array_equal(both[0], both[1])
    assert not np.array_equal(one, model.generate(0.01, 1, seed=4))


def test_a_prompt_changes_what_follows_and_is_not_handed_out(torch_seed: int) -> None:
    model = small_model().eval()
    prompt = np.sin(np.arange(300) / 5).astype(np.float32)
    clip = model.generate(0.01, 1, prompt=prompt, temperature=0)
    assert clip.shape == (1, 80)
    assert not np.array_equal(clip, model.generate(0.01, 1, prompt=-prompt, temperature=0))


def test_16_bit_clips_are_16_bit_audio(torch_seed: int) -> None:
    clip = small_model(*SIXTEEN_BITS).eval().generate(0.01)
    assert np.array_equal(clip * 32768, np.round(clip * 32768))
    assert len(np.unique(clip)) > 40


def test_a_stream_hands_out_the_clip_in_pieces_of_twenty_milliseconds(model: Model) -> None:
    pieces = list(model.stream(ClipRequest(seconds=0.05)))
    assert [piece.shape for piece in pieces] == [(1, 160), (1, 160), (1, 80)]
    assert np.array_equal(np.concatenate(pieces, axis=1), model.generate(0.05))


def test_a_stream_computes_no_more_than_was_asked_for(model: Model) -> None:
    hour = model.stream(ClipRequest(seconds=3600))
    assert np.array_equal(next(hour), model.generate(0.02))


def test_clips_that_differ_are_what_each_is_alone() -> None:
    model = model_of("speaker,mel").float()
    frames = [np.random.default_rng(seed).random((8, MEL.num_features), dtype=np.float32) for seed in (0, 1)]
    clips = [
        ClipRequest(seconds=0.03, speaker="anna", mel=frames[0]),
        ClipRequest(seconds=0.01, speaker="ben", mel=frames[1], prompt=SINE),
        ClipRequest(seconds=0.02, speaker="anna", mel=frames[1]),
    ]
    draw = Draw(seed=4, clips=(0, 1, 2))
    together = model.generate_each(clips, draw)
    assert [len(audio) for audio in together] == [240, 80, 160]
    for number, (clip, audio) in enumerate(zip(clips, together, strict=True)):
        assert np.array_equal(model.generate_each([clip], Draw(seed=4, clips=(number,)))[0], audio)
    by_hand = model.generate(0.03, 1, speaker="anna", mel=frames[0], seed=4)
    assert np.array_equal(by_hand[0], together[0])


@pytest.mark.parametrize("upsampling", UPSAMPLINGS)
@pytest.mark.parametrize(
    "inputs", ["notes", "speaker,mel", "tags,notes,mel", "speaker,notes", "tags,mel", "speaker,accent,f0"]
)
@torch.no_grad()
def test_columns_are_those_of_the_whole_condition_wherever_they_are_cut(inputs: str, upsampling: str) -> None:
    model, total = model_of(inputs, upsampling), 9_000
    generator = np.random.default_rng(0)
    stored = {
        each.name: generator.random((total // each.hop_length, each.num_features), dtype=np.float32)
        for each in FRAMES
        if each.name in inputs
    }
    named = {"speaker": "ben", "tags": ["calm"], "accent": "scots"}
    told = {name: value for name, value in named.items() if name in inputs}
    condition = model.condition_of(model.resolve([ClipRequest(seconds=1, **told, **stored)]))
    assert condition is not None and not condition.constant
    whole_HT = condition.columns(0, 0, total)
    for begin, end in ((0, 1), (4_000, 4_200), (4_096, 4_097), (4_095, 8_200)):
        assert torch.equal(condition.columns(0, begin, end), whole_HT[:, begin:end])
    # One block, by what a batch of training says of the same frames.
    context = model.config.model.condition.frame_context
    batch = fields(4_000, rows=1)
    batch |= {"speaker": torch.tensor([1]), "tags": torch.tensor([[1.0, 0, 0]]), "accent": torch.tensor([1])}
    for each in (each for each in FRAMES if each.name in inputs):
        frames = each.scaled(stored[each.name])
        number = batch[each.name].shape[1] - 2 * (2 + 1) + 2 * context
        padded = np.concatenate([np.zeros((context, frames.shape[1])), frames])[:number]
        batch[each.name], batch[f"{each.name}_phase"] = torch.from_numpy(padded)[None], torch.tensor([0])
    expected = model.condition(batch, 3_000)
    assert expected is not None
    torch.testing.assert_close(whole_HT[:, :3_000], expected[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("inputs", "told"),
    [("speaker", {"speaker": "ben"}), ("speaker,tags", {"speaker": "ben"}), ("accent", {"accent": "irish"})],
)
def test_a_global_condition_is_one_column(inputs: str, told: dict[str, Any]) -> None:
    model = model_of(inputs)
    condition = model.condition_of(model.resolve([ClipRequest(seconds=1, **told)]))
    assert condition is not None and condition.constant and condition.columns(0, 500, 700).shape[1] == 1


def test_damaged_weights_are_named(model: Model) -> None:
    with torch.no_grad():
        model.network.layers[0].skip.weight[0, 0] = float("nan")
    with pytest.raises(
        BadDataError, match=r"outputs are not finite near generated sample .* earlier checkpoint"
    ):
        model.generate(0.01)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"engine": "fast"}, "engine is 'fast', expected one of auto, reference, fused-cpu"),
        ({"weights": "int4"}, "weights is 'int4', expected one of float32, bf16, int8"),
        ({"threads": 0}, "threads is 0, expected 1 or more"),
        (
            {"engine": "fused-gpu", "threads": 2},
            "threads is 2, expected none: engine fused-gpu computes on the device",
        ),
        ({"threads": 100_000}, "threads is 100000, expected 1 or more, up to 1,024"),
        ({"threads": 1.5}, "threads is 1.5, expected 1 or more"),
        (
            {"engine": "reference", "weights": "int8"},
            "weights is int8, expected float32: the reference engine",
        ),
    ],
)
def test_a_choice_that_nobody_can_make_is_refused(model: Model, choice: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model.build_engine(Choice(**choice))


@pytest.mark.parametrize(
    ("inputs", "arguments", "message"),
    [
        ("speaker", {"seconds": -1}, "seconds is -1, expected a number above 0"),
        ("speaker", {"seconds": 0}, "seconds is 0, expected a number above 0"),
        ("speaker", {"seconds": float("nan")}, "seconds is nan, expected a number above 0"),
        ("speaker", {"seconds": float("inf")}, "seconds is inf, expected a number above 0"),
        ("speaker", {"seconds": "2"}, "seconds is '2', expected a number above 0"),
        ("speaker", {"count": 0}, "count is 0, expected a whole number from 1 on"),
        ("speaker", {"count": -3}, "count is -3, expected a whole number"),
        ("speaker", {"count": 1.5}, "count is 1.5, expected a whole number from 1 on"),
        ("speaker", {"count": 10**12}, "count is 1000000000000, expected a whole number from 1 on, up to 1,000,000"),
        ("speaker", {"count": 10**6, "seconds": 1e6}, "clips of .* samples together take about .* GB of memory"),
        ("speaker", {"seconds": 1e300}, "seconds is 1e.300, expected a number above 0, from 0.000001 to 1,000,000"),
        ("speaker", {"seconds": 10**400}, "seconds is 1000.*, expected a number above 0"),
        ("speaker", {"seed": -1}, "seed is -1, expected a whole number from 0"),
        ("speaker", {"seed": 2**70}, "seed is 1180591620717411303424, expected a whole number from 0"),
        ("speaker", {"seed": 0.5}, "seed is 0.5, expected a whole number"),
        ("speaker", {"temperature": -1}, "temperature is -1, expected a number from 0"),
        ("speaker", {"temperature": 1e-46}, "temperature is 1e-46, expected a number from 0 to 1,000,000, and none"),
        ("speaker", {"temperature": None}, "temperature is None, expected a number"),
        ("speaker", {"top_p": 0}, "top_p is 0, expected a share above 0"),
        ("speaker", {"speeker": "anna"}, "speeker is set, and this model is conditioned on speaker; leave it out; did"),
        ("speaker,accent,f0", {"features": {}}, "features is set, and this model is conditioned on speaker and accent"),
        ("", {"speaker": "anna"}, "speaker is set, and this model has no condition; leave it out"),
    ],
)  # fmt: skip
def test_an_argument_that_nobody_can_mean_is_named(
    inputs: str, arguments: dict[str, Any], message: str
) -> None:
    model = model_of(inputs) if inputs else small_model().eval()
    given = {"speaker": "anna"} if inputs == "speaker" else {}
    with pytest.raises(ValueError, match=message):
        model.generate(**{"seconds": 0.01, **given, **arguments})
