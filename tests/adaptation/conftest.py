"""Shards of the voices that a base knows, and of one that it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.adaptation.voices import write_base_set, write_new_set


@pytest.fixture(scope="module")
def base_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base_set(tmp_path_factory.mktemp("base") / "set")


@pytest.fixture(scope="module")
def new_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_new_set(tmp_path_factory.mktemp("new") / "set")
