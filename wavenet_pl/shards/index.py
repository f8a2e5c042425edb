"""The index of a shard set: every recording with its span in a shard, so that any of them is one range read away."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from wavenet_pl.errors import BadDataError, UserError
from wavenet_pl.files.durable import replacing
from wavenet_pl.files.redaction import redact
from wavenet_pl.shards import legacy
from wavenet_pl.shards.checks import build_columns
from wavenet_pl.shards.column_file import Changed, columns_of, in_memory, read_columns, write_columns
from wavenet_pl.shards.columns import Columns, Numbers
from wavenet_pl.shards.labels import Labels
from wavenet_pl.shards.recording import Shard
from wavenet_pl.shards.storage import Storage
from wavenet_pl.shards.text import Head, fingerprint_of, read_text, short

INDEX_NAME = "index.safetensors"
SPLITS = ("train", "val", "test")
FORMAT = 4
_MAX_BYTES = 2**34
"""Of an index: two hundred million recordings."""
_MAX_TEXT_BYTES = 2**31
"""Of one that is JSON: ten million."""
_MANY = 100_000
"""Recordings. To read as many as JSON takes seconds, in every process."""
_HEX = re.compile(r"[0-9a-f]{64}")
_NO_INDEX = (
    *(ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError),
    BadDataError,
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Index:
    """What a shard set holds."""

    sample_rate: int
    splits: Mapping[str, Sequence[Shard]]
    labels: Labels = field(default_factory=Labels)
    """What the rows of tables stand for, and how the frames were made that every recording has."""
    base: str | None = field(default=None, compare=False)
    """Folder or URL of the shards, where they are not beside the index."""

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over all that the index says (64 hex digits), but not over where the shards lie.

        A set keeps it, whatever its index is written as. An index that was loaded says it itself.
        """
        return fingerprint_of(self.sample_rate, self.labels, self.splits)

    def columns(self, split: str) -> Columns:
        """The recordings of a split; none where there is no such split."""
        return columns_of(self.splits.get(split, ()))

    def seconds(self, split: str) -> float:
        """Length of a split in seconds."""
        return int(self.columns(split).frames.sum(dtype="uint64")) / self.sample_rate


def save_index(index: Index, folder: str | os.PathLike[str]) -> Path:
    """Write the index beside its shards: the same bytes for the same set, and never half of it.

    One shard after another is looked at, so that one at a time has to be in memory. One that an earlier version wrote
    there goes.
    """
    path = Path(folder) / INDEX_NAME
    facts = {
        "format": str(FORMAT),
        "sample_rate": str(index.sample_rate),
        "labels": json.dumps(index.labels.to_plain()),
        "fingerprint": index.fingerprint,
        **({} if index.base is None else {"base": index.base}),
    }
    with replacing(path) as file:
        write_columns(file, facts, index.splits)
    path.with_name(legacy.INDEX_NAME).unlink(missing_ok=True)
    return path


def index_name(storage: Storage) -> str | None:
    """The name of the index that counts in a set; None where there is none.

    Raises:
        UserError: nobody can tell.
    """
    try:
        return next((name for name in (INDEX_NAME, legacy.INDEX_NAME) if storage.exists(name)), None)
    except OSError as error:
        raise _unreadable(storage.path(INDEX_NAME), error) from None


def _unreadable(path: str, error: OSError) -> UserError:
    return UserError(
        f"{path} cannot be read ({error.strerror or error}), expected the index of a shard set; "
        "write one with `wavenet-pl prepare`, or with `wavenet-pl index` for shards made elsewhere"
    )


def load_index(location: str | os.PathLike[str]) -> Index:
    """Read and check the index of a shard set.

    Args:
        location: folder or URL of the set.

    Raises:
        UserError: there is none, it was changed or damaged, or it points outside its shards.
    """
    storage = Storage(os.fspath(location))
    name = index_name(storage) or INDEX_NAME
    path = storage.path(name)
    try:
        file = storage.open(name, _MAX_BYTES if name == INDEX_NAME else _MAX_TEXT_BYTES)
    except OSError as error:
        raise _unreadable(path, error) from None
    try:
        with file:
            index = _from_columns(file) if name == INDEX_NAME else _from_text(file.read(), path)
    except Changed as error:
        raise UserError(f"{path} was changed: {error}; run `wavenet-pl index` again") from None
    except _NO_INDEX as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise UserError(
            f"{path} is no index that can be used: {reason}; run `wavenet-pl index` again"
        ) from None
    if name == INDEX_NAME:
        _say_if_another(storage, index.fingerprint)
    return index


def shard_storage(index: Index, location: str | os.PathLike[str]) -> Storage:
    """Where the shards of an index lie that was loaded from `location`."""
    return Storage(index.base or os.fspath(location))


def _from_columns(file: BinaryIO) -> Index:
    facts, arrays = read_columns(file)
    if facts.get("format") != str(FORMAT):
        raise ValueError(f"its format is {short(facts.get('format'))}, expected {FORMAT}")
    head = Head.read(
        json.loads(facts["sample_rate"]), json.loads(facts["labels"]), facts.get("base"), facts["fingerprint"]
    )
    if not _HEX.fullmatch(head.fingerprint):
        raise ValueError(f"its fingerprint is {short(head.fingerprint)}")
    index = _build(head, arrays)
    # To take it of a text again would take longer than all the rest.
    vars(index)["fingerprint"] = head.fingerprint
    return index


def _from_text(text: bytes, path: str) -> Index:
    head, shards = read_text(text)
    index = _build(head, {split: columns.arrays for split, columns in in_memory(shards).items()})
    if head.fingerprint != index.fingerprint:
        raise Changed(f"its fingerprint says {short(head.fingerprint)}, its content has {index.fingerprint}")
    number = sum(index.columns(split).num_recordings for split in index.splits)
    if number > _MANY:
        _log.warning(
            redact(
                f"{path} lists {number} recordings as text, which takes time and memory in every process; "
                f"`wavenet-pl index` writes {INDEX_NAME}, which does not, and runs go on with it"
            )
        )
    return index


def _build(head: Head, arrays: Mapping[str, Mapping[str, Numbers]]) -> Index:
    if odd := sorted(arrays.keys() - set(SPLITS)):
        raise ValueError(f"it has a split {short(odd[0])}, expected {', '.join(SPLITS)}")
    splits: dict[str, Any] = {
        split: build_columns(split, columns, head.labels, head.sample_rate)
        for split, columns in arrays.items()
    }
    return Index(sample_rate=head.sample_rate, splits=splits, labels=head.labels, base=head.base)


def _say_if_another(storage: Storage, fingerprint: str) -> None:
    """Warn of an index of an earlier version that lies beside today's and is of another set."""
    try:
        beginning = storage.read_range(legacy.INDEX_NAME, 0, 2**16)
    except OSError:
        return
    match = re.search(rb'"fingerprint": "([0-9a-f]{64})"', beginning)
    if match and match[1].decode() != fingerprint:
        _log.warning(
            redact(
                f"{storage.path(legacy.INDEX_NAME)} is not of the same recordings as {INDEX_NAME} beside it, which "
                "counts; remove one of the two"
            )
        )
