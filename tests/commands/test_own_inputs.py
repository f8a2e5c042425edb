"""Inputs of one's own from recordings to an export: a column of metadata.csv and an array beside each recording."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

import wavenet_pl
from tests.data_prep.corpus import prepare, write_table
from tests.processes import the_run, train
from tests.shards.made import make_audio
from tests.small import only_clip, small_config
from wavenet_pl import cli
from wavenet_pl.data.datamodule import AudioDataModule
from wavenet_pl.inputs.array import UserFrames
from wavenet_pl.shards.damage import Damage
from wavenet_pl.shards.index import load_index
from wavenet_pl.tracking.rows import read_metrics

pytestmark = pytest.mark.slow
RATE, HOP, RECORDINGS = 8_000, 80, 12
SPEAKERS, ACCENTS = ("anna", "ben", "cleo"), ("irish", "scots")
SETTINGS = (
    "model.kind=speaker", "model.condition.inputs=[speaker,accent,f0]", "model.condition.channels=8",
    "trainer.max_steps=60", "trainer.val_check_interval=30", "trainer.check_val_every_n_epoch=null", "optim.lr=4.0e-3",
)  # fmt: skip


def speaker_of(number: int) -> str:
    return SPEAKERS[number % 3]


def accent_of(number: int) -> str:
    return ACCENTS[number % 2]


def pitch_of(number: int) -> npt.NDArray[np.float64]:
    """(N,): one number for each 10 ms, the last of them begun."""
    frames = -(-length_of(number) // HOP)
    return 100.0 + 10 * number + 20 * np.sin(np.arange(frames) / 5)


def length_of(number: int) -> int:
    return 3_000 + 777 * (number % 3)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """WAV files, what they are in metadata.csv, and how high they sound in arrays, flat ones and others."""
    folder = tmp_path_factory.mktemp("recordings")
    rows = []
    for number in range(RECORDINGS):
        name, pitch = f"take-{number:02d}", pitch_of(number)
        soundfile.write(
            folder / f"{name}.wav", make_audio(length_of(number), RATE, number), RATE, subtype="PCM_16"
        )
        np.save(folder / f"{name}.f0.npy", pitch if number % 2 else pitch.astype(np.float32)[:, None])
        rows.append([f"{name}.wav", speaker_of(number), accent_of(number)])
    return write_table(folder, ["file", "speaker", "accent"], *rows)


@pytest.fixture(scope="module")
def shards(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("shards") / "set"
    options = [
        "--tables",
        "accent",
        "--frames",
        f"f0:hop={HOP}",
        "--sample-rate",
        str(RATE),
        "--val-fraction",
        "0.3",
    ]
    assert prepare("folder", recordings, out, *options, "--test-fraction", "0") == 0
    return out


@pytest.fixture(scope="module")
def run(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    train(shards, folder, *SETTINGS)
    return the_run(folder).path


@pytest.fixture(scope="module")
def pitches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files that `generate` can be given, and files that it cannot."""
    folder = tmp_path_factory.mktemp("pitches")
    np.save(folder / "low.npy", np.full(30, 80.0))
    np.save(folder / "high.npy", np.full((30, 1), 260, np.int16))
    np.save(folder / "wide.npy", np.zeros((30, 2)))
    np.save(folder / "empty.npy", np.zeros((0, 1)))
    np.save(folder / "holes.npy", np.array([[1.0], [np.nan]]))
    np.save(folder / "large.npy", np.full((30, 1), -1e300))
    (folder / "text.npy").write_text("80 81 82")
    return folder


def generate(
    model: Path, out: Path, pitch: Path, speaker: str = "anna", accent: str = "scots", *more: str
) -> npt.NDArray[np.float64]:
    """The one clip, which lasts as long as its frames."""
    shutil.rmtree(out, ignore_errors=True)
    told = ["--speaker", speaker, "--set", f"accent={accent}", "--frames", f"f0={pitch}"]
    assert cli.main(["generate", str(model), "--out", str(out), *told, *more]) == 0
    audio, rate = soundfile.read(only_clip(out))
    assert rate == RATE
    return np.asarray(audio)


def test_the_set_says_what_the_table_and_the_arrays_say(shards: Path) -> None:
    index = load_index(shards)
    assert index.labels.tables == {"speaker": SPEAKERS, "accent": ACCENTS}
    assert [len(index.splits[split]) for split in ("train", "val")] == [1, 1]
    data = AudioDataModule(
        small_config(shards).data, receptive_field=33, seed=0, inputs=("speaker", "accent", "f0")
    )
    *_, f0 = data.inputs
    assert isinstance(f0, UserFrames)
    for split in data.splits.values():
        for position in range(len(split)):
            number = int(split[position].key.removeprefix("take-"))
            assert split[position].rows == {
                "speaker": (SPEAKERS.index(speaker_of(number)),),
                "accent": (ACCENTS.index(accent_of(number)),),
            }
            stored = f0.stored(split, position)
            assert not isinstance(stored, Damage) and np.array_equal(
                stored[:, 0], pitch_of(number).astype(np.float32)
            )
    every = np.concatenate([pitch_of(number) for number in range(RECORDINGS)])
    spec = index.labels.frames["f0"]
    assert spec["hop_length"] == HOP
    assert spec["mean"] == pytest.approx([every.mean()], rel=1e-5)
    assert spec["std"] == pytest.approx([every.std()], rel=1e-5)


def test_training_says_what_a_wrong_value_of_each_costs(run: Path) -> None:
    rows = [row for row in read_metrics(run / "metrics.jsonl") if "val/bits" in row]
    assert [row["step"] for row in rows] == [30, 60]
    for row in rows:
        for name in ("speaker", "accent", "f0"):
            assert math.isfinite(row[f"val/gap/{name}"])
            assert row[f"val/bits_shuffled/{name}"] == pytest.approx(row["val/bits"] + row[f"val/gap/{name}"])


def test_evaluate_says_it_too_and_sorts_recordings_by_accent(run: Path, tmp_path: Path) -> None:
    command = ["evaluate", str(run), "--out", str(tmp_path), "--json", str(tmp_path / "found.json")]
    assert cli.main([*command, "--count", "1", "--seconds", "0.05", "--predictions", "0"]) == 0
    found = json.loads((tmp_path / "found.json").read_text())
    assert set(found["gaps"]) == {"speaker", "accent", "f0"}
    rows = [row for row in read_metrics(run / "metrics.jsonl") if "val/bits" in row]
    best = min(rows, key=lambda row: row["val/bits"])
    for name, (mean, *_) in found["gaps"].items():
        assert mean == pytest.approx(best[f"val/gap/{name}"], abs=1e-4)
    assert {group["name"] for group in found["tables"]["accent"]} <= set(ACCENTS)
    assert sum(group["recordings"] for group in found["tables"]["accent"]) == found["scored_recordings"]


def test_clips_differ_by_each_and_are_the_same_for_the_same(run: Path, pitches: Path, tmp_path: Path) -> None:
    out, low, high = tmp_path / "out", pitches / "low.npy", pitches / "high.npy"
    clip = generate(run, out, low)
    facts = json.loads(only_clip(out, ".json").read_text())
    assert (facts["speaker"], facts["accent"], facts["f0"]) == ("anna", "scots", str(low))
    assert len(clip) == 30 * HOP, "as long as its frames"
    assert np.array_equal(generate(run, out, low), clip)
    assert not np.array_equal(generate(run, out, low, "ben"), clip)
    assert not np.array_equal(generate(run, out, low, "anna", "irish"), clip)
    assert not np.array_equal(generate(run, out, high), clip)
    assert len(generate(run, out, low, "anna", "scots", "--seconds", "0.02")) == 160


def test_a_list_and_python_say_the_same_by_the_same_names(run: Path, pitches: Path, tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = [
        {"speaker": "anna", "accent": "scots"},
        {"speaker": "ben", "accent": "irish", "f0": str(pitches / "high.npy")},
    ]
    (tmp_path / "clips.jsonl").write_text("\n".join(map(json.dumps, lines)))
    command = ["generate", str(run), "--out", str(tmp_path / "out"), "--list", str(tmp_path / "clips.jsonl")]
    assert cli.main([*command, "--frames", f"f0={pitches / 'low.npy'}", "--seconds", "0.05"]) == 0
    first, second = (soundfile.read(path)[0] for path in sorted((tmp_path / "out").glob("*.wav")))
    assert np.array_equal(first, generate(run, tmp_path / "one", pitches / "low.npy")[:400])
    [clip] = wavenet_pl.load(run).generate(0.05, speaker="anna", accent="scots", f0=np.full((30, 1), 80.0))
    assert np.abs(first - clip).max() <= 1 / 32768, "but for the 16 bits of the file"
    assert len(second) == 400 and not np.array_equal(second, first)


RIGHT = {"--speaker": "anna", "--set": "accent=scots", "--frames": "f0=low.npy"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"--set": "accent=scotts"},
            ("accent is 'scotts', expected one of irish, scots; did you mean scots?",),
        ),
        ({"--set": None}, ("accent is missing, expected one of irish, scots",)),
        ({"--frames": None}, ("f0 is missing, expected frames of 1 number",)),
        ({"--speaker": None}, ("speaker is missing, expected one of anna, ben, cleo",)),
        (
            {"--set": "emotion=sad"},
            ("emotion is set, and this model", "speaker and accent and f0", "leave it out"),
        ),
        ({"--set": "f0=scots"}, ("--frames 'f0=", "gives f0 again, expected it once")),
        ({"--set": "accent"}, ("--set is 'accent', expected NAME=VALUE",)),
        ({"--set": "=scots"}, ("--set is '=scots', expected NAME=VALUE",)),
        ({"--frames": "f0="}, ("--frames is 'f0=', expected NAME=VALUE",)),
        (
            {"--frames": "f0=wide.npy"},
            ("wide.npy has float64 of shape (30, 2), expected", "shape (frames, 1)"),
        ),
        (
            {"--frames": "f0=empty.npy"},
            ("empty.npy has float64 of shape (0, 1), expected", "shape (frames, 1)"),
        ),
        ({"--frames": "f0=holes.npy"}, ("holes.npy has float64 of shape (2, 1), expected finite numbers",)),
        (
            {"--frames": "f0=large.npy"},
            ("large.npy has float64 of shape (30, 1), expected finite numbers, in float32",),
        ),
        ({"--frames": "f0=text.npy"}, ("text.npy cannot be read", "expected a .npy file")),
        ({"--frames": "f0=none.npy"}, ("none.npy cannot be read", "No such file")),
        ({"--tags": "calm"}, ("tags is set, and this model", "leave it out")),
    ],
)
def test_a_mistake_is_one_message_and_2(
    run: Path, pitches: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    changes: dict[str, str | None], said: tuple[str, ...],
) -> None:  # fmt: skip
    monkeypatch.chdir(pitches)
    given = [word for option, value in {**RIGHT, **changes}.items() if value for word in (option, value)]
    assert cli.main(["generate", str(run), "--out", str(tmp_path / "out"), *given]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and not (tmp_path / "out").exists()
    for words in said:
        assert words in error, error


def test_data_without_the_column_or_the_arrays_are_refused_before_training(
    recordings: Path, shards: Path, tmp_path: Path
) -> None:
    options = ["--sample-rate", str(RATE), "--val-fraction", "0.3", "--test-fraction", "0"]
    assert prepare("folder", recordings, tmp_path / "set", "--tables", "accent", *options) == 0
    said = train(tmp_path / "set", tmp_path, *SETTINGS, code=2)
    assert "model.condition.inputs has f0, expected some of accent, " in said
    assert "--frames f0:hop=N" in said
    said = train(shards, tmp_path, *SETTINGS, "model.condition.inputs=[speaker,acent]", code=2)
    assert "did you mean accent?" in said


def test_data_whose_names_or_frames_mean_something_else_are_refused(
    recordings: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [
        "--sample-rate",
        str(RATE),
        "--val-fraction",
        "0.3",
        "--test-fraction",
        "0",
        "--tables",
        "accent",
    ]
    frames = ["--frames", f"f0:hop={HOP},mean=1,std=2"]
    assert prepare("folder", recordings, tmp_path / "frames", *options, *frames) == 0
    shutil.copytree(recordings, tmp_path / "welsh")
    table = (recordings / "metadata.csv").read_text().replace("irish", "welsh")
    (tmp_path / "welsh/metadata.csv").write_text(table)
    assert (
        prepare("folder", tmp_path / "welsh", tmp_path / "names", *options, "--frames", f"f0:hop={HOP}") == 0
    )
    for place, said in (("frames", "f0 frames {"), ("names", "the accent names")):
        capsys.readouterr()
        assert cli.main(["evaluate", str(run), "--data", str(tmp_path / place), "--out", str(tmp_path)]) == 2
        error = capsys.readouterr().err
        assert (
            error.count("\n") == 1 and said in error and str(run) in error and str(tmp_path / place) in error
        )


def test_an_export_says_what_it_is_told_and_generates_the_same(
    run: Path, pitches: Path, tmp_path: Path
) -> None:
    assert cli.main(["export", str(run), "--out", str(tmp_path / "export")]) == 0
    card = (tmp_path / "export/README.md").read_text()
    [accent] = [line for line in card.splitlines() if line.startswith("|") and " accent |" in line]
    [f0] = [line for line in card.splitlines() if line.startswith("|") and " f0 |" in line]
    assert "irish, scots" in accent
    assert "'hop_length': 80" in f0.replace("\\", "") and "'mean'" in f0.replace("\\", "")
    model, exported = wavenet_pl.load(run), wavenet_pl.load(tmp_path / "export")
    assert exported.labels == model.labels and exported.input_names == ["speaker", "accent", "f0"]
    ours, theirs = (
        generate(each, tmp_path / "out", pitches / "low.npy") for each in (run, tmp_path / "export")
    )
    assert np.array_equal(ours, theirs)
