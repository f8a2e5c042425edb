"""What a command says to type next works, for every kind of model: the printed line is run as it stands."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.audio.test_midi import write_midi
from tests.shards.made import write_shard_set
from tests.small import SETTINGS
from wavenet_pl import cli
from wavenet_pl.commands import generate
from wavenet_pl.inputs.array import UserFrames
from wavenet_pl.inputs.column import Column
from wavenet_pl.inputs.speaker import Speaker
from wavenet_pl.runs.examples import print_next

STORED = Path(__file__).resolve().parents[1] / "stored"
FACTS: dict[str, Any] = json.loads((STORED / "facts.json").read_text())
KINDS = ("unconditional", "speaker", "music", "vocoder")
BRIEF = ("--seconds", "0.05")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of stored runs, in which the paths that they name are right."""
    shutil.copytree(STORED, tmp_path / "stored")
    monkeypatch.chdir(tmp_path / "stored")
    return tmp_path / "stored"


def next_line(text: str) -> list[str]:
    """The words after `wavenet-pl` of the one such line, as a shell reads it."""
    [line] = re.findall(r"^type next    wavenet-pl (.*)$", text, flags=re.MULTILINE)
    return shlex.split(line, comments=True)


def check_clips(words: list[str], *more: str) -> None:
    """Runs a `generate` command; it leaves sound files."""
    assert cli.main([*words, *more]) == 0
    assert list(Path("clips").glob("*.wav"))


@pytest.mark.parametrize("kind", KINDS)
def test_after_an_export(here: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    run = Path("runs", FACTS[kind]["run"])
    assert cli.main(["export", str(run), "--out", "exports/a new one"]) == 0
    printed = capsys.readouterr().out
    words = next_line(printed)
    assert "exports/a new one" in words
    own = [
        name for name in ("recording.wav", "piece.mid") if name in words
    ]  # runs from before keep no examples
    assert printed.count(f"# with {' and '.join(own)} of your own") == bool(own)
    for name in own:
        write_own(Path(name))
    check_clips(words, *BRIEF)


def test_a_name_that_begins_like_an_option_is_still_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    inputs = [
        Speaker(("-anna",)),
        Column(name="-accent", names=("-scots",)),
        UserFrames(name="f0", hop_length=80, mean=(0.5,), std=(0.3,)),
    ]
    print_next("a run", inputs, None, {"f0": "-f0.npy"})
    parser = argparse.ArgumentParser()
    generate.add_arguments(parser)
    args = parser.parse_args(next_line(capsys.readouterr().out)[1:])
    assert (args.run, args.speaker, args.set, args.frames) == (
        "a run",
        "-anna",
        ["-accent=-scots"],
        ["f0=-f0.npy"],
    )


def test_after_preparing_a_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "unconditional").mkdir()  # hides no config
    corpus = tmp_path / "recordings"
    corpus.mkdir()
    for number in range(6):
        soundfile.write(
            corpus / f"{number}.wav", 0.3 * np.sin(np.arange(16_000) * (0.3 + number / 10)), 8_000
        )
    options = ["--sample-rate", "8000", "--val-fraction", "0.3", "--test-fraction", "0", "--jobs", "1"]
    assert cli.main(["prepare", "folder", "recordings", "a set", *options]) == 0
    [line] = re.findall(r"next: wavenet-pl (.*)$", capsys.readouterr().out, flags=re.MULTILINE)
    assert cli.main([*shlex.split(line), "--dry-run"]) == 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_after_a_training_and_an_export_of_it(
    here: Path, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = [*FACTS[kind]["arguments"], "trainer.max_steps=2", "--runs", "new runs"]
    assert cli.main(["train", *settings]) == 0
    words = next_line(capfd.readouterr().out)
    check_clips(words, *([] if {"--mel", "--notes"} & set(words) else BRIEF))
    run = next(Path("new runs").iterdir())
    assert cli.main(["export", str(run), "--out", "exports/new"]) == 0
    words = next_line(capfd.readouterr().out)
    shutil.rmtree("clips")
    check_clips(words, *BRIEF)


@pytest.mark.slow
def test_after_a_training_with_inputs_of_the_users_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    f0 = UserFrames(name="f0", hop_length=80, mean=(0.5,), std=(0.3,))
    write_shard_set(tmp_path / "set", tables={"accent": ("scots", "north of it")}, frames_beside=[f0])
    settings = [
        *SETTINGS,
        "data.path=set",
        "model.condition.inputs=[speaker,accent,f0]",
        "model.kind=speaker",
    ]
    assert cli.main(["train", *settings, "trainer.max_steps=1"]) == 0
    words = next_line(capfd.readouterr().out)
    assert {"--speaker", "--set", "--frames"} <= set(words)
    check_clips(words)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_both_examples_of_a_model_card(here: Path, kind: str) -> None:
    run = Path("runs", FACTS[kind]["run"])
    assert cli.main(["export", str(run), "--out", "exports/new"]) == 0
    card = Path("exports/new/README.md").read_text()
    [shell], [python] = (
        re.findall(rf"```{name}\n(.*?)```", card, flags=re.DOTALL) for name in ("sh", "python")
    )
    for name in ("recording.wav", "piece.mid"):  # what stands for a file of the reader's own
        if name in card:
            write_own(Path(name))
    check_clips(shlex.split(shell.replace("FOLDER", "exports/new"))[1:])
    found: dict[str, Any] = {}
    exec(python.replace("FOLDER", "exports/new"), found)
    assert found["clips"].shape[0] == 4
    assert found["clips"].shape[1] > 0


def write_own(path: Path) -> None:
    """Half a second of something."""
    if path.suffix == ".wav":
        soundfile.write(path, 0.3 * np.sin(np.arange(4_000) * 0.3), 8_000)
    else:
        write_midi(path, [(0.0, 0.4, 60, 80)])
