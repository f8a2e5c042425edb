"""A dry run refuses what the training would refuse."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.shards.made import write_shard_set
from tests.small import SETTINGS
from wavenet_pl import cli


@pytest.mark.parametrize("dry", [["--dry-run"], []])
def test_a_batch_that_the_ranks_cannot_divide_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], dry: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shards = write_shard_set(tmp_path / "set")
    settings = ("trainer.max_steps=5", "trainer.devices=3", "data.batch_size=8")
    assert cli.main(["train", f"data.path={shards}", *SETTINGS, *settings, *dry]) == 2
    assert "data.batch_size is 8, expected a multiple of 3" in capsys.readouterr().err
