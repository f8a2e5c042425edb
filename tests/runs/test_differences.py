"""Which run of the same name is near, among those that can be looked at."""

from __future__ import annotations

from pathlib import Path

from tests.small import small_config
from wavenet_pl.runs.differences import describe_nearest
from wavenet_pl.runs.folder import RunFolder, run_folder


def test_a_run_that_cannot_be_looked_at_is_not_near(tmp_path: Path) -> None:
    config = small_config("x")
    theirs = RunFolder(tmp_path / f"{config.name}-000000")
    theirs.path.mkdir()
    theirs.checkpoints.symlink_to("checkpoints")
    assert describe_nearest(run_folder(config, "f" * 64, tmp_path), config) is None
