"""A source: one file of a corpus, or one sound to be made, with what is known about it before it is read."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np

from data_prep.sines import RandomSines, Sines
from wavenet_pl.files.foreign import open_file
from wavenet_pl.files.temporary import temporary_copy
from wavenet_pl.numbers.counter import stream_key
from wavenet_pl.shards.format import LONGEST_NAME
from wavenet_pl.shards.keys import part_key, source_key
from wavenet_pl.shards.lazily import Lazily, picked

_LONGEST_KEY = 80
_BLOCK = 2**20
_SIMPLE = re.compile(r"\w([\w-]*\w)?(/\w([\w-]*\w)?)*", re.ASCII)
"""A path that is a key as it is: most are, and making them simple takes longest of all that is planned."""


@dataclass(frozen=True, kw_only=True, slots=True)
class File:
    """A file of a corpus, which may be a member of a shard."""

    name: str
    """Path below the corpus."""
    size: int | None
    """Bytes; None for what is no file."""
    path: str = field(default="", compare=False)
    """Where it lies on this machine; part of nothing that is written."""
    offset: int | None = None
    """First byte of it within the shard at `path`; None where `path` is the file itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """What becomes one recording, or several parts of one."""

    name: str
    """Path below the corpus with `/` between parts: who the source is, wherever the corpus lies."""
    key: str = ""
    """Name in the shard; see `with_keys`."""
    speaker: str | None = None
    text: str | None = None
    tags: tuple[str, ...] = ()
    midi: str | None = None
    """File with the notes, as a path below the corpus: the column of metadata.csv, or what was found."""
    tables: dict[str, str] = field(default_factory=dict)
    """Table of the user's own -> the name that applies."""
    split: str | None = None
    """Split that the corpus asks for."""
    facts: dict[str, str] = field(default_factory=dict)
    """More that goes into the JSON of the recording, such as a licence."""
    stretch: tuple[int, int] | None = None
    """(first sample, last + 1) of what is taken, at the set's rate; None takes the whole."""
    sha256: str | None = None
    """Of the file's content, where the corpus has read it already."""
    size: int | None = None
    """Bytes of the file; None where metadata.csv names a file that is not there, and for what is made."""
    path: str = field(default="", compare=False)
    """Where the file lies on this machine; part of nothing that is written."""
    offset: int | None = None
    """First byte of the file within the shard at `path`; None where `path` is the file itself."""
    problem: str = ""
    """Why it cannot be read, where the corpus knows that already."""
    group: str = ""
    """Sources of one group, such as the parts of a recording, stay in one split."""
    files: dict[str, File] = field(default_factory=dict)
    """Frames that were asked for -> the file beside this one that they are made from, where there is one."""
    made: Sines | RandomSines | None = None
    """How to make the sound, where there is no file."""

    @property
    def order(self) -> str:
        """Sources stand in the order of this hash: mixed, and the same on every machine."""
        return hashlib.sha256(self.name.encode()).hexdigest()

    @property
    def exists(self) -> bool:
        """Whether there is something to read."""
        return self.size is not None or self.made is not None

    def describe(self) -> list[object]:
        """All that the shards depend on, as JSON: for the plan's fingerprint."""
        made = self.made and self.made.describe()
        facts = dict(sorted(self.facts.items()))
        return [
            self.name,
            self.key,
            self.speaker,
            self.text,
            list(self.tags),
            self.midi,
            self.split,
            facts,
            self.size,
            made,
            *(file.size for _, file in sorted(self.files.items())),
            *([] if self.stretch is None else [list(self.stretch)]),
            *([] if self.sha256 is None else [self.sha256]),
            *([dict(sorted(self.tables.items()))] if self.tables else []),
            *([self.offset] if self.offset is not None else []),
        ]


@contextmanager
def readable(file: Source | File) -> Iterator[str]:
    """A path to what a file holds: its own, or that of a copy of a shard's member, which ends with the block.

    Raises:
        OSError: the shard cannot be read.
        UserError: the copy cannot be written.
    """
    if file.offset is None or file.size is None:
        yield file.path
        return
    with temporary_copy(_member(file.path, file.offset, file.size), os.path.splitext(file.name)[1]) as copy:
        yield copy.name


def _member(shard: str, offset: int, size: int) -> Iterator[bytes]:
    """The content of a member, in blocks."""
    with open_file(shard) as opened:
        opened.seek(offset)
        while size and (block := opened.read(min(size, _BLOCK))):
            yield block
            size -= len(block)


def printable(path: str) -> str:
    """A path as text: what is no UTF-8 is spelled out, so that it can be written to JSON and the report."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def in_order(sources: Sequence[Source]) -> Sequence[Source]:
    """The sources in the order of the corpus: what is kept of each is its place."""
    # Of 16 bytes no two are equal by chance.
    hashes = np.fromiter((bytes.fromhex(source.order[:32]) for source in sources), "S16", len(sources))
    return picked(sources, np.argsort(hashes, kind="stable"))


def with_keys(sources: Sequence[Source], frames: Iterable[str] = ()) -> Sequence[Source]:
    """The sources in the order of the corpus, each with a key of its own.

    A key is the source's path without extension. Where that has other signs than letters, digits, `_`, `-` and `/`, is
    too long, or is taken, it is made simple and gets a piece of the name's hash.

    Args:
        sources: of the corpus.
        frames: names of the arrays that lie beside each recording: a long one leaves less room for keys.
    """
    names = (part_key("", 0, 2) + f".{name}.npy" for name in frames)
    longest = min([_LONGEST_KEY, *(LONGEST_NAME - len(name) for name in names)])
    ordered = in_order(sources)
    # Keys that differ in case only would be one file where somebody unpacks them on a Mac.
    # Two whose hashes are equal by chance are simply not plain.
    stems = np.fromiter(
        (stream_key(_stem(source.name).lower()) for source in ordered), np.uint64, len(ordered)
    )
    by_stem = np.argsort(stems, kind="stable")
    is_next = stems[by_stem[1:]] == stems[by_stem[:-1]]
    taken = np.zeros(len(stems), bool)
    taken[by_stem[1:][is_next]] = taken[by_stem[:-1][is_next]] = True

    def keyed(position: int) -> Source:
        source = ordered[position]
        return replace(source, key=_key(source, longest, unique=not taken[position]))

    return Lazily(len(ordered), keyed)


def _stem(name: str) -> str:
    folder, _, file = name.rpartition("/")
    stem = file.rpartition(".")[0] or file
    return f"{folder}/{stem}" if folder else stem


def _key(source: Source, longest: int, unique: bool) -> str:
    stem = _stem(source.name)
    key = stem if _SIMPLE.fullmatch(stem) else "/".join(_simple(part) for part in stem.split("/"))
    if key == stem and unique and len(key) <= longest and source_key(key) == key:
        return key
    digest = source.order[:10]
    head = key[: longest - len(digest) - 1].strip("-/") or "recording"
    return f"{head}-{digest}"


def _simple(part: str) -> str:
    letters = unicodedata.normalize("NFKD", part).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9_]*[^A-Za-z0-9_-]+[^A-Za-z0-9_]*", "-", letters).strip("-") or "x"


def speakers_of(sources: Iterable[Source]) -> list[str]:
    """Names of all speakers, sorted."""
    return sorted({source.speaker for source in sources if source.speaker is not None})
