"""The plan of a corpus, and how slices share it: made by the one that comes first, read by the others."""

from __future__ import annotations

import fcntl
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, fields, replace
from itertools import chain
from pathlib import Path
from typing import Any

from data_prep.corpora import measured, read_corpus
from data_prep.destination import claim, made
from data_prep.files import modified, size_of
from data_prep.folder import Corpus
from data_prep.options import Options
from data_prep.plan import DONE, RECORDS, SHARED, Plan, ShardPlan, build_plan, load_plan
from data_prep.sources import File, Source
from wavenet_pl.files.durable import replacing
from wavenet_pl.files.foreign import printable
from wavenet_pl.shards.lazily import picked
from wavenet_pl.shards.spool import Spool

_FORMAT = 1
_PLAIN = {each.name: getattr(Source(name=""), each.name) for each in fields(Source)}


def plan_of_slice(options: Options, source: Path | None, folder: Path, number: int, slices: int) -> Plan:
    """The plan of a corpus, in which the shards of one slice have their sources; DEST is the plan's.

    The first slice plans, and keeps what it planned in DEST until all is merged. The others read their own part of it,
    where they were asked for the same, and no folder, no table and none of their own files has changed since.

    Args:
        options: what was asked.
        source: folder of the corpus, where it is read from one.
        folder: DEST, where this slice is at work.
        number: of the slice, from 1.
        slices: how many there are.

    Raises:
        UserError: the corpus cannot be read, or DEST was begun with another plan.
    """
    if source is None or (folder / DONE).exists():  # nothing is read, or nobody comes after
        _, plan = plan_corpus(options, source, folder)
        claim(folder, plan, overwrite=False)
        return plan
    if (shared := _read(options, source, folder, number, slices)) is not None:
        return shared
    with _alone(folder):  # while this one waited, another may have made it
        if (shared := _read(options, source, folder, number, slices)) is not None:
            return shared
        corpus, plan = plan_corpus(options, source, folder)
        claim(folder, plan, overwrite=False)
        _write(options, source, folder, corpus, plan)
        return plan


def plan_corpus(options: Options, source: Path | None, folder: Path) -> tuple[Corpus, Plan]:
    """Read a corpus and plan what becomes of it; how it was understood is printed.

    Args:
        options: what was asked.
        source: folder of the corpus, where it is read from one.
        folder: DEST.

    Raises:
        UserError: the corpus cannot be read.
    """
    corpus = read_corpus(options, source, folder)
    for note in corpus.notes:
        print(f"prepare: {printable(note)}", file=sys.stderr)
    return corpus, build_plan(corpus, measured(options, corpus))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one slice plan at a time. On a file system without locks each plans for itself, and finds the same."""
    with made(folder / RECORDS):
        descriptor = os.open(folder / RECORDS, os.O_RDONLY | os.O_DIRECTORY)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print("prepare: another slice plans; waiting for its plan", file=sys.stderr)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            except OSError:
                pass
            yield
        finally:
            os.close(descriptor)


def _asked(options: Options) -> Any:
    """The options as JSON, as they come back from it."""
    return json.loads(json.dumps(asdict(options), default=str))


def _write(options: Options, source: Path, folder: Path, corpus: Corpus, plan: Plan) -> None:
    """A line about the whole, then one with the sources of each shard."""
    head = {
        "format": _FORMAT, "plan": plan.fingerprint, "asked": _asked(options), "read_from": corpus.read_from,
    }  # fmt: skip
    lines = ([_to_plain(each, source) for each in shard.sources] for shard in plan.shards)
    with replacing(folder / SHARED) as file:
        for line in chain([head], lines):
            file.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")


def _read(options: Options, source: Path, folder: Path, number: int, slices: int) -> Plan | None:
    """The shared plan; None where there is none that holds."""
    plan = load_plan(folder)
    with suppress(OSError, ValueError, KeyError, TypeError), open(folder / SHARED, "rb") as file:
        head = json.loads(file.readline())
        same = plan and (head["format"], head["plan"], head["asked"]) == (
            _FORMAT, plan.fingerprint, _asked(options),
        )  # fmt: skip
        if not plan or not same or not _is_untouched(source, head["read_from"]):
            return None
        shards: list[ShardPlan] = []
        spool: Spool[Source] = Spool()
        for position, (shard, line) in enumerate(zip(plan.shards, file, strict=True)):
            if position % slices == number - 1:
                first = len(spool)
                for each in (_from_plain(tree, source) for tree in json.loads(line)):
                    if not _has_its_size(each):
                        return None
                    spool.add(each)
                shard = replace(shard, sources=picked(spool, range(first, len(spool))))
            shards.append(shard)
        return replace(plan, shards=tuple(shards))
    return None


def _is_untouched(source: Path, read_from: Mapping[str, int]) -> bool:
    return all(modified(os.path.join(source, name)) == time for name, time in read_from.items())


def _has_its_size(source: Source) -> bool:
    """Whether its files are as long as they were; of members of shards the shards have their times."""
    files: tuple[Source | File, ...] = (source, *source.files.values())
    return all(size_of(file.path) == file.size for file in files if file.path and file.offset is None)


def _to_plain(source: Source, corpus: Path) -> dict[str, Any]:
    """What is not as in a source of which nothing is known; paths from the corpus on."""
    top = os.path.join(corpus, "")
    tree = {name: value for name, plain in _PLAIN.items() if (value := getattr(source, name)) != plain}
    tree["path"] = source.path.removeprefix(top)
    if source.files:
        tree["files"] = {
            name: [file.name, file.size, file.path.removeprefix(top), file.offset]
            for name, file in source.files.items()
        }
    return tree


def _from_plain(tree: dict[str, Any], corpus: Path) -> Source:
    def below(path: str) -> str:
        return os.path.join(corpus, path) if path else ""

    return Source(
        **{
            **tree,
            "path": below(tree["path"]),
            "tags": tuple(tree.get("tags", ())),
            "stretch": tuple(tree["stretch"]) if "stretch" in tree else None,
            "files": {
                frames: File(name=name, size=size, path=below(path), offset=offset)
                for frames, (name, size, path, offset) in tree.get("files", {}).items()
            },
        }
    )
