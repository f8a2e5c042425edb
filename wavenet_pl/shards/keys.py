"""Keys of the parts that a long source is cut into: how they are made of the source's key, and that of them."""

from __future__ import annotations

import re

_PART = re.compile(r"--\d+$")


def part_key(key: str, part: int, parts: int) -> str:
    """The key of one part of a source; no source has a key that ends so."""
    return key if parts == 1 else f"{key}--{part:03d}"


def source_key(key: str) -> str:
    """The key of the source that a recording is, or is a part of: parts are as alike as samples of one recording."""
    return _PART.sub("", key)
