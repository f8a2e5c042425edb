"""What version 0.1.0 wrote, which knew two tables by other names: read as ever, under the fingerprints that it had.

Runs are named after the fingerprint of their data, and deltas after the hash of their base: both were taken of texts
that are made here again, wherever they can say what is to be said.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TABLES = {"speaker": "speakers", "tags": "tags"}
"""Table -> what it was called."""
INDEX_NAME = "index.json"
"""As was also the name of the next format."""
INDEX_FORMAT = 2
LABELS = (*TABLES.values(), "features")
"""What labels consisted of."""


def renamed(labels: Mapping[str, Any]) -> Mapping[str, Any]:
    """Labels of that version under today's names; others as they are."""
    if set(labels) != set(LABELS):
        return labels
    return {"tables": {table: labels[old] for table, old in TABLES.items()}, "frames": labels["features"]}


def labels_of(tables: Mapping[str, Any], frames: Mapping[str, Any]) -> dict[str, Any] | None:
    """Labels as that version wrote them; None where it could not."""
    if not set(tables) <= set(TABLES):
        return None
    old: dict[str, Any] = {name: list(tables.get(table, ())) for table, name in TABLES.items()}
    return {**old, "features": {name: dict(frames[name]) for name in sorted(frames)}}


def read_row(row: list[Any]) -> list[Any]:
    """A recording of an index: speaker and tags become rows of tables."""
    key, frames, speaker, tags, members = row
    if isinstance(speaker, bool) or not isinstance(speaker, int) or speaker < -1:
        raise ValueError(f"speaker of {key!r:.80} is {speaker!r:.80}")
    return [key, frames, {"speaker": [] if speaker == -1 else [speaker], "tags": tags}, members]


def can_say(rows: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether that version had words for the rows of a recording: one speaker at most."""
    return len(rows.get("speaker", ())) <= 1


def write_row(key: str, frames: int, rows: Mapping[str, tuple[int, ...]], members: Any) -> list[Any]:
    """The same as that version wrote it."""
    speaker = rows.get("speaker", ())
    return [key, frames, speaker[0] if speaker else -1, rows.get("tags", ()), members]
