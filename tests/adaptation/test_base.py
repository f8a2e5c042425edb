"""The base gets one more row, and its old rows stay what they are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.adaptation.voices import NEW, SPEAKERS, make_base, new_config
from tests.small import small_config, small_model
from wavenet_pl.adaptation.base import load_base, train_row_only
from wavenet_pl.adaptation.data import AdaptationData
from wavenet_pl.config.tree import to_yaml
from wavenet_pl.data.conditions import Conditions
from wavenet_pl.data.pipeline import Share, build_pipeline
from wavenet_pl.errors import UserError
from wavenet_pl.inputs.array import UserFrames
from wavenet_pl.inputs.mel import Mel
from wavenet_pl.inputs.notes import Notes
from wavenet_pl.model import Model
from wavenet_pl.runs.delta import SPEAKER_TABLE
from wavenet_pl.runs.weights import CONFIG_NAME, WEIGHTS_NAME, encode_weights
from wavenet_pl.shards.labels import Labels

F0 = UserFrames(name="f0", hop_length=80, mean=(120.0,), std=(40.0,))


def test_a_new_row_begins_as_a_copy_of_the_one_that_is_said(base_set: Path, new_set: Path) -> None:
    base = make_base(base_set)
    module = base.with_row(new_config(new_set), "f" * 64, NEW, 1)
    rows, old = module.get_parameter(SPEAKER_TABLE), base.model.get_parameter(SPEAKER_TABLE)
    assert module.labels.tables["speaker"] == (*SPEAKERS, NEW)
    assert torch.equal(rows[:3], old)
    assert torch.equal(rows[3], old[1])
    others = {name: tensor for name, tensor in base.model.state_dict().items() if name != SPEAKER_TABLE}
    assert all(torch.equal(module.state_dict()[name], tensor) for name, tensor in others.items())


def test_a_row_that_is_there_stays_where_it_is(base_set: Path, new_set: Path) -> None:
    base = make_base(base_set)
    module = base.with_row(new_config(new_set), "f" * 64, "ben", 0)
    assert module.labels == base.model.labels
    assert torch.equal(module.get_parameter(SPEAKER_TABLE), base.model.get_parameter(SPEAKER_TABLE))


def test_training_one_row_changes_that_row_alone_bit_for_bit(base_set: Path, new_set: Path) -> None:
    base = make_base(base_set)
    config = new_config(new_set, "model.network.dropout=0.1")
    module = base.with_row(new_config(new_set), "f" * 64, NEW, 1)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    train_row_only(module, 3)
    data = AdaptationData(config, base.labels_with(NEW))
    conditions = Conditions(data.splits["train"], module.inputs, config.data.crop_samples)
    field = config.model.network.receptive_field
    batches = build_pipeline(conditions, data.plan("train", 0), Share(), receptive_field=field)
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.1, weight_decay=0.0)
    for batch in batches:
        nats, count = module.nats(batch)
        (nats / count).backward()
        optimizer.step()
        optimizer.zero_grad()
    after = module.state_dict()
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    assert changed == [SPEAKER_TABLE]
    assert torch.equal(before[SPEAKER_TABLE][:3], after[SPEAKER_TABLE][:3])
    assert not torch.equal(before[SPEAKER_TABLE][3], after[SPEAKER_TABLE][3])


def test_outputs_under_the_old_rows_are_the_same_bits(base_set: Path, new_set: Path) -> None:
    base = make_base(base_set)
    module = base.with_row(new_config(new_set), "f" * 64, NEW, 1).eval()
    with torch.no_grad():
        module.get_parameter(SPEAKER_TABLE)[3] += 1
    codes = torch.randint(0, 256, (1, 300), generator=torch.Generator().manual_seed(0))
    for row in range(3):
        told = {"speaker": torch.tensor([row])}
        ours, _ = module(codes, module.condition(told, 300))
        theirs, _ = base.model(codes, base.model.condition(told, 300))
        assert torch.equal(ours, theirs)


def test_a_base_without_speakers_is_refused(tmp_path: Path) -> None:
    module = small_model()
    (tmp_path / WEIGHTS_NAME).write_bytes(encode_weights(module, 1))
    (tmp_path / CONFIG_NAME).write_text(to_yaml(small_config("nowhere")))
    with pytest.raises(
        UserError,
        match="has no speaker table: it is conditioned on nothing, expected a model conditioned on speakers",
    ):
        load_base(tmp_path)


@pytest.mark.parametrize(
    ("inputs", "name"),
    [
        ("speaker,accent", "accent"),
        ("tags,speaker", "tags"),
        ("speaker,f0", "f0"),
        ("speaker,notes", "notes"),
    ],
)
def test_a_base_that_is_told_what_recordings_do_not_say_is_refused(
    tmp_path: Path, inputs: str, name: str
) -> None:
    write_export(tmp_path, inputs)
    with pytest.raises(
        UserError,
        match=f"is conditioned on {name} too, which a folder of recordings does not have, expected a model",
    ):
        load_base(tmp_path)


def test_a_base_that_is_told_mel_frames_too_is_taken(tmp_path: Path) -> None:
    write_export(tmp_path, "speaker,mel")
    assert load_base(tmp_path).model.input_names == ["speaker", "mel"]


def write_export(folder: Path, inputs: str) -> None:
    frames = {each.name: each.spec for each in (Notes.default(8_000), Mel.default(8_000), F0)}
    labels = Labels({"speaker": SPEAKERS, "accent": ("scots", "irish"), "tags": ("calm",)}, frames)
    config = small_config("nowhere", "model.kind=speaker", f"model.condition.inputs=[{inputs}]")
    model = Model(config, sample_rate=8_000, labels=labels)
    (folder / WEIGHTS_NAME).write_bytes(encode_weights(model, 1))
    (folder / CONFIG_NAME).write_text(to_yaml(config))
