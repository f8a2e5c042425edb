"""docs/extending.md as a test: its changes are made in a copy of the project, and its commands run there."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.shards.made import SAMPLE_RATE, make_audio
from tests.small import SETTINGS

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.cold("it imports a changed copy of the packages")
PAGE = (ROOT / "docs/extending.md").read_text()
COPIED = ("wavenet_pl", "data_prep", "configs", "slurm", "pyproject.toml")
SPEAKERS, ACCENTS, FRAMES, HOP = ("anna", "ben"), ("scots", "irish"), 3_000, 160
MORE = {
    "prepare": ["--sample-rate", str(SAMPLE_RATE), "--val-fraction", "0.3", "--test-fraction", "0", "--jobs", "1"],
    "train": [*SETTINGS, "trainer.max_steps=2", "trainer.enable_progress_bar=false"],
    "generate": ["--engine", "reference", "--seconds", "0.05"],
}  # fmt: skip
"""What makes a command of the page take seconds."""


def blocks(language: str, title: str) -> list[str]:
    """The code blocks of a language in the section of this title."""
    section = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert section is not None, title
    return re.findall(rf"^```{language}\n(.*?)^```$", section[1], flags=re.MULTILINE | re.DOTALL)


OWN, KIND = "An input of your own, without code", "A kind of input, in code"


def copy_project(folder: Path) -> Path:
    """All of the project that its commands need, before anyone has done what the page says."""
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "demo"))
        else:
            shutil.copy(ROOT / name, folder / name)
    (folder / "wavenet_pl/inputs/level.py").unlink(missing_ok=True)
    known = folder / "wavenet_pl/inputs/known.py"
    lines = known.read_text().splitlines(keepends=True)
    known.write_text("".join(line for line in lines if "Level" not in line))
    return folder


def apply_page(folder: Path) -> list[str]:
    """Write the new files of the page and make its changes; returns what it names."""
    named = []
    for block in blocks("python", KIND):
        first, _, content = block.partition("\n")
        path = folder / first.removeprefix("# ")
        assert first.startswith("# ") and not path.exists(), first
        path.write_text(content)
        named.append(first.removeprefix("# "))
    for block in blocks("diff", KIND):
        name = re.findall(r"^\+\+\+ b/(.*)$", block, flags=re.MULTILINE)[0]
        text = (folder / name).read_text()
        for hunk in block.split("@@\n")[1:]:
            lines = hunk.splitlines(keepends=True)
            before = "".join(line[1:] for line in lines if line[0] != "+")
            after = "".join(line[1:] for line in lines if line[0] != "-")
            assert text.count(before) == 1, f"{name} has no such lines, or several times:\n{before}"
            text = text.replace(before, after)
        (folder / name).write_text(text)
        named.append(name)
    return named


def changed(before: Path, after: Path) -> list[str]:
    """Files of a copy that differ from an earlier one, new ones included."""
    files = [path.relative_to(after).as_posix() for path in after.rglob("*") if path.is_file()]
    return [name for name in files if not _same(before / name, after / name)]


def _same(one: Path, other: Path) -> bool:
    return one.exists() and one.read_bytes() == other.read_bytes()


def make_recordings(folder: Path) -> None:
    """A corpus with an accent and a pitch for each recording, and one recording of its own at hand."""
    rows = ["file,speaker,accent"]
    (folder / "recordings").mkdir(parents=True)
    for number in range(6):
        audio, speaker = make_audio(FRAMES, seed=number), SPEAKERS[number % 2]
        name = f"{speaker}-{number}"
        soundfile.write(folder / f"recordings/{name}.wav", audio, SAMPLE_RATE, subtype="PCM_16")
        pitch = np.linspace(100, 200, -(-FRAMES // HOP), dtype=np.float32)[:, None]
        np.save(folder / f"recordings/{name}.f0.npy", pitch)
        rows.append(f"{name}.wav,{speaker},{ACCENTS[number % 2]}")
    (folder / "recordings/metadata.csv").write_text("\n".join(rows) + "\n")
    shutil.copy(folder / "recordings/anna-0.wav", folder / "one.wav")
    shutil.copy(folder / "recordings/anna-0.f0.npy", folder / "one.f0.npy")


def run_page(title: str, project: Path, folder: Path) -> None:
    """Type the commands of a section in a folder with recordings, with the project that lies there."""
    make_recordings(folder)
    environment = {**os.environ, "PYTHONPATH": str(project), "OMP_NUM_THREADS": "1"}
    [commands] = blocks("sh", title)
    for command in commands.splitlines():
        words = shlex.split(command, comments=True)
        assert words.pop(0) == "wavenet-pl"
        run = next((folder / "runs").glob("*"), folder) if (folder / "runs").exists() else folder
        known = {"/path/to/recordings": "recordings", "runs/speaker-1a2b3c": str(run)}
        arguments = [known.get(word, word) for word in words] + MORE[words[0]]
        done = subprocess.run(
            [sys.executable, "-m", "wavenet_pl", *arguments],
            cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=240,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stderr[-3000:]}"


def clips(folder: Path) -> list[Path]:
    """What the last command of the page made."""
    return [path for path in (folder / "clips").glob("*.wav") if soundfile.info(path).frames == 400]


def test_a_new_kind_of_input_changes_the_files_that_the_page_names(tmp_path: Path) -> None:
    before, after = copy_project(tmp_path / "before"), copy_project(tmp_path / "after")
    named = apply_page(after)
    new = [name for name in named if not (before / name).exists()]
    assert sorted(changed(before, after)) == sorted(named)
    assert len(new) == 1
    assert len(named) <= 3, f"more than two files have to change for {new[0]}: {named}"


@pytest.mark.slow
def test_a_new_kind_of_input_is_prepared_trained_and_generated_with(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    apply_page(project)
    run_page(KIND, project, tmp_path / "work")
    program = (
        "import sys, wavenet_pl, numpy as np\n"
        "model = wavenet_pl.load(sys.argv[1])\n"
        "[level] = model.inputs\n"
        "sine = np.sin(np.arange(80) * np.pi / 4).astype(np.float32)\n"
        "print(wavenet_pl.__file__, level.hop_length)\n"
        "print(*(level.of_audio(sine * factor)[0, 0] for factor in (2**0.5, 0.01, 0)))\n"
    )
    [run] = (tmp_path / "work/runs").iterdir()
    done = subprocess.run(
        [sys.executable, "-c", program, str(run)], env={**os.environ, "PYTHONPATH": str(project)}, cwd=tmp_path,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    where, hop, loudest, quiet, silent = done.stdout.split()
    assert Path(where).is_relative_to(project), "it is the copy that was run"
    assert int(hop) == 80
    assert float(loudest) == pytest.approx(1, abs=1e-3), "as much power as a square wave of full scale"
    assert float(quiet) == pytest.approx(1 - 43.01 / 80, abs=1e-3), "40 dB less, and 3 for a sine"
    assert float(silent) == 0
    assert len(clips(tmp_path / "work")) == 1


@pytest.mark.slow
def test_inputs_of_ones_own_need_no_code(tmp_path: Path) -> None:
    run_page(OWN, ROOT, tmp_path)
    assert len(clips(tmp_path)) == 1
