"""Runs, exports and a delta of an earlier version: they load, generate what they did, and go on as they would have."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import wavenet_pl
from tests.processes import start
from wavenet_pl.config.tree import load_config
from wavenet_pl.generation.choice import Choice
from wavenet_pl.generation.draw import Draw
from wavenet_pl.runs.folder import run_folder
from wavenet_pl.shards.index import load_index
from wavenet_pl.tracking.rows import read_metrics

STORED = Path(__file__).resolve().parents[1] / "stored"
FACTS: dict[str, Any] = json.loads((STORED / "facts.json").read_text())
KINDS = ("unconditional", "speaker", "music", "vocoder")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy, in which the paths that they name are right."""
    shutil.copytree(STORED, tmp_path / "stored")
    monkeypatch.chdir(tmp_path / "stored")
    return tmp_path / "stored"


def told(kind: str) -> dict[str, Any]:
    return {
        "unconditional": {},
        "speaker": {"speaker": "ben"},
        "music": {"tags": ("fast",), "notes": np.load(STORED / "notes.npy")},
        "vocoder": {"speaker": "anna", "mel": np.load(STORED / "mel.npy")},
        "delta": {"speaker": "dora"},
    }[kind]


def codes(path: Path, kind: str) -> list[int]:
    model = wavenet_pl.load(path)
    clip = wavenet_pl.ClipRequest(seconds=100 / model.sample_rate, **told(kind))
    [audio] = model.generate_each([clip], Draw(seed=3), Choice(engine="reference"))
    found: list[int] = model.encode(audio).tolist()
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_and_its_export_generate_the_codes_that_they_did(here: Path, kind: str) -> None:
    assert codes(here / "runs" / FACTS[kind]["run"], kind) == FACTS[kind]["codes"]
    assert codes(here / "exports" / kind, kind) == FACTS[kind]["codes"]


def test_a_delta_generates_the_codes_that_it_did(here: Path) -> None:
    assert codes(here / "delta", "delta") == FACTS["delta"]["codes"]


@pytest.mark.slow
@pytest.mark.cold("what is imported")
def test_loading_does_not_wait_for_torchs_compiler(here: Path) -> None:
    """Which takes more than all the rest."""
    program = (
        "import sys, wavenet_pl\n"
        f"model = wavenet_pl.load({FACTS['speaker']['run']!r})\n"
        "assert not any(parameter.is_meta for parameter in model.parameters())\n"
        "assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], cwd=here / "runs", check=True)


def test_a_set_keeps_its_fingerprint(here: Path) -> None:
    assert load_index(here / "set").fingerprint == FACTS["fingerprint"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_arguments_find_the_same_run(here: Path, kind: str) -> None:
    """Its name is a signature of its settings: a setting that came later, at its default, renames no run."""
    config = load_config(overrides=[*FACTS[kind]["arguments"], "trainer.max_steps=4"])
    assert run_folder(config, FACTS["fingerprint"], "runs").name == FACTS[kind]["run"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_goes_on_as_it_would_have(here: Path, kind: str) -> None:
    """Within 1e-5: another processor adds up in another order."""
    process = start(here / "set", here, "--runs", "runs", *FACTS[kind]["arguments"], "trainer.max_steps=4")
    _, err = process.communicate(timeout=240)
    assert process.returncode == 0, err[-2000:]
    rows = read_metrics(here / "runs" / FACTS[kind]["run"] / "metrics.jsonl")
    losses = {str(row["step"]): row["train/loss"] for row in rows if "train/loss" in row}
    bits = {str(row["step"]): row["val/bits"] for row in rows if "val/bits" in row}
    assert losses == pytest.approx(FACTS[kind]["losses"], rel=1e-5)
    assert bits == pytest.approx(FACTS[kind]["bits"], rel=1e-5)
