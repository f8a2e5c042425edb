"""The shard set that tests of shards and of the data share."""

from __future__ import annotations

from tests.shards.conftest import shard_set

__all__ = ["shard_set"]
