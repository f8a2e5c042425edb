"""The pictures in docs/models say what the modules do today."""

from __future__ import annotations

from html import unescape
from pathlib import Path

import pytest

from scripts import draw_models


@pytest.mark.parametrize("name", draw_models.MODELS)
def test_a_picture_shows_every_stage_of_the_module(name: str, tmp_path: Path) -> None:
    found = draw_models.trace(draw_models.build(name))
    texts, _ = draw_models.network_row(found)
    texts += [stage.text for stages in found.told.values() for stage in stages]
    picture = unescape((draw_models.FOLDER / f"{name}.svg").read_text())
    missing = [line for text in texts for line in text.split("\n") if f">{line}<" not in picture]
    assert not missing, f"run `python scripts/draw_models.py`: {missing} are not in {name}.svg"
    draw_models.draw(found, "again", tmp_path / "again.svg")
    lines = (picture.count("<text"), unescape((tmp_path / "again.svg").read_text()).count("<text"))
    assert lines[0] == lines[1]


@pytest.mark.parametrize("name", draw_models.MODELS)
def test_the_condition_enters_every_layer_and_nothing_else(name: str) -> None:
    module = draw_models.build(name)
    entered = draw_models.trace(module).entered
    layers = [f"layers.{number}" for number in range(len(module.network.layers))]
    assert list(entered) == ([] if module.conditioner is None else layers)
    gate = module.config.model.network.gate_channels
    assert all(size[0] == gate for size in entered.values())


def test_a_layer_that_does_not_use_the_condition_is_seen() -> None:
    module = draw_models.build("speaker")
    module.network.layers[3].condition = None
    entered = draw_models.trace(module).entered
    assert "layers.3" not in entered and "layers.4" in entered
