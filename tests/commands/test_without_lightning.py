"""What needs no trainer works where there is none: clips, numbers and exports of a finished run, without Lightning."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import wavenet_pl
from tests.audio.test_midi import some_notes, write_midi
from tests.small import only_clip
from wavenet_pl.runs.weights import WEIGHTS_NAME

pytestmark = pytest.mark.cold("what is imported")
ROOT = Path(__file__).resolve().parents[2]
STORED = ROOT / "tests/stored"
CONDITIONS = {
    "unconditional-d4c7da": [],
    "speaker-affaaa": ["--speaker", "ben"],
    "music-81b6e3": ["--tags", "fast", "--notes", "score.mid"],
    "vocoder-c6a3b6": ["--speaker", "anna", "--mel", "mel.npy"],
}
"""Run -> the condition of its clips."""
REFUSAL = """
import json, sys

class Refusal:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("lightning", "lightning_fabric", "pytorch_lightning"):
            raise ImportError(f"{name} is not installed")

sys.meta_path.insert(0, Refusal())
"""
COMMANDS = """
from wavenet_pl.cli import main

for arguments in json.loads(sys.argv[1]):
    if code := main(arguments):
        sys.exit(code)
"""
CLIP = """
import wavenet_pl

model = wavenet_pl.load(sys.argv[1])
print(*model.generate(0.01, speaker="ben")[0].tolist())
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A copy of stored runs and their set, where the paths that they name are right."""
    shutil.copytree(STORED, tmp_path / "stored")
    write_midi(tmp_path / "stored/score.mid", some_notes(5))
    return tmp_path / "stored"


def run(folder: Path, program: str, argument: str, code: int = 0) -> tuple[str, str]:
    """A program in a process that has no Lightning; returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", REFUSAL + program, argument], cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}, timeout=240,
    )  # fmt: skip
    assert done.returncode == code, done.stderr[-3000:]
    return done.stdout, done.stderr


@pytest.mark.slow
def test_such_a_process_can_train_nothing(tmp_path: Path) -> None:
    command = ["train", f"data.path={STORED}/set", "trainer.max_steps=1", "--runs", str(tmp_path)]
    _, err = run(tmp_path, COMMANDS, json.dumps([command]), code=1)
    assert "lightning is not installed" in err.replace("lightning.pytorch", "lightning")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if len(condition) > 2 else pytest.mark.soak)
        for name, condition in CONDITIONS.items()
    ],
)
def test_generate_evaluate_and_export(here: Path, name: str) -> None:
    path, clip = f"runs/{name}", ["--seconds", "0.05", *CONDITIONS[name]]
    commands = [
        ["generate", path, "--out", "clips", *clip],
        ["evaluate", path, "--predictions", "0", "--count", "1", "--seconds", "0.05", "--out", "page"],
        ["export", path, "--out", "export"],
        ["generate", "export", "--out", "again", *clip],
    ]
    out, _ = run(here, COMMANDS, json.dumps(commands))
    assert "clips        1" in out and "<h1>" in (here / "page/report.html").read_text()
    assert (here / "export" / WEIGHTS_NAME).is_file()
    made, rate = soundfile.read(only_clip(here / "clips"))
    assert len(made) == round(0.05 * rate)
    assert np.array_equal(soundfile.read(only_clip(here / "again"))[0], made)


@pytest.mark.slow
def test_a_model_is_loaded_and_heard(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same that a process with Lightning hears."""
    out, _ = run(here, CLIP, "runs/speaker-affaaa")
    monkeypatch.chdir(here)
    clip = wavenet_pl.load("runs/speaker-affaaa").generate(0.01, speaker="ben")
    assert np.array_equal(np.array(out.split(), np.float32), clip[0])
