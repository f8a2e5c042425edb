"""Conditions: they enter the network in the same way whatever makes them, and nothing hears more than it should.

Shapes: B batch, T time, N frames, F features, H condition.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tests.small import SIXTEEN_BITS, small_config
from wavenet_pl.conditioning import Conditioner, FramesLayer, Transposed
from wavenet_pl.config.model import ConditionConfig
from wavenet_pl.inputs.array import UserFrames
from wavenet_pl.inputs.frames import Frames
from wavenet_pl.inputs.mel import Mel
from wavenet_pl.inputs.notes import Notes
from wavenet_pl.model import Model
from wavenet_pl.shards.labels import Labels

NOTES = Notes(hop_length=32)
MEL = Mel(hop_length=50, window_length=200, num_mels=12, lowest_hz=50.0, highest_hz=3800.0, floor_db=-80.0)
F0 = UserFrames(name="f0", hop_length=40, mean=(120.0, 0.5), std=(40.0, 0.25))
FRAMES = (NOTES, MEL, F0)
LABELS = Labels(
    tables={
        "speaker": ("anna", "ben", "cleo"),
        "tags": ("calm", "fast", "loud"),
        "accent": ("irish", "scots", "welsh"),
    },
    frames={each.name: each.spec for each in FRAMES},
)
KINDS = {
    "speaker": "speaker",
    "tags": "music",
    "notes": "music",
    "mel": "speaker",
    "accent": "music",
    "f0": "speaker",
    "speaker,mel": "speaker",
    "tags,notes": "music",
    "tags,notes,mel": "music",
    "speaker,tags": "speaker",
    "speaker,notes": "music",
    "tags,mel": "speaker",
    "speaker,accent,f0": "speaker",
}
"""Inputs -> model.kind: any goes with any."""
UPSAMPLINGS = ("repeat", "transposed")
LAYERS = 2


def model_of(inputs: str, upsampling: str = "repeat", *settings: str) -> Model:
    config = small_config(
        "nowhere", f"model.kind={KINDS[inputs]}", f"model.condition.inputs=[{inputs}]", "model.condition.channels=6",
        f"model.condition.frame_layers={LAYERS}", f"model.condition.upsampling={upsampling}", *settings,
    )  # fmt: skip
    torch.manual_seed(0)
    model = Model(config, sample_rate=8_000, labels=LABELS).double().eval()
    assert isinstance(model.conditioner, Conditioner)
    with torch.no_grad():
        for parameter in model.conditioner.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return model


def fields(num_columns: int, rows: int = 2, seed: int = 0) -> dict[str, Any]:
    """All that a batch may say beside its audio, for columns that begin anywhere in a frame."""
    torch.manual_seed(seed)
    context = context_of()
    told: dict[str, Any] = {
        "speaker": torch.randint(0, 3, (rows,)),
        "tags": torch.randint(0, 2, (rows, 3)).float(),
        "accent": torch.randint(0, 3, (rows,)),
    }
    for spec in FRAMES:
        frames = spec.num_frames(num_columns + spec.hop_length - 1) + 2 * context
        told[spec.name] = torch.rand(rows, frames, spec.num_features)
        told[f"{spec.name}_phase"] = torch.randint(0, spec.hop_length, (rows,))
    return told


def context_of(upsampling: str = "transposed") -> int:
    return ConditionConfig(frame_layers=LAYERS, upsampling=upsampling).frame_context  # type: ignore[arg-type]


def cut(told: dict[str, Any], upsampling: str) -> dict[str, Any]:
    """The same with as many frames around it as this upsampling looks at."""
    spare = context_of() - context_of(upsampling)
    return {
        name: value[:, spare : value.shape[1] - spare] if name in LABELS.frames else value
        for name, value in told.items()
    }


# --- one network, one tensor ---


@pytest.mark.parametrize("head", [(), SIXTEEN_BITS], ids=["softmax", "logistics"])
@pytest.mark.parametrize("upsampling", UPSAMPLINGS)
@pytest.mark.parametrize("inputs", KINDS)
def test_any_chunks_give_what_one_forward_gives(inputs: str, upsampling: str, head: tuple[str, ...]) -> None:
    model, time = model_of(inputs, upsampling, *head), 150
    codes_BT = torch.randint(0, model.codec.quantization_channels, (2, time))
    condition = model.condition(cut(fields(time), upsampling), time)
    assert condition is not None and condition.shape[:2] == (2, 6) and condition.shape[2] in (1, time)
    with torch.no_grad():
        whole_BKT, _ = model(codes_BT, condition)
        pieces, state, start = [], None, 0
        for length in (1, 7, 1, 60, 81):
            piece = slice(start, start + length)
            columns = condition if condition.shape[2] == 1 else condition[:, :, piece]
            outputs_BKT, state = model(codes_BT[:, piece], columns, state)
            pieces.append(outputs_BKT)
            start += length
    assert start == time
    torch.testing.assert_close(torch.cat(pieces, dim=2), whole_BKT, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("inputs", KINDS)
def test_what_is_told_changes_what_comes_out(inputs: str) -> None:
    model, time = model_of(inputs), 60
    codes_BT = torch.randint(0, 256, (2, time))
    told = cut(fields(time), "repeat")
    right_BKT, _ = model(codes_BT, model.condition(told, time))
    other = cut(fields(time, seed=1), "repeat")
    other |= {name: (told[name] + 1) % 3 for name in ("speaker", "accent")} | {"tags": 1 - told["tags"]}
    for name in inputs.split(","):
        wrong_BKT, _ = model(codes_BT, model.condition({**told, name: other[name]}, time))
        assert (wrong_BKT - right_BKT).abs().amax(dim=(1, 2)).min() > 1e-3, name


def test_a_local_condition_that_does_not_change_is_a_global_one() -> None:
    model = model_of("speaker,mel")
    codes_BT = torch.randint(0, 256, (2, 90))
    global_BH1 = torch.randn(2, 6, 1, dtype=torch.float64)
    torch.testing.assert_close(
        model(codes_BT, global_BH1.expand(-1, -1, 90))[0],
        model(codes_BT, global_BH1)[0],
        rtol=1e-12,
        atol=1e-12,
    )


@pytest.mark.parametrize("inputs", KINDS)
def test_every_parameter_gets_a_gradient_in_every_batch(inputs: str) -> None:
    """Also in one of which nothing counts: DDP would wait for ever."""
    model, samples = model_of(inputs, "transposed"), 80
    for predictions in (samples - 1, 0):
        model.zero_grad()
        batch = {
            **fields(samples - 1), "audio": torch.rand(2, samples) - 0.5, "begin": torch.zeros(2).long(),
            "counted": torch.arange(samples - 1).expand(2, -1) < predictions,
        }  # fmt: skip
        nats, count = model.nats(batch)
        nats.backward()
        assert count == 2 * predictions
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            if predictions:
                assert parameter.grad.abs().sum() > 0, name


# --- who hears what ---


@pytest.mark.parametrize("spec", FRAMES, ids=lambda spec: spec.name)
@pytest.mark.parametrize("upsampling", UPSAMPLINGS)
def test_a_sample_hears_its_own_frame_and_as_many_around_it_as_is_said(upsampling: str, spec: Frames) -> None:
    model, time = model_of(spec.name, upsampling), 130
    context = context_of(upsampling)
    told = cut(fields(time, rows=1), upsampling)
    told[spec.name].requires_grad_()
    condition_BHT = model.conditioner(told, time)
    offsets = set()
    for column in range(0, time, 6):
        [gradient] = torch.autograd.grad(
            condition_BHT[0, :, column].sum(), told[spec.name], retain_graph=True
        )
        heard = gradient[0].abs().sum(dim=1).nonzero()[:, 0]
        own = context + (int(told[f"{spec.name}_phase"]) + column) // spec.hop_length
        offsets |= set((heard - own).tolist())
    assert offsets == set(range(-context, context + 1))


@pytest.mark.parametrize("inputs", KINDS)
def test_no_output_hears_the_audio_that_it_predicts(inputs: str) -> None:
    """Nor what comes after; with amplitudes as the input, since codes have no gradient."""
    model, samples = model_of(inputs, "repeat", *SIXTEEN_BITS), 80
    condition = model.condition(cut(fields(samples), "repeat"), samples)
    codes_BT = torch.randint(0, 65_536, (2, samples))
    amplitudes_BT = model.codec.decode(codes_BT).double().requires_grad_()
    model.network.decode = lambda codes: amplitudes_BT.t()
    outputs_BKT, _ = model(codes_BT, condition)
    for column in (0, 40, samples - 1):
        [gradient] = torch.autograd.grad(outputs_BKT[:, :, column].sum(), amplitudes_BT, retain_graph=True)
        heard = gradient.abs().sum(dim=0).nonzero()[:, 0]
        assert heard.max() == column and heard.min() >= column - model.network.receptive_field + 1


def test_columns_are_those_of_the_samples_wherever_they_begin() -> None:
    """Columns 13 to 112 of a condition are those made of the frames around them, with their own phase."""
    for upsampling in UPSAMPLINGS:
        model, context = model_of("mel", upsampling), context_of(upsampling)
        stored = torch.rand(1, 40, MEL.num_features)
        whole_BHT = model.conditioner({"mel": stored, "mel_phase": torch.tensor([0])}, 600)
        for first in (0, 13, 50, 99, 149):
            begin = first // MEL.hop_length
            frames = MEL.num_frames(100 + MEL.hop_length - 1) + 2 * context
            told = {
                "mel": stored[:, begin : begin + frames],
                "mel_phase": torch.tensor([first % MEL.hop_length]),
            }
            part_BHT = model.conditioner(told, 100)
            torch.testing.assert_close(part_BHT, whole_BHT[:, :, first : first + 100], rtol=1e-12, atol=1e-12)


def test_a_transposed_convolution_begins_as_a_straight_line_between_frames() -> None:
    frames_BHN = torch.tensor([[[0.0, 1.0, 2.0, 3.0, 4.0]]])
    line = Transposed(1, 4)(frames_BHN)[0, 0]
    expected = 1 + (torch.arange(12) + 0.5) / 4 - 0.5  # frames 1 to 3, each in the middle of its samples
    torch.testing.assert_close(line, expected)


def test_repeated_frames_are_the_frames() -> None:
    config = ConditionConfig(channels=MEL.num_features, frame_layers=0)
    frames = FramesLayer(config, MEL)
    with torch.no_grad():
        frames.first.weight.copy_(torch.eye(MEL.num_features)[:, :, None])
        frames.first.bias.zero_()
    stored = torch.rand(1, 4, MEL.num_features)
    condition = frames({"mel": stored, "mel_phase": torch.tensor([49])}, 52)
    torch.testing.assert_close(condition[0, :, 0], stored[0, 0])
    torch.testing.assert_close(condition[0, :, 1:51], stored[0, 1][:, None].expand(-1, 50))
    torch.testing.assert_close(condition[0, :, 51], stored[0, 2])


# --- names ---


def test_a_row_is_described_by_names() -> None:
    told = {
        "speaker": torch.tensor([2, 0]),
        "tags": torch.tensor([[1.0, 0, 1], [0, 0, 0]]),
        "accent": torch.tensor([1, 2]),
        "keys": ["a", "b"],
    }
    assert describe(model_of("speaker"), told) == ["speaker cleo", "speaker anna"]
    assert describe(model_of("speaker,accent,f0"), told) == [
        "speaker cleo; accent scots; f0 of a",
        "speaker anna; accent welsh; f0 of b",
    ]
    assert describe(model_of("tags,notes"), told) == ["tags calm, loud; notes of a", "tags none; notes of b"]


def describe(model: Model, told: dict[str, Any]) -> list[str]:
    assert isinstance(model.conditioner, Conditioner)
    return [model.conditioner.describe(told, row) for row in range(2)]


@pytest.mark.parametrize(
    "names",
    [["type"], ["values"], ["training"], ["type", "type_", "type__", "keys of it", "training", "pop"]],
    ids=str,
)
def test_a_column_may_be_called_as_nothing_in_a_module_can_be(names: list[str]) -> None:
    config = small_config("nowhere", "model.kind=speaker", f"model.condition.inputs=[{','.join(names)}]")
    labels = Labels({name: tuple(f"{name} {number}" for number in range(3)) for name in names})
    torch.manual_seed(0)
    model = Model(config, sample_rate=8_000, labels=labels).eval()
    again = Model(config, sample_rate=8_000, labels=labels).eval()
    again.load_state_dict(model.state_dict())
    told: dict[str, Any] = {name: f"{name} {number % 3}" for number, name in enumerate(names)}
    clip = model.generate(0.01, **told)
    assert np.array_equal(clip, again.generate(0.01, **told))
    batch = {name: torch.tensor([number % 3, 0]) for number, name in enumerate(names)}
    condition = model.condition(batch, 5)
    assert condition is not None
    for name in names:
        wrong = model.condition({**batch, name: batch[name] + 1 - 2 * (batch[name] == 2)}, 5)
        assert wrong is not None and (wrong != condition).any(), name


def test_a_table_that_is_not_there_is_refused() -> None:
    config = small_config("nowhere", "model.kind=speaker")
    with pytest.raises(ValueError, match="it has no speaker"):
        Model(config, sample_rate=8_000, labels=Labels({"tags": ("calm",)}))
