"""Models with a condition, from `train` to `generate`, `evaluate` and `export`, with real processes and real shards."""

from __future__ import annotations

import hashlib
import json
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import wavenet_pl
from tests.data_prep.corpus import prepare
from tests.data_prep.test_frames import make_pieces
from tests.processes import losses, the_run, train
from tests.shards.made import write_shard_set
from tests.small import only_clip
from tests.wandb_offline import offline_folders, read_offline_run
from wavenet_pl import cli
from wavenet_pl.inputs.mel import Mel
from wavenet_pl.runs.checkpoints import checksum_path
from wavenet_pl.runs.folder import list_checkpoints
from wavenet_pl.shards.index import load_index, save_index
from wavenet_pl.tracking.rows import read_metrics

pytestmark = pytest.mark.slow
SPEAKERS = ("anna", "ben", "cleo")
SETTINGS = (
    "model.condition.channels=8", "trainer.max_steps=60", "trainer.val_check_interval=30",
    "trainer.check_val_every_n_epoch=null", "optim.lr=4.0e-3", "samples.every_n_steps=60", "samples.count=3",
    "samples.seconds=0.05", "samples.prompt_seconds=0.02", "wandb.mode=offline",
)  # fmt: skip
KINDS = {"speaker": ("model.kind=speaker",), "tags": ("model.kind=music", "model.condition.inputs=[tags]")}


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Voices that differ a lot: what each recording sounds like follows from its number, and so does its speaker."""
    return write_shard_set(
        tmp_path_factory.mktemp("models") / "set", train=12, val=6, speakers=SPEAKERS, tags=("calm", "fast")
    )


@pytest.fixture(scope="module", params=KINDS)
def folder(shards: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A folder with a finished run, and all that it printed."""
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "printed").write_text(train(shards, folder, *SETTINGS, *KINDS[request.param]))
    (folder / "input").write_text(request.param)
    return folder


def test_every_validation_says_what_a_wrong_condition_costs(folder: Path) -> None:
    name = (folder / "input").read_text()
    rows = [row for row in read_metrics(the_run(folder).metrics) if "val/bits" in row]
    assert [row["step"] for row in rows] == [30, 60]
    for row in rows:
        assert row[f"val/bits_shuffled/{name}"] == pytest.approx(row["val/bits"] + row[f"val/gap/{name}"])


def test_two_ranks_measure_the_same(folder: Path, shards: Path, tmp_path: Path) -> None:
    name = (folder / "input").read_text()
    train(shards, tmp_path, *SETTINGS, *KINDS[name], "trainer.devices=2")
    one, two = losses(folder), losses(tmp_path)
    assert one.keys() == two.keys()
    assert max(abs(two[step] / one[step] - 1) for step in one) < 1e-4
    for key in ("val/bits", f"val/gap/{name}", f"val/bits_shuffled/{name}"):
        ones, twos = (
            [row[key] for row in read_metrics(the_run(place).metrics) if key in row]
            for place in (folder, tmp_path)
        )
        assert twos == pytest.approx(ones, abs=2e-3)


def test_clips_are_of_different_voices_and_say_which(folder: Path) -> None:
    name = (folder / "input").read_text()
    run = the_run(folder)
    rows = [
        json.loads(line) for line in (run.clips / "step-000000060" / "clips.jsonl").read_text().splitlines()
    ]
    conditions = {row["condition"] for row in rows}
    wanted = (
        {f"speaker {speaker}" for speaker in SPEAKERS} if name == "speaker" else {"tags calm", "tags fast"}
    )
    assert conditions == wanted
    tracked = read_offline_run(offline_folders(run.path)[0])
    captions = next(
        row["val/clips/free-running"]["captions"]
        for row in tracked.history
        if "val/clips/free-running" in row
    )
    assert all(any(f" | {words} | " in caption for words in wanted) for caption in captions)


def test_generate_takes_names_and_refuses_others(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, name = str(the_run(folder).path), (folder / "input").read_text()
    option, values = (
        ("--speaker", ("anna", "cleo")) if name == "speaker" else ("--tags", ("calm", "fast,calm"))
    )
    clips = []
    for value in values:
        out = tmp_path / value
        assert cli.main(["generate", run, "--out", str(out), "--seconds", "0.05", option, value]) == 0
        clips.append(soundfile.read(only_clip(out))[0])
    assert not np.array_equal(*clips)
    capsys.readouterr()
    assert cli.main(["generate", run, "--out", str(tmp_path / "no"), option, "callm"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "expected one of" in error
    other = "--tags" if name == "speaker" else "--speaker"
    assert cli.main(["generate", run, "--out", str(tmp_path / "no"), option, values[0], other, "x"]) == 2
    assert "leave it out" in capsys.readouterr().err


def test_an_export_has_the_names_and_the_same_voice(folder: Path, tmp_path: Path) -> None:
    run, name = the_run(folder).path, (folder / "input").read_text()
    assert cli.main(["export", str(run), "--out", str(tmp_path / "export")]) == 0
    model, exported = wavenet_pl.load(run), wavenet_pl.load(tmp_path / "export")
    assert exported.labels == model.labels
    assert model.labels.tables == ({"speaker": SPEAKERS} if name == "speaker" else {"tags": ("calm", "fast")})
    card = (tmp_path / "export" / "README.md").read_text()
    assert (
        "| input speaker | anna, ben, cleo |" if name == "speaker" else "| input tags | calm, fast |"
    ) in card
    told = {"speaker": "ben"} if name == "speaker" else {"tags": ["fast"]}
    assert np.array_equal(model.generate(0.02, seed=1, **told), exported.generate(0.02, seed=1, **told))


def test_evaluate_says_whether_the_condition_is_used(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, name = the_run(folder).path, (folder / "input").read_text()
    command = ["evaluate", str(run), "--out", str(tmp_path), "--json", str(tmp_path / "found.json")]
    assert cli.main([*command, "--count", "1", "--seconds", "0.05", "--predictions", "0"]) == 0
    found = json.loads((tmp_path / "found.json").read_text())
    rows = [row for row in read_metrics(the_run(folder).metrics) if "val/bits" in row]
    best = min(rows, key=lambda row: row["val/bits"])
    assert found["gaps"][name][0] == pytest.approx(best[f"val/gap/{name}"], abs=1e-4)
    assert "Is the condition used?" in (tmp_path / "report.html").read_text()
    assert f"a wrong {name}" in capsys.readouterr().out
    assert found["clips"][0]["condition"].startswith(name)


def test_data_of_other_names_is_refused_with_both_sides(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    others = write_shard_set(tmp_path / "set", speakers=("anna", "dora", "emil"), tags=("calm", "slow"))
    run = str(the_run(folder).path)
    assert cli.main(["evaluate", run, "--data", str(others), "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and run in error and str(others) in error
    assert re.search(r"row 1 is '(ben|fast)'.*row 1 is '(dora|slow)'", error)


def test_a_checkpoint_of_other_names_is_refused(folder: Path, shards: Path, tmp_path: Path) -> None:
    """Nobody's run folder, but a checkpoint that somebody put into it."""
    name = (folder / "input").read_text()
    train(shards, tmp_path, *SETTINGS, *KINDS[name], "trainer.max_steps=2")
    path = list_checkpoints(the_run(tmp_path))[-1]
    checkpoint = torch.load(path, weights_only=True)
    tables = checkpoint["wavenet_pl"]["labels"]["tables"]
    for table, names in tables.items():
        tables[table] = [f"{each}x" for each in names]
    torch.save(checkpoint, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    checksum_path(path).write_text(f"{digest}  {path.name}\n")
    printed = train(shards, tmp_path, *SETTINGS, *KINDS[name], "trainer.max_steps=4", code=2)
    assert re.search("the data has the (speaker|tags) names.*the checkpoint has", printed)


# --- notes and mel frames ---

LOCAL = {
    "notes": ("model.kind=music", "model.condition.inputs=[notes]"),
    "mel": ("model.kind=speaker", "model.condition.inputs=[mel]", "model.condition.upsampling=transposed"),
}


SOME = "0.4"
"""Seconds; the first notes of the pieces are within."""


@pytest.fixture(scope="module")
def pieces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings with their MIDI, and the shards that `prepare` makes of them."""
    folder = tmp_path_factory.mktemp("pieces")
    make_pieces(folder / "in", count=6)
    assert prepare("folder", folder / "in", folder / "out", "--notes", "--mel", "--val-fraction", "0.3") == 0
    return folder


@pytest.mark.parametrize("name", LOCAL)
def test_frames_from_prepare_to_generate(
    pieces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    printed = train(pieces / "out", tmp_path, *SETTINGS, *LOCAL[name], "samples.count=2")
    run = the_run(tmp_path)
    rows = [row for row in read_metrics(run.metrics) if "val/bits" in row]
    assert all(math.isfinite(row[f"val/gap/{name}"]) for row in rows), printed
    clips = [
        json.loads(line) for line in (run.clips / "step-000000060" / "clips.jsonl").read_text().splitlines()
    ]
    assert {row["condition"] for row in clips} == {f"{name} of {row['prompt']}" for row in clips}

    def generate(out: str, file: Path, *more: str) -> np.ndarray:
        command = ["generate", str(run.path), "--out", str(tmp_path / out), f"--{name}", str(file), *more]
        assert cli.main(command) == 0, capsys.readouterr().err
        return np.asarray(soundfile.read(only_clip(tmp_path / out))[0])

    extension = "mid" if name == "notes" else "wav"
    one, other = (
        generate(f"{number}", pieces / "in" / f"piece{number}.{extension}", "--seconds", SOME)
        for number in (0, 1)
    )
    assert len(one) == 6_400 and not np.array_equal(one, other)
    if name == "mel":
        audio, rate = soundfile.read(pieces / "in" / "piece0.wav", dtype="float32")
        np.save(tmp_path / "frames.npy", Mel.default(rate).of_audio(audio, rate))
        assert np.array_equal(generate("again", tmp_path / "frames.npy", "--seconds", SOME), one)
        soundfile.write(tmp_path / "short.wav", audio[:1_000], rate, subtype="PCM_16")
        assert len(generate("whole", tmp_path / "short.wav")) == 1_000, "as long as what is said again"
    capsys.readouterr()
    np.save(tmp_path / "wrong.npy", np.full((4, 80), 7.0))
    (tmp_path / "broken.npy").write_bytes(b"\x93NUMPY nothing")
    (tmp_path / "broken.mid").write_bytes(b"MThd nothing")
    wrong = {
        "notes": {"missing.mid": "cannot be read", "broken.mid": "cannot be used as MIDI"},
        "mel": {"missing.wav": "cannot be read", "broken.npy": "cannot be read", "wrong.npy": "from 0 to 1"},
    }
    for file, said in wrong[name].items():
        assert (
            cli.main(["generate", str(run.path), "--out", str(tmp_path), f"--{name}", str(tmp_path / file)])
            == 2
        )
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and said in error, error
    other_name = "mel" if name == "notes" else "notes"
    file = str(pieces / "in" / ("piece0.wav" if other_name == "mel" else "piece0.mid"))
    assert cli.main(["generate", str(run.path), "--out", str(tmp_path), f"--{other_name}", file]) == 2
    assert (
        f"{other_name} is set, and this model is conditioned on {name}; leave it out"
        in capsys.readouterr().err
    )


def test_data_of_another_spec_is_refused_with_both_sides(
    pieces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(
        pieces / "out", tmp_path, *SETTINGS, *LOCAL["mel"], "trainer.max_steps=2", "samples.every_n_steps=0"
    )
    index = load_index(pieces / "out")
    other = replace(Mel.from_spec("mel", index.labels.frames["mel"]), floor_db=-70.0)
    shutil.copytree(pieces / "out", tmp_path / "other")
    frames = {**index.labels.frames, "mel": other.spec}
    save_index(replace(index, labels=replace(index.labels, frames=frames)), tmp_path / "other")
    run = str(the_run(tmp_path).path)
    command = ["evaluate", run, "--data", str(tmp_path / "other"), "--out", str(tmp_path / "page")]
    assert cli.main(command) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "-80.0" in error and "-70.0" in error and other.fingerprint in error
