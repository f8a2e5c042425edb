"""What a clip is told: names found in the model's tables, frames of arrays and files; or refused with what is there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from tests.audio.test_midi import some_notes, write_midi
from tests.shards.made import make_audio, make_frames
from tests.test_conditioning import F0, FRAMES, LABELS, MEL, NOTES, model_of
from wavenet_pl.audio.midi import piano_roll, read_midi
from wavenet_pl.errors import UserError
from wavenet_pl.generation.requests import Clip, ClipRequest, resolve
from wavenet_pl.inputs.frames import Frames
from wavenet_pl.inputs.input import Columns
from wavenet_pl.inputs.known import build_inputs
from wavenet_pl.shards.labels import Labels

RATE = 8_000
COLUMNS = Columns(first=0, number=100, frame_context=2)
each_kind = pytest.mark.parametrize("frames", FRAMES, ids=lambda frames: frames.name)


def clip_of(inputs: tuple[str, ...], labels: Any = LABELS, **given: Any) -> Clip:
    [clip] = resolve([ClipRequest(**given)], build_inputs(inputs, labels), RATE)
    return clip


def told(inputs: tuple[str, ...], columns: Any = COLUMNS, **given: Any) -> dict[str, Any]:
    clip = clip_of(inputs, **given)
    fields: dict[str, Any] = {}
    for each in build_inputs(inputs, LABELS):
        fields |= each.fields(clip.values[each.name], columns)
    return fields


def some(frames: Frames, num_samples: int = 2_000) -> npt.NDArray[Any]:
    return make_frames(frames, make_audio(num_samples))


# --- names ---


def test_names_become_rows() -> None:
    assert told(("speaker",), speaker="ben")["speaker"] == 1
    assert told(("accent",), accent="welsh")["accent"] == 2
    assert told(("tags",), tags=("loud", "calm"))["tags"].tolist() == [1, 0, 1]
    assert told(("tags",))["tags"].tolist() == [0, 0, 0]
    both = told(("speaker", "accent"), speaker="cleo", accent="irish")
    assert (both["speaker"], both["accent"]) == (2, 0)


@pytest.mark.parametrize(
    "tags", [["loud", "calm"], ("loud", "calm"), "loud,calm", " loud , calm ", {"loud", "calm"}]
)
def test_tags_are_several_names_or_a_text_with_commas(tags: Any) -> None:
    assert told(("tags",), tags=tags)["tags"].tolist() == [1, 0, 1]


@pytest.mark.parametrize("tags", [None, "", [], ()])
def test_no_tag_at_all_is_a_value(tags: Any) -> None:
    assert told(("tags",), tags=tags)["tags"].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("inputs", "given", "said"),
    [
        (("speaker",), {}, "speaker is missing, expected one of anna, ben, cleo"),
        (("speaker",), {"speaker": "Ana"}, "speaker is 'Ana', expected one of anna, ben, cleo; did you mean anna?"),
        (("speaker",), {"speaker": "zzz"}, "speaker is 'zzz', expected one of anna, ben, cleo"),
        (("speaker",), {"speaker": ""}, "speaker is '', expected one of"),
        (("speaker",), {"speaker": 3}, "speaker is 3, expected a name, one of anna, ben, cleo"),
        (("speaker",), {"speaker": ["anna"]}, r"speaker is \['anna'\], expected a name, one of"),
        (("accent",), {}, "accent is missing, expected one of irish, scots, welsh"),
        (("accent",), {"accent": "scotish"}, "accent is 'scotish', expected one of .*; did you mean scots?"),
        (("tags",), {"tags": ["lout"]}, "tag is 'lout', expected one of calm, fast, loud; did you mean loud?"),
        (("tags",), {"tags": "calm,lout"}, "tag is 'lout', expected one of"),
        (("tags",), {"tags": [3]}, "tag is 3, expected a name, one of"),
        (("tags",), {"tags": 3}, "tags is 3, expected names"),
        (("tags",), {"speaker": "anna"}, "speaker is set, and this model is conditioned on tags; leave it out"),
        (("accent",), {"acent": "scots"}, "acent is set, and this model is conditioned on accent; leave it out; did"),
        (("speaker", "f0"), {"mel": 3}, "mel is set, and this model is conditioned on speaker and f0; leave it out"),
        ((), {"tags": ["calm"]}, "tags is set, and this model has no condition; leave it out"),
    ],
)  # fmt: skip
def test_a_name_that_cannot_be_told_is_refused(
    inputs: tuple[str, ...], given: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        told(inputs, **given)


def test_a_long_table_is_not_listed() -> None:
    names = Labels({"speaker": tuple(f"p{number:04d}" for number in range(1000))})
    with pytest.raises(ValueError, match=r"p0009 and 990 more; did you mean p0123\?"):
        clip_of(("speaker",), names, speaker="p 0123")


# --- frames ---


@each_kind
def test_frames_begin_with_the_clip_and_are_followed_by_nothing(frames: Frames) -> None:
    stored = some(frames, 3 * frames.hop_length)
    columns = Columns(0, 4 * frames.hop_length, 2)
    fields = told((frames.name,), columns, **{frames.name: stored})
    given, phase = fields[frames.name], fields[f"{frames.name}_phase"]
    assert given.shape == (frames.num_rows(columns), frames.num_features) and given.dtype == np.float32
    assert phase == 0
    assert np.array_equal(given[2:5], frames.scaled(stored))
    assert not given[:2].any() and not given[5:].any()


@each_kind
def test_an_array_and_its_file_are_the_same(frames: Frames, tmp_path: Path) -> None:
    stored, path = some(frames), tmp_path / "frames.npy"
    np.save(path, stored)
    for value in (stored, stored.tolist(), str(path), path):
        assert np.array_equal(clip_of((frames.name,), **{frames.name: value}).values[frames.name], stored)


def test_a_midi_file_is_the_roll_of_its_notes(tmp_path: Path) -> None:
    path = write_midi(tmp_path / "score.mid", some_notes(), [(0.5, 127)])
    score = read_midi(path)
    clip = clip_of(("notes",), notes=str(path))
    samples = round(float(score.offsets.max()) * RATE)
    assert np.array_equal(clip.values["notes"], piano_roll(score, NOTES.hop_length, samples, RATE))
    assert samples <= clip.num_samples < samples + NOTES.hop_length


def test_an_audio_file_is_said_again_at_the_models_rate(tmp_path: Path) -> None:
    audio = make_audio(4_000)
    soundfile.write(tmp_path / "one.wav", audio, RATE, subtype="PCM_16")
    clip = clip_of(("mel",), mel=tmp_path / "one.wav")
    assert np.array_equal(
        clip.values["mel"], MEL.of_audio(audio.astype(np.float32) / np.float32(32768), RATE)
    )
    soundfile.write(tmp_path / "fast.wav", np.repeat(audio, 2), 2 * RATE, subtype="PCM_16")
    assert clip_of(("mel",), mel=tmp_path / "fast.wav").num_samples == clip.num_samples == 4_000


@pytest.mark.parametrize("dtype", ["float64", "float16", "int64", "uint8"])
def test_numbers_of_ones_own_may_be_of_any_type_and_one_a_frame_a_plain_row(
    tmp_path: Path, dtype: str
) -> None:
    """As `prepare` takes them."""
    labels = Labels(frames={"pitch": {"hop_length": 80, "mean": [100.0], "std": [10.0]}})
    pitch, path = np.arange(50).astype(dtype), tmp_path / "pitch.npy"
    np.save(path, pitch)
    for value in (pitch, pitch[:, None], path):
        stored = clip_of(("pitch",), labels, pitch=value).values["pitch"]
        assert stored.shape == (50, 1) and np.array_equal(stored[:, 0], np.arange(50))


REFUSED = {
    "mel-shape": (
        "mel",
        np.zeros((5, 80)),
        r"mel has shape \(5, 80\), expected \(frames, 12\), a frame for 50 sam",
    ),
    "notes-shape": ("notes", np.zeros((89, 5)), r"notes has shape \(89, 5\), expected \(frames, 89\)"),
    "f0-shape": (
        "f0",
        np.zeros((5, 3)),
        r"f0 has shape \(5, 3\), expected \(frames, 2\), a frame for 40 samples",
    ),
    "f0-row": ("f0", np.zeros(5), r"f0 has shape \(5,\), expected \(frames, 2\)"),
    "f0-number": ("f0", 3.0, r"f0 has shape \(\), expected \(frames, 2\)"),
    "f0-empty": ("f0", np.zeros((0, 2)), r"f0 has shape \(0, 2\), expected \(frames, 2\)"),
    "mel-range": ("mel", np.full((5, 12), 1.5), "mel has numbers out of range, expected numbers from 0 to 1"),
    "mel-nan": ("mel", np.full((5, 12), np.nan), "mel has numbers out of range"),
    "notes-range": (
        "notes",
        np.full((5, 89), 128),
        "notes has numbers out of range, expected numbers from 0 to 127",
    ),
    "f0-inf": ("f0", np.full((5, 2), np.inf), "f0 has numbers out of range, expected finite numbers"),
    "f0-text": ("f0", [["a", "b"]], "f0 is an array of <U1, expected finite numbers"),
    "notes-text": ("notes", [["a"] * 89], "notes is an array of <U1, expected numbers from 0 to 127"),
    "f0-ragged": ("f0", [[1, 2], [3]], r"f0 cannot be an array \(.*\), expected finite numbers"),
    "f0-object": ("f0", {"a": 1}, r"f0 has shape \(\)"),
    "mel-none": ("mel", None, "mel is missing, expected frames of 12 numbers"),
    "f0-none": ("f0", None, "f0 is missing, expected frames of 2 numbers"),
}


@pytest.mark.parametrize(("name", "value", "said"), REFUSED.values(), ids=REFUSED)
def test_an_array_that_is_none_of_the_models_is_refused(name: str, value: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        told((name,), **{name: value})
    assert "\n" not in str(caught.value)


@each_kind
@pytest.mark.parametrize(
    "content", [None, b"", b"RIFF", b"\x93NUMPY\x01\x00", b"\x93NUMPY\x01\x00\xff\xff{" + b"x" * 99]
)
def test_a_file_that_holds_no_array_is_refused_in_a_line(
    frames: Frames, content: bytes | None, tmp_path: Path
) -> None:
    path = tmp_path / "frames.npy"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(
        UserError, match=r"frames\.npy cannot be read \(.*\), expected a \.npy file"
    ) as caught:
        told((frames.name,), **{frames.name: path})
    assert "\n" not in str(caught.value) and frames.name in str(caught.value)


def test_a_file_that_holds_objects_runs_nothing(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "sprung"),)

    np.save(tmp_path / "f0.npy", np.array([[Trap(), Trap()]], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match=r"f0\.npy cannot be read"):
        told(("f0",), f0=tmp_path / "f0.npy")
    assert not (tmp_path / "sprung").exists()


@each_kind
def test_a_file_of_another_shape_or_range_is_refused_with_both(frames: Frames, tmp_path: Path) -> None:
    stored, path = some(frames).astype(np.float32), tmp_path / "frames.npy"
    for wrong in (stored[:, :1][:, [0] * 7], stored[:0], np.full_like(stored, np.nan)):
        np.save(path, wrong)
        with pytest.raises(UserError, match=r"frames\.npy has ") as caught:
            told((frames.name,), **{frames.name: path})
        assert str(wrong.shape) in str(caught.value)
        assert f"(frames, {frames.num_features})" in str(caught.value)


def test_a_midi_file_without_notes_of_a_piano_is_refused(tmp_path: Path) -> None:
    drums = write_midi(tmp_path / "drums.mid", some_notes(), channel=9)
    with pytest.raises(UserError, match=r"drums\.mid has no notes that a piano can play"):
        told(("notes",), notes=drums)


@pytest.mark.parametrize(
    ("name", "file", "said"),
    [
        ("notes", "none.mid", r"none\.mid cannot be read"),
        ("notes", "text.txt", r"text\.txt cannot be used as MIDI"),
        ("mel", "none.wav", r"mel .*none\.wav cannot be read"),
        ("mel", "text.txt", r"mel .*text\.txt cannot be read"),
        ("f0", "text.txt", r"text\.txt cannot be read .*expected a \.npy file"),
    ],
)
def test_a_file_of_another_kind_is_refused(name: str, file: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("nothing that can be heard")
    with pytest.raises(UserError, match=said):
        told((name,), **{name: tmp_path / file})


# --- how long a clip is, and what it goes on from ---


@each_kind
def test_a_clip_is_as_long_as_its_frames_less_its_prompt_or_as_is_said(frames: Frames) -> None:
    inputs, stored, prompt = (frames.name,), some(frames), np.zeros(480, np.float32)
    lasts = len(stored) * frames.hop_length
    assert clip_of(inputs, **{frames.name: stored}).num_samples == lasts
    assert clip_of(inputs, prompt=prompt, **{frames.name: stored}).num_samples == lasts - 480
    assert clip_of(inputs, seconds=0.5, prompt=prompt, **{frames.name: stored}).num_samples == 4_000
    long = np.zeros(2 * lasts, np.float32)
    assert clip_of(inputs, prompt=long, **{frames.name: stored}).num_samples == 1


def test_of_several_frames_the_longest_count_and_without_any_it_is_two_seconds() -> None:
    assert clip_of(("mel", "f0"), mel=some(MEL, 1_000), f0=some(F0, 2_000)).num_samples == 2_000
    assert clip_of(("speaker",), speaker="anna").num_samples == 2 * RATE
    assert clip_of(()).num_samples == 2 * RATE
    assert clip_of((), seconds=1e-6).num_samples == 1


def test_a_prompt_is_an_array_or_a_file(tmp_path: Path) -> None:
    audio = make_audio(800) / np.float32(32768)
    soundfile.write(tmp_path / "one.wav", audio, RATE, subtype="PCM_16")
    for value in (audio, audio.tolist(), str(tmp_path / "one.wav"), tmp_path / "one.wav"):
        assert np.array_equal(clip_of((), prompt=value).prompt, audio)
    with pytest.raises(UserError, match=r"prompt .*none\.wav cannot be read"):
        clip_of((), prompt=tmp_path / "none.wav")


@pytest.mark.parametrize(
    "prompt", [np.zeros((2, 100)), 3.0, np.full(100, np.nan), ["a"]], ids=["stereo", "number", "nan", "text"]
)
def test_a_prompt_that_is_no_audio_is_refused(prompt: Any) -> None:
    with pytest.raises(ValueError, match=r"prompt .*, expected audio \(samples,\), finite numbers") as caught:
        clip_of((), prompt=prompt)
    assert "\n" not in str(caught.value)


def test_what_several_clips_share_is_read_once_and_what_they_do_not_is_not_mixed_up(tmp_path: Path) -> None:
    inputs = build_inputs(("speaker", "f0"), LABELS)
    np.save(tmp_path / "f0.npy", some(F0))
    shared: dict[str, Any] = {"prompt": np.zeros(100), "f0": tmp_path / "f0.npy"}
    requests = [ClipRequest(speaker=name, **shared) for name in ("anna", "ben")]
    requests += [ClipRequest(speaker="anna", f0=array) for array in (some(F0) + 1, (some(F0) + 2).tolist())]
    one, two, three, four = resolve(requests, inputs, RATE)
    assert one.prompt is two.prompt and one.values["f0"] is two.values["f0"]
    assert [clip.values["speaker"] for clip in (one, two, three)] == [(0,), (1,), (0,)]
    assert np.array_equal(three.values["f0"], one.values["f0"] + 1)
    assert np.allclose(four.values["f0"], one.values["f0"] + 2)


def test_what_is_wrong_with_a_line_of_a_list_is_said_with_the_line() -> None:
    request = ClipRequest(speaker="bean")
    request.location = "--list clips.jsonl, line 3"
    with pytest.raises(UserError, match="^--list clips.jsonl, line 3: speaker is 'bean', .*did you mean ben"):
        resolve([ClipRequest(speaker="anna"), request], build_inputs(("speaker",), LABELS), RATE)


def test_facts_about_a_request_are_its_names_and_files_and_not_its_arrays() -> None:
    request = ClipRequest(
        seconds=2, speaker="anna", tags=["calm"], notes="score.mid", mel=np.zeros((3, 12)), f0=None
    )
    assert request.described() == {"seconds": 2, "speaker": "anna", "tags": ["calm"], "notes": "score.mid"}
    assert repr(request) == "ClipRequest(seconds=2, speaker='anna', tags=['calm'], notes='score.mid')"


# --- the model ---


def test_a_model_resolves_requests_and_takes_what_it_has_resolved() -> None:
    model = model_of("speaker,accent,f0").float()
    stored = some(F0, 400)
    asked = ClipRequest(seconds=0.01, speaker="anna", accent="scots", f0=stored)
    [clip] = model.resolve([asked])
    assert clip.num_samples == 80 and clip.values["speaker"] == (0,) and clip.values["accent"] == (1,)
    again, other = model.resolve([clip, ClipRequest(speaker="ben", accent="scots", f0=stored)])
    assert again is clip and other.values["speaker"] == (1,)
    [audio], [same] = model.generate_each([asked]), model.generate_each([clip])
    assert np.array_equal(audio, same)


@pytest.mark.parametrize(
    ("inputs", "one", "other"),
    [
        ("speaker", {"speaker": "anna"}, {"speaker": "ben"}),
        ("speaker,tags", {"speaker": "anna", "tags": ["calm"]}, {"speaker": "anna", "tags": ["loud"]}),
        ("accent", {"accent": "scots"}, {"accent": "irish"}),
        ("f0", {"f0": np.tile([200.0, 1.0], (8, 1))}, {"f0": np.tile([100.0, 0.0], (8, 1))}),
    ],
)
def test_another_value_is_another_clip_and_a_row_does_not_depend_on_others(
    inputs: str, one: dict[str, Any], other: dict[str, Any]
) -> None:
    model = model_of(inputs)
    clip, another = model.generate(0.01, 2, seed=1, **one), model.generate(0.01, 2, seed=1, **other)
    assert not np.array_equal(clip, another)
    assert np.array_equal(clip[:1], model.generate(0.01, 1, seed=1, **one))
