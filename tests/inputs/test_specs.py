"""Specs: how frames were made comes back from JSON as it was, in range, or is refused in a line."""

from __future__ import annotations

import inspect
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from data_prep.options import Options
from tests.shards.made import write_shard_set
from tests.test_conditioning import F0, FRAMES, LABELS, MEL, NOTES
from wavenet_pl.config.training import DataConfig
from wavenet_pl.data.datamodule import AudioDataModule
from wavenet_pl.data.pipeline import Share, build_pipeline
from wavenet_pl.errors import UserError
from wavenet_pl.generation.requests import ClipRequest
from wavenet_pl.inputs.array import UserFrames, read_option
from wavenet_pl.inputs.column import Column
from wavenet_pl.inputs.frames import Frames
from wavenet_pl.inputs.known import BUILT_IN, RESERVED, build_inputs, check_name, frames_for_audio, frames_of
from wavenet_pl.inputs.speaker import Speaker
from wavenet_pl.inputs.tags import Tags
from wavenet_pl.model import Model
from wavenet_pl.shards.labels import Labels

BY_NAME = {each.name: each for each in FRAMES}


@pytest.mark.parametrize("frames", FRAMES, ids=lambda frames: frames.name)
def test_a_spec_comes_back_from_json(frames: Frames) -> None:
    read = frames_of(frames.name, json.loads(json.dumps(frames.spec)))
    assert read == frames and type(read) is type(frames)
    assert read.fingerprint == frames.fingerprint and len(frames.fingerprint) == 16


def test_a_whole_number_of_hertz_is_the_same_setting() -> None:
    read = frames_of("mel", {**MEL.spec, "lowest_hz": 55})
    assert (
        read == replace(MEL, lowest_hz=55.0) and read.fingerprint == replace(MEL, lowest_hz=55.0).fingerprint
    )


def test_a_mean_that_is_whole_is_the_same_setting() -> None:
    read = frames_of("f0", {**F0.spec, "mean": [120, 0.5]})
    assert read == F0 and read.fingerprint == F0.fingerprint


def test_the_same_settings_under_another_name_are_other_frames() -> None:
    assert replace(F0, name="pitch").fingerprint != F0.fingerprint
    assert replace(F0, mean=(120.0, 0.25)).fingerprint != F0.fingerprint


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("notes", {"window_length": 3}, "has the settings .*, expected hop_length"),
        ("mel", {"floor_db": None}, "has floor_db None, expected a number from -200.0 to -10.0"),
        ("mel", {"hop_length": 0}, "has hop_length 0, expected a whole number from 1 to 65536"),
        ("mel", {"hop_length": True}, "has hop_length True"),
        ("mel", {"hop_length": 200.0}, "has hop_length 200.0"),
        ("mel", {"num_mels": 513}, "has num_mels 513"),
        ("mel", {"window_length": 49}, "has window_length 49, expected hop_length 50 or more"),
        ("mel", {"lowest_hz": 3800.0}, "has lowest_hz 3800, expected less than highest_hz 3800"),
        ("mel", {"highest_hz": float("nan")}, "has highest_hz nan"),
        ("mel", {"floor_db": "x" * 999}, "has floor_db 'xxx"),
        ("f0", {"mean": []}, r"f0 has mean \[\], expected 1 to 4096 numbers, one for each feature"),
        ("f0", {"mean": [0.0] * 4097, "std": [1.0] * 4097}, "expected 1 to 4096 numbers"),
        ("f0", {"mean": [120.0]}, "f0 has 1 means and 2 deviations, expected as many"),
        ("f0", {"mean": ["a", "b"]}, "f0 has mean 'a', expected a number"),
        ("f0", {"mean": "ab"}, "f0 has mean 'ab', expected 1 to 4096 numbers"),
        ("f0", {"mean": [float("nan"), 0.0]}, "f0 has mean nan"),
        ("f0", {"std": [0.0, 1.0]}, "f0 has std 0.0, expected a number from 1e-30"),
        ("f0", {"std": [1.0, -1.0]}, "f0 has std -1.0"),
        ("f0", {"std": 1.0}, "f0 has std 1.0, expected 1 to 4096 numbers"),
        ("f0", {"hop_length": 1.5}, "f0 has hop_length 1.5, expected a whole number"),
        ("f0", {"num_mels": 3}, "f0 has the settings .*, expected hop_length, mean, std"),
    ],
)
def test_a_spec_that_cannot_be_is_refused(name: str, change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        frames_of(name, {**BY_NAME[name].spec, **change})
    assert len(str(caught.value)) < 250 and "\n" not in str(caught.value)


@pytest.mark.parametrize("plain", [None, [], {}, 3])
@pytest.mark.parametrize("name", BY_NAME)
def test_settings_that_are_no_object_are_refused(name: str, plain: Any) -> None:
    with pytest.raises(ValueError, match="has the settings .*, expected hop_length"):
        frames_of(name, plain)


@pytest.mark.parametrize("name", ["speaker", "tags"])
def test_frames_are_not_called_as_a_table(name: str) -> None:
    with pytest.raises(ValueError, match=f"frames are called '{name}', which is a table"):
        frames_of(name, NOTES.spec)


# --- which input a name means ---


def test_inputs_are_what_the_labels_say_of_their_names() -> None:
    speaker, tags, accent, *frames = build_inputs(("speaker", "tags", "accent", "notes", "mel", "f0"), LABELS)
    assert speaker == Speaker(LABELS.tables["speaker"]) and tags == Tags(LABELS.tables["tags"])
    assert accent == Column(name="accent", names=LABELS.tables["accent"])
    assert frames == [NOTES, MEL, F0]


@pytest.mark.parametrize("name", ["emotion", "notes"])
def test_an_input_that_the_labels_lack_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=f"it has no {name}"):
        build_inputs((name,), Labels({"speaker": ("anna",)}))


def test_of_audio_alone_are_only_mel_frames() -> None:
    assert frames_for_audio(LABELS) == (MEL,)


@pytest.mark.parametrize("name", sorted({*BUILT_IN, *RESERVED}))
def test_a_name_that_means_something_here_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=f"--tables names '{name}', which means something else here"):
        check_name("--tables", name)


def test_no_input_has_the_name_of_another_argument_field_or_fact(tmp_path: Path) -> None:
    taken = {
        name
        for method in (ClipRequest.__init__, Model.generate)
        for name, each in inspect.signature(method).parameters.items()
        if each.kind != inspect.Parameter.VAR_KEYWORD
    }
    config = DataConfig(path=str(write_shard_set(tmp_path / "set")), crop_samples=700, num_workers=0)
    data = AudioDataModule(config, receptive_field=50, seed=0)
    batches = build_pipeline(data.conditions("val", 749), data.plan("val", 0), Share(), receptive_field=50)
    taken |= set(next(iter(batches)))
    taken |= {"run", "clip", "problem"}  # of the facts that stand beside a clip
    assert taken <= {*RESERVED, *BUILT_IN}


@pytest.mark.parametrize(
    "name", ["other_accent", "changed_accent", "f0_phase", "a.b", "_a", "", "ä", "a" * 101]
)
def test_a_name_that_cannot_be_an_inputs_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="which cannot name an input, expected a name of letters"):
        check_name("--tables", name)


@pytest.mark.parametrize("name", ["accent", "f0", "type", "values", "Speaker role", "room-2"])
def test_any_other_name_is_free(name: str) -> None:
    check_name("--tables", name)


# --- what the command line says of arrays of one's own ---


@pytest.mark.parametrize(
    ("text", "hop", "mean", "std"),
    [
        ("f0:hop=80", 80, None, None),
        ("f0:hop=80,mean=120,std=40", 80, 120.0, 40.0),
        ("f0:std=2,mean=0,hop=1", 1, 0.0, 2.0),
    ],
)
def test_an_option_is_read(text: str, hop: int, mean: float | None, std: float | None) -> None:
    option = read_option(text)
    assert (option.name, option.hop_length, option.mean, option.std) == ("f0", hop, mean, std)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected NAME:hop=N such as f0:hop=80"),
        ("F0:hop=80", "the name in small letters, digits and _"),
        ("f 0:hop=80", "the name in small letters"),
        ("f0", "has no hop from 1 to 65536"),
        ("f0:", "has no hop from 1 to 65536"),
        ("f0:80", "has '80', expected NAME:hop=N"),
        ("f0:hop=0", "has no hop from 1"),
        ("f0:hop=65537", "has no hop from 1"),
        ("f0:hop=80.5", "has 'hop=80.5'"),
        ("f0:hop=80,hop=81", "has 'hop=81'"),
        ("f0:hop=80,step=3", "has 'step=3'"),
        ("f0:hop=80,mean=3", "has a mean without a std above 0, expected both or none"),
        ("f0:hop=80,std=3", "expected both or none"),
        ("f0:hop=80,mean=3,std=0", "expected both or none"),
        ("f0:hop=80,mean=3,std=-1", "expected both or none"),
        ("f0:hop=80,mean=3,std=nan", "has 'std=nan'"),
        ("f0:hop=80,mean=nan,std=1", "has 'mean=nan'"),
        ("f0:hop=80,mean=3,std=inf", "has 'std=inf'"),
    ],
)
def test_an_option_that_cannot_be_is_refused(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        read_option(text)


def test_a_table_and_frames_have_two_names() -> None:
    options = Options(corpus="folder", tables=("accent", "f0"), arrays=(read_option("f0:hop=80"),))
    with pytest.raises(UserError, match="--tables and --frames both name f0, expected two names"):
        options.check()


def test_what_prepare_makes_of_an_option_is_a_spec_that_can_be_read() -> None:
    made = UserFrames(name="f0", hop_length=80, mean=(1.0,), std=(2.0,))
    assert frames_of("f0", made.spec) == made
