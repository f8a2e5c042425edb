"""Models that come with the project: found by name, listed, and taken where a run is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

import wavenet_pl
from tests.runs.made import write_run
from wavenet_pl import cli
from wavenet_pl.adaptation.base import load_base
from wavenet_pl.errors import UserError
from wavenet_pl.runs import released

FACTS = {
    "what": "A voice.", "data": "An hour of it", "licence": "CC BY 4.0", "scores": {"STOI": "0.91 (0.90 to 0.92)"}
}  # fmt: skip


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "models"
    run = write_run(tmp_path / "run")
    assert cli.main(["export", str(run.path), "--out", str(folder / "voice"), "--half"]) == 0
    (folder / "voice" / "released.json").write_text(json.dumps(FACTS))
    monkeypatch.setattr(released, "models_folder", lambda: folder)
    return folder


def test_a_name_means_the_export_and_any_other_path_itself(models: Path) -> None:
    codes = torch.randint(256, (1, 50))
    by_name, by_path = (wavenet_pl.load(each) for each in ("pretrained:voice", models / "voice"))
    assert torch.equal(by_name(codes)[0], by_path(codes)[0])
    assert released.find_model(models) == models


def test_a_wrong_name_is_refused_with_those_that_there_are(models: Path) -> None:
    message = "pretrained:voise is no released model, expected one of pretrained:voice; did you mean voice?"
    with pytest.raises(UserError, match=re.escape(message)):
        wavenet_pl.load("pretrained:voise")
    with pytest.raises(UserError, match="voise is not there, .*; the nearest are pretrained:voice"):
        wavenet_pl.load("voise")
    with pytest.raises(UserError, match="pretrained:voice has no speaker table"):
        load_base("pretrained:voice")


def test_they_are_listed_for_people_and_for_programs(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["models"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("pretrained:voice  A voice. (0.")
    assert "CC BY 4.0" in out and "0.91 (0.90 to 0.92)" in out and str(models / "voice" / "README.md") in out
    assert cli.main(["models", "--json"]) == 0
    [facts] = json.loads(capsys.readouterr().out)
    assert facts == {**FACTS, "name": "voice", "path": str(models / "voice")}


def test_none_is_said_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(released, "models_folder", lambda: tmp_path)
    assert cli.main(["models"]) == 0
    assert capsys.readouterr().out == "no trained model comes with this version\n"


@pytest.mark.parametrize("text", ["{", "[]", '{"what": "x"}', '{"unknown": 1}'])
def test_damaged_facts_are_one_message(models: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    (models / "voice" / "released.json").write_text(text)
    assert cli.main(["models"]) == 2
    assert "released.json cannot be used" in capsys.readouterr().err


def test_clips_come_from_a_released_model_as_from_a_run(models: Path, tmp_path: Path) -> None:
    out = tmp_path / "clips"
    assert cli.main(["generate", "pretrained:voice", "--out", str(out), "--seconds", "0.05"]) == 0
    assert list(out.glob("*.wav"))
