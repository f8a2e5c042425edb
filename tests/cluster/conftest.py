"""A folder to submit from, on a machine without SLURM."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.shards.made import write_shard_set


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small shard set."""
    folder = tmp_path_factory.mktemp("cluster") / "data"
    write_shard_set(folder)
    return folder


@pytest.fixture
def here(shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a shard set in data."""
    shutil.copytree(shards, tmp_path / "here/data")
    (tmp_path / "no programs").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("PATH", str(tmp_path / "no programs"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path / "here"
