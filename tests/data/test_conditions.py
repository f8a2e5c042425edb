"""What batches say beside the audio: the right thing, and where asked also a wrong one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.data.shards import write_shard_set
from wavenet_pl.config import DataConfig
from wavenet_pl.data.conditions import Conditions
from wavenet_pl.data.datamodule import AudioDataModule, check_inputs
from wavenet_pl.data.index import load_index
from wavenet_pl.data.pipeline import Share, build_pipeline
from wavenet_pl.errors import UserError

SPEAKERS, TAGS = ("anna", "ben", "cleo"), ("calm", "fast")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shard_set(
        tmp_path_factory.mktemp("conditions") / "set", train=9, val=7, speakers=SPEAKERS, tags=TAGS
    )


def data_of(folder: Path, inputs: tuple[str, ...]) -> AudioDataModule:
    config = DataConfig(path=str(folder), batch_size=5, crop_samples=700, num_workers=0)
    return AudioDataModule(config, receptive_field=50, seed=0, inputs=inputs)


def batches(data: AudioDataModule, split: str, *, others: bool = False) -> list[dict[str, Any]]:
    conditions = data.conditions(split, 749, others=others)
    return list(build_pipeline(conditions, data.plan(split, 0), Share(), receptive_field=50))


def test_every_crop_has_the_speaker_and_the_tags_of_its_recording(folder: Path) -> None:
    data = data_of(folder, ("tags", "speaker"))
    for batch in batches(data, "train"):
        for row, recording in enumerate(batch["recording"].tolist()):
            if recording < 0:
                assert batch["speaker"][row] == -1 and not batch["tags"][row].any()
                continue
            known = data.splits["train"][recording]
            assert batch["speaker"][row] == known.speaker
            assert tuple(batch["tags"][row].nonzero()[:, 0].tolist()) == known.tags


def test_a_model_without_a_condition_gets_audio_alone(folder: Path) -> None:
    (first, *_) = batches(data_of(folder, ()), "val", others=True)
    assert not {name for name in first if "speaker" in name or "tags" in name}


def test_a_wrong_value_is_always_another_one_and_always_the_same(folder: Path) -> None:
    data = data_of(folder, ("speaker", "tags"))
    wrong = set()
    for batch, again in zip(
        batches(data, "val", others=True), batches(data, "val", others=True), strict=True
    ):
        real = batch["recording"] >= 0
        for name in ("speaker", "tags"):
            assert torch.equal(batch[f"other_{name}"], again[f"other_{name}"])
            assert torch.equal(batch[f"changed_{name}"], real)
        assert (batch["other_speaker"] != batch["speaker"])[real].all()
        assert (batch["other_tags"] != batch["tags"]).any(dim=1)[real].all()
        wrong |= set(zip(batch["speaker"].tolist(), batch["other_speaker"].tolist(), strict=True))
    assert len(wrong - {(-1, -1)}) == 6, "each speaker stands for each other one at some time"


@pytest.mark.parametrize(("speakers", "tags"), [(("anna",), ("calm",)), (("anna",), ("calm", "calm"))])
def test_where_all_are_alike_there_is_no_wrong_value(
    tmp_path: Path, speakers: tuple[str, ...], tags: tuple[str, ...]
) -> None:
    data = data_of(write_shard_set(tmp_path / "set", speakers=speakers, tags=tags), ("speaker", "tags"))
    for batch in batches(data, "val", others=True):
        for name in ("speaker", "tags"):
            assert not batch[f"changed_{name}"].any()
            assert torch.equal(batch[f"other_{name}"], batch[name])


def test_padding_has_the_shapes_of_the_rest(folder: Path) -> None:
    data = data_of(folder, ("speaker", "tags"))
    conditions = Conditions(data.splits["val"], ("speaker", "tags"), 749, others=True)
    nothing, something = conditions.read(-1, 0), conditions.read(3, 100)
    assert isinstance(nothing, dict) and isinstance(something, dict)
    assert {name: value.shape for name, value in nothing.items()} == {
        name: value.shape for name, value in something.items()
    }


@pytest.mark.parametrize(
    ("inputs", "made", "said"),
    [
        (("speaker",), {"speakers": ()}, "10 of 10 recordings without a speaker, such as rec-00000"),
        (("tags",), {}, "has no tags, expected some, as model.condition.inputs has tags"),
        (("notes",), {}, "has no notes features, .*prepare it again with --notes"),
        (("mel", "speaker"), {}, "has no mel features"),
    ],
)
def test_data_that_lacks_what_a_model_is_to_be_told_is_refused(
    tmp_path: Path, inputs: tuple[str, ...], made: dict[str, Any], said: str
) -> None:
    folder = write_shard_set(tmp_path / "set", **made)
    with pytest.raises(UserError, match=said):
        check_inputs(str(folder), load_index(folder), inputs)
