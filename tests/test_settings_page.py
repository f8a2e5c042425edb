"""The page of settings is that of the dataclasses."""

from __future__ import annotations

from scripts import write_settings
from wavenet_pl.config.tree import Config


def test_it_is_as_it_would_be_written_now() -> None:
    assert write_settings.PAGE.read_text() == write_settings.page(), "run `python -m scripts.write_settings`"


def test_every_setting_is_there_with_its_default() -> None:
    page = write_settings.page()
    assert f"| `optim.lr` | `{Config().optim.lr}` | number |" in page
    assert "| `train.hang_after` | `1800.0` | HH:MM:SS, a number of seconds or null |" in page
    assert "| `model.kind` | `unconditional` | unconditional, speaker, music |" in page
