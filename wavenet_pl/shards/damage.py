"""What can be wrong with a recording, in one vocabulary for `index` and for training, and what to do about it."""

from __future__ import annotations

from typing import NamedTuple

from wavenet_pl.audio.formats import AUDIO_EXTENSIONS
from wavenet_pl.files.redaction import redact

_COPY = "copy the shard again, or write it anew"
_OLDER = "copy its shard again; if that is meant, delete index.safetensors and run `wavenet-pl index`"
_PREPARE = "`wavenet-pl prepare shards` does"

REMEDIES = {
    "missing shard": _OLDER,
    "unreadable shard": "see that it is there and may be read",
    "empty shard": "copy the shard again, or remove it",
    "cut shard": _COPY,
    "broken header": _COPY,
    "cut member": _COPY,
    "hidden": "write the shard anew as one archive",
    "moved": "run `wavenet-pl index` again: the shard was damaged, or written anew",
    "changed": _OLDER,
    "shorter": _OLDER,
    "missing": _OLDER,
    "half": _COPY,
    "interleaved": "write the shard anew with all members of a recording in a row",
    "dotted key": "rename it: a key ends at its first dot, so recordings would merge",
    "bad key": "rename it with letters, digits, _ and -",
    "duplicate": "rename one of the two",
    "no audio": f"add its .{AUDIO_EXTENSIONS[0]} or other audio, or remove the rest of it",
    "no JSON": "add its .json, or remove it",
    "broken JSON": "replace its .json",
    "no name": "add the name to its .json, or remove it",
    "metadata": "correct its .json",
    "audio": "replace or remove it",
    "cut audio": "copy it again from its source",
    "not finite": "replace or remove it",
    "channels": f"mix it to mono: {_PREPARE}",
    "sample rate": f"resample it: {_PREPARE}",
    "too long": f"cut it into parts: {_PREPARE}",
    "bad features": _OLDER,
    "link": "write the shard anew with plain files only (tar --dereference)",
    "outside": "write the shard anew with paths below one folder",
}
"""Every kind of damage, and what to do about it."""
PREPARED = {
    *(kind for kind, remedy in REMEDIES.items() if remedy.endswith(_PREPARE)),
    *("interleaved", "dotted key", "bad key", "no JSON"),
}
"""The kinds that `wavenet-pl prepare shards` mends, as it writes shards anew."""


class Damage(NamedTuple):
    """Something that is wrong with a shard set. (No dataclass: Lightning takes no frozen ones in a batch.)"""

    shard: str
    key: str
    """Of the recording that is lost; empty where nobody can tell."""
    kind: str
    """Key of `REMEDIES`."""
    found: str

    def __str__(self) -> str:
        return f"{self.key or 'something'} in {self.shard} {self.found}; {REMEDIES[self.kind]}"


def unreadable(error: OSError) -> tuple[str, str]:
    """Kind and finding where a shard cannot be read."""
    kind = "missing shard" if isinstance(error, FileNotFoundError) else "unreadable shard"
    location = f": {error.filename}" if error.filename else ""
    # A URL may have a password in it, and what was found is written down.
    return kind, f"cannot be read ({redact(f'{error.strerror or error}{location}')})"
