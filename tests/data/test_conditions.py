"""What batches say beside the audio: the right thing, and where asked also a wrong one."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.shards.made import make_features, write_shard_set
from wavenet_pl.audio.features import MelSpec, NotesSpec
from wavenet_pl.config.training import DataConfig
from wavenet_pl.data.conditions import Conditions
from wavenet_pl.data.datamodule import AudioDataModule, check_inputs
from wavenet_pl.data.pipeline import Share, build_pipeline
from wavenet_pl.errors import UserError
from wavenet_pl.shards.index import load_index
from wavenet_pl.shards.split import Split

SPEAKERS, TAGS = ("anna", "ben", "cleo"), ("calm", "fast")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shard_set(
        tmp_path_factory.mktemp("conditions") / "set", train=9, val=7, speakers=SPEAKERS, tags=TAGS
    )


def data_of(folder: Path, inputs: tuple[str, ...], frame_context: int = 0) -> AudioDataModule:
    config = DataConfig(path=str(folder), batch_size=5, crop_samples=700, num_workers=0)
    return AudioDataModule(config, receptive_field=50, seed=0, inputs=inputs, frame_context=frame_context)


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


# --- frames ---

NOTES = NotesSpec(hop_length=32)
MEL = MelSpec(
    hop_length=50, window_length=200, num_mels=12, lowest_hz=50.0, highest_hz=3800.0, floor_db=-80.0
)
LOCAL = ("notes", "mel")


@pytest.fixture(scope="module")
def framed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shard_set(
        tmp_path_factory.mktemp("frames") / "set",
        train=6,
        val=3,
        features=(NOTES, MEL),
        frames=(4_000, 1_111, 300),
    )


def test_the_frames_of_a_crop_are_those_of_its_columns(framed: Path) -> None:
    """Found sample by sample: each column's frame, and as many around it as are asked for, 0 outside the recording."""
    data, context = data_of(framed, LOCAL, frame_context=3), 3
    seen = set()
    for batch in batches(data, "train"):
        for row, recording in enumerate(batch["recording"].tolist()):
            if recording < 0:
                assert not batch["notes"][row].any() and not batch["mel"][row].any()
                continue
            split = data.splits["train"]
            length = int(split.frames[recording])
            # where the crop begins follows from its audio, which no other place has
            audio, own = batch["audio"][row].numpy(), np.concatenate([[0], split.read(recording)])
            last = int(batch["last"][row])
            begin = next(
                at for at in range(len(own)) if np.array_equal(own[at : at + last + 1], audio[: last + 1])
            )
            for spec in (NOTES, MEL):
                stored = make_features(
                    spec, (split.read(recording) * 32768).astype(np.int16), _seed(split, recording)
                )
                phase, frames = int(batch[f"{spec.name}_phase"][row]), batch[spec.name][row].numpy()
                for column in range(0, last, 7):
                    sample = (
                        begin + column
                    )  # own has one silence code in front: output 0 predicts own[begin + 1]
                    at = (phase + column) // spec.hop_length
                    for offset in range(-context, context + 1):
                        frame = sample // spec.hop_length + offset
                        inside = 0 <= frame < spec.num_frames(length)
                        wanted = (
                            spec.scaled(stored[frame]) if inside else np.zeros(spec.num_features, np.float32)
                        )
                        assert np.array_equal(frames[at + context + offset], wanted), (
                            spec.name,
                            column,
                            offset,
                        )
            seen.add(recording)
    assert len(seen) == 6


def _seed(split: Split, recording: int) -> int:
    return int(split[recording].key.removeprefix("rec-"))


def test_a_wrong_frame_is_of_another_recording(framed: Path) -> None:
    data = data_of(framed, LOCAL, frame_context=1)
    for batch in batches(data, "val", others=True):
        real = batch["recording"] >= 0
        for name in LOCAL:
            assert batch[f"other_{name}"].shape == batch[name].shape
            assert torch.equal(batch[f"changed_{name}"], real)
            assert (batch[f"other_{name}"] != batch[name]).flatten(1).any(dim=1)[real].all()


def test_of_one_recording_the_wrong_frames_are_those_of_another_time(tmp_path: Path) -> None:
    folder = write_shard_set(tmp_path / "set", train=1, val=1, features=(MEL,), frames=9_000)
    for batch in batches(data_of(folder, ("mel",)), "val", others=True):
        real = batch["recording"] >= 0
        assert torch.equal(batch["changed_mel"], real)


def test_damaged_features_count_for_nothing_and_are_named(framed: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(framed, tmp_path / "set")
    data = data_of(folder, ("mel",))
    _, shard, recording = data.splits["train"].places[1]
    place = recording.members["mel.npy"]
    with open(folder / shard, "r+b") as file:
        file.seek(place.offset + place.size - 1)
        file.write(b"\x7f")
    found = [damage for batch in batches(data, "train") for damage in batch["bad"]]
    assert {damage.key for damage in found} == {recording.key}
    sound = data_of(folder, ("notes",))
    assert not [damage for batch in batches(sound, "train") for damage in batch["bad"]], (
        "nobody asked for mel"
    )


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
