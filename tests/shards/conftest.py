"""A shard set that the tests of the data share. Whoever damages one writes their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.shards.made import write_shard_set


@pytest.fixture(scope="session")
def shard_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight recordings to train on in two shards, two for validation, one to test; two speakers, two tags."""
    return write_shard_set(tmp_path_factory.mktemp("shards") / "set", test=1, tags=("read", "sung"))
