"""What an index says of a recording, and of a shard of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wavenet_pl.audio.formats import AUDIO_EXTENSIONS
from wavenet_pl.shards.format import Span


@dataclass(frozen=True)
class Recording:
    """One entry of a shard."""

    key: str
    frames: int
    """Length in samples."""
    rows: Mapping[str, tuple[int, ...]]
    """Table -> rows that apply; without those that have none."""
    members: dict[str, Span]
    """Extension -> span of the member's content within the shard."""

    @property
    def audio(self) -> tuple[str, Span]:
        """Extension and span of the audio member."""
        return next((name, self.members[name]) for name in AUDIO_EXTENSIONS if name in self.members)


@dataclass(frozen=True)
class Shard:
    """One tar file of recordings."""

    name: str
    """Path below the set's folder, such as `train/shard-000000.tar`."""
    bytes: int
    sha256: str
    recordings: Sequence[Recording]
    """In the order of the file. Of a set that is large they are made when they are looked at."""
