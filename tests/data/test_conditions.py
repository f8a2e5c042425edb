"""What batches say beside the audio: the right thing, and where asked also a wrong one."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.shards.made import make_frames, write_shard_set
from wavenet_pl.config.training import DataConfig
from wavenet_pl.data.conditions import Conditions
from wavenet_pl.data.datamodule import AudioDataModule
from wavenet_pl.data.pipeline import Share, build_pipeline
from wavenet_pl.errors import UserError
from wavenet_pl.inputs.array import UserFrames
from wavenet_pl.inputs.known import build_inputs, check_inputs
from wavenet_pl.inputs.mel import Mel
from wavenet_pl.inputs.notes import Notes
from wavenet_pl.shards.index import load_index
from wavenet_pl.shards.labels import Labels
from wavenet_pl.shards.split import Split

SPEAKERS, TAGS, ACCENTS = ("anna", "ben", "cleo"), ("calm", "fast"), ("scots", "irish", "cockney", "geordie")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shard_set(
        tmp_path_factory.mktemp("conditions") / "set",
        train=9,
        val=7,
        speakers=SPEAKERS,
        tags=TAGS,
        tables={"accent": ACCENTS},
    )


def data_of(folder: Path, inputs: tuple[str, ...], frame_context: int = 0) -> AudioDataModule:
    config = DataConfig(path=str(folder), batch_size=5, crop_samples=700, num_workers=0)
    return AudioDataModule(config, receptive_field=50, seed=0, inputs=inputs, frame_context=frame_context)


def batches(data: AudioDataModule, split: str, *, others: bool = False) -> list[dict[str, Any]]:
    conditions = data.conditions(split, 749, others=others)
    return list(build_pipeline(conditions, data.plan(split, 0), Share(), receptive_field=50))


def test_every_crop_has_the_names_and_the_tags_of_its_recording(folder: Path) -> None:
    data = data_of(folder, ("tags", "speaker", "accent"))
    for batch in batches(data, "train"):
        for row, recording in enumerate(batch["recording"].tolist()):
            if recording < 0:
                assert batch["speaker"][row] == batch["accent"][row] == -1 and not batch["tags"][row].any()
                continue
            number = int(data.splits["train"][recording].key.removeprefix("rec-"))
            for table, names in (("speaker", SPEAKERS), ("accent", ACCENTS)):
                name = data.labels.tables[table][int(batch[table][row])]
                assert name == names[number % len(names)]
            (tag,) = batch["tags"][row].nonzero()[:, 0].tolist()
            assert data.labels.tables["tags"][tag] == TAGS[number % len(TAGS)]


def test_a_model_without_a_condition_gets_audio_alone(folder: Path) -> None:
    (first, *_) = batches(data_of(folder, ()), "val", others=True)
    assert not {name for name in first for told in ("speaker", "tags", "accent") if told in name}


def test_a_wrong_value_is_always_another_one_and_always_the_same(folder: Path) -> None:
    data = data_of(folder, ("speaker", "tags", "accent"))
    wrong = set()
    for batch, again in zip(
        batches(data, "val", others=True), batches(data, "val", others=True), strict=True
    ):
        real = batch["recording"] >= 0
        for name in ("speaker", "tags", "accent"):
            assert torch.equal(batch[f"other_{name}"], again[f"other_{name}"])
            assert torch.equal(batch[f"changed_{name}"], real)
        for name in ("speaker", "accent"):
            assert (batch[f"other_{name}"] != batch[name])[real].all()
            assert (batch[f"other_{name}"] < len(data.labels.tables[name])).all()
        assert (batch["other_tags"] != batch["tags"]).any(dim=1)[real].all()
        wrong |= set(zip(batch["speaker"].tolist(), batch["other_speaker"].tolist(), strict=True))
    assert len(wrong - {(-1, -1)}) == 6, "each speaker stands for each other one at some time"


# --- frames ---

NOTES = Notes(hop_length=32)
MEL = Mel(hop_length=50, window_length=200, num_mels=12, lowest_hz=50.0, highest_hz=3800.0, floor_db=-80.0)
F0 = UserFrames(name="f0", hop_length=80, mean=(0.25, 0.5), std=(0.125, 0.25))
LOCAL = (NOTES, MEL, F0)
NAMES = tuple(each.name for each in LOCAL)


@pytest.fixture(scope="module")
def framed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shard_set(
        tmp_path_factory.mktemp("frames") / "set",
        train=6,
        val=3,
        frames_beside=LOCAL,
        frames=(4_000, 1_111, 300),
    )


def test_the_frames_of_a_crop_are_those_of_its_columns(framed: Path) -> None:
    """Found sample by sample: each column's frame, and as many around it as are asked for, 0 outside the recording."""
    data, context = data_of(framed, NAMES, frame_context=3), 3
    seen = set()
    for batch in batches(data, "train"):
        for row, recording in enumerate(batch["recording"].tolist()):
            if recording < 0:
                assert not any(batch[name][row].any() for name in NAMES)
                continue
            split = data.splits["train"]
            length = int(split.frames[recording])
            # where the crop begins follows from its audio, which no other place has
            audio, own = batch["audio"][row].numpy(), np.concatenate([[0], split.read(recording)])
            begin = int(batch["begin"][row])
            known = audio[begin:]
            first = next(at for at in range(len(own)) if np.array_equal(own[at : at + len(known)], known))
            for spec in LOCAL:
                stored = make_frames(
                    spec, (split.read(recording) * 32768).astype(np.int16), _seed(split, recording)
                )
                phase, frames = int(batch[f"{spec.name}_phase"][row]), batch[spec.name][row].numpy()
                for column in range(begin, len(audio) - 1, 7):
                    # own has one silence code in front: the output of own[n] predicts sample n
                    sample = first + column - begin
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
    data = data_of(framed, NAMES, frame_context=1)
    for batch in batches(data, "val", others=True):
        real = batch["recording"] >= 0
        for name in NAMES:
            assert batch[f"other_{name}"].shape == batch[name].shape
            assert torch.equal(batch[f"changed_{name}"], real)
            assert (batch[f"other_{name}"] != batch[name]).flatten(1).any(dim=1)[real].all()


def test_of_one_recording_the_wrong_frames_are_those_of_another_time(tmp_path: Path) -> None:
    folder = write_shard_set(tmp_path / "set", train=1, val=1, frames_beside=(MEL,), frames=9_000)
    for batch in batches(data_of(folder, ("mel",)), "val", others=True):
        real = batch["recording"] >= 0
        assert torch.equal(batch["changed_mel"], real)


@pytest.mark.parametrize("name", NAMES)
def test_damaged_frames_count_for_nothing_and_are_named(framed: Path, tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(framed, tmp_path / "set")
    data = data_of(folder, (name,))
    _, shard, recording = data.splits["train"].stored[1]
    place = recording.members[f"{name}.npy"]
    with open(folder / shard, "r+b") as file:
        file.seek(place.offset + place.size - 1)
        file.write(b"\x7f")
    found = [damage for batch in batches(data, "train") for damage in batch["bad"]]
    assert {damage.key for damage in found} == {recording.key}
    assert {damage.kind for damage in found} == {"changed"}
    sound = data_of(folder, tuple(other for other in NAMES if other != name))
    assert not [damage for batch in batches(sound, "train") for damage in batch["bad"]], "nobody asked for it"


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
    inputs = build_inputs(("speaker", "tags", "accent"), data.shard_set.labels)
    conditions = Conditions(data.splits["val"], inputs, 749, others=True)
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
        (("notes",), {}, "has no notes frames, .*prepare it again with --notes"),
        (("mel", "speaker"), {}, "has no mel frames, .*prepare it again with --mel"),
        (
            ("speaker", "acent"),
            {"tables": {"accent": ("scots",)}},
            r"has acent, expected some of accent, .*mel, notes, .*; did you mean accent\?; .* --tables acent",
        ),
    ],
)
def test_data_that_lacks_what_a_model_is_to_be_told_is_refused(
    tmp_path: Path, inputs: tuple[str, ...], made: dict[str, Any], said: str
) -> None:
    folder = write_shard_set(tmp_path / "set", **made)
    with pytest.raises(UserError, match=said):
        check_inputs(str(folder), load_index(folder), inputs)
    with pytest.raises(UserError, match=said):
        data_of(folder, inputs)


@pytest.mark.parametrize(
    ("name", "spec", "said"),
    [
        (
            "mel",
            {"hop_length": 0},
            "mel has the settings {'hop_length': 0}, expected hop_length, window_length, .*",
        ),
        ("notes", {"hop_length": 0}, "notes has hop_length 0, expected a whole number from 1 to 65536"),
        ("f0", {"hop_length": 80}, "f0 has the settings {'hop_length': 80}, expected hop_length, mean, std"),
        (
            "f0",
            {"hop_length": 80, "mean": [], "std": []},
            r"f0 has mean \[\], expected 1 to 4096 numbers, .*",
        ),
        (
            "f0",
            {"hop_length": 80, "mean": [1.0], "std": [0.0]},
            "f0 has std 0.0, expected a number from 1e-30 .*",
        ),
        (
            "f0",
            {"hop_length": 80, "mean": [1], "std": [1, 1]},
            "f0 has 1 means and 2 deviations, expected as many",
        ),
    ],
)
def test_an_index_whose_frames_no_model_can_read_is_refused(
    framed: Path, name: str, spec: dict[str, Any], said: str
) -> None:
    index = load_index(framed)
    frames = {**index.labels.frames, name: spec}
    index = replace(index, labels=replace(index.labels, frames=frames))
    with pytest.raises(UserError, match=f"the set cannot be used: {said}; run `wavenet-pl index` again$"):
        check_inputs("the set", index, ["speaker", name])
    check_inputs("the set", index, ["speaker", "mel" if name == "notes" else "notes"])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mel", "a table is called 'mel', and such are frames"),
        ("speaker", "frames are called 'speaker', which is a table"),
    ],
)
def test_an_index_that_takes_one_kind_for_another_is_refused(framed: Path, name: str, said: str) -> None:
    index = load_index(framed)
    tables = {"mel": ("anna",)} if name == "mel" else {"speaker": ()}
    frames = {**index.labels.frames, **({"speaker": F0.spec} if name == "speaker" else {})}
    index = replace(index, labels=Labels(tables, frames))
    with pytest.raises(UserError, match=f"the set cannot be used: {said}; run `wavenet-pl index` again$"):
        check_inputs("the set", index, [name])


def test_what_a_recording_lacks_is_said_with_its_key(tmp_path: Path) -> None:
    folder = write_shard_set(tmp_path / "set", train=4, val=2, tables={"accent": ("scots",)})
    index = load_index(folder)
    first, *rest = index.splits["val"]
    bare = replace(first, recordings=tuple(replace(row, rows={}) for row in first.recordings))
    index = replace(index, splits={**index.splits, "val": (bare, *rest)})
    with pytest.raises(
        UserError,
        match="the set has 2 of 6 recordings without an accent, such as rec-00004, expected one for each, as "
        "model.condition.inputs has accent; fill the column accent in metadata.csv, and prepare again with --tables "
        "accent",
    ):
        check_inputs("the set", index, ["accent"])
