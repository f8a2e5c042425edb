"""Packing one shard: its sources through the rules, into a tar, with a record of what became of each."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from data_prep.decoding import hash_file
from data_prep.flaws import PROPERTIES
from data_prep.options import RuleOptions
from data_prep.plan import ShardPlan
from data_prep.rules import RULES, Outcome, Part, Step, apply_rules
from data_prep.sources import File, Source, readable
from wavenet_pl.audio.streams import Unreadable
from wavenet_pl.errors import UserError
from wavenet_pl.files.durable import write_durably
from wavenet_pl.shards.format import BLOCK, Entry, ShardWriter, Span, WrittenShard, read_member
from wavenet_pl.shards.keys import part_key

TALLIES = ("kept", "dropped", "recordings_dropped", "recordings_changed", "recordings_limited")
"""What is counted for each rule: seconds, then recordings."""
_LARGEST_FREED = 31 * 2**20
"""Bytes: below what glibc takes for large whatever happens."""
_BLOCK = 2**15
"""Samples at a time, which stay in the nearest memory."""


@dataclass(frozen=True, kw_only=True)
class ShardTask:
    """All that a process needs to know to pack a shard."""

    folder: Path
    """DEST."""
    shard: ShardPlan
    rules: RuleOptions
    fingerprint: str
    """Of the plan."""


def pack_shard(task: ShardTask, after_source: Callable[[], None] = lambda: None) -> None:
    """Write a shard and then its record: where the record is, the shard is whole.

    A shard of which nothing is left has a record and no tar.

    Args:
        task: what to pack.
        after_source: called after each source; what it raises stops the work and leaves nothing behind.

    Raises:
        UserError: a source is not what was read of it before.
    """
    _keep_freed_memory()
    path = task.folder / task.shard.name
    record = _Record(task.rules)
    writer: ShardWriter | None = None
    with ExitStack() as stack:
        for source in task.shard.sources:
            record.add_hashes(source)
            outcome = apply_rules(source, task.rules)
            record.add_outcome(source, outcome)
            for number, part in enumerate(outcome.parts):
                key = part_key(source.key, number, len(outcome.parts))
                if writer is None:
                    writer = stack.enter_context(ShardWriter(path, [each.name for each in task.rules.frames]))
                writer.write(_entry(key, source, part, task.rules.sample_rate))
                record.add_recording(key, source, part)
            after_source()
    if writer is None:
        path.unlink(missing_ok=True)
    record.write(task, None if writer is None else writer.written)


def _keep_freed_memory() -> None:
    """Let the C library keep what a recording has taken for the next one: new pages cost a tenth of all the work.

    glibc gives back what is larger than twice the largest piece that was freed so far.
    """
    np.empty(_LARGEST_FREED, np.uint8)


class _Record:
    """What became of the sources of one shard, collected while it is packed.

    Args:
        rules: that the sources go through.
    """

    def __init__(self, rules: RuleOptions) -> None:
        self._frames = rules.frames
        self._recordings: list[dict[str, Any]] = []
        self._dropped: list[dict[str, Any]] = []
        self._flaws: list[dict[str, str]] = []
        self._hashes: dict[str, str | None] = {}
        self._file_hashes: dict[str, dict[str, str | None]] = {name: {} for name in rules.file_rules}
        self._tallies: dict[str, dict[str, float]] = {rule: dict.fromkeys(TALLIES, 0.0) for rule in RULES}
        self._properties: dict[str, dict[str, tuple[int, float]]] = {name: {} for name in PROPERTIES}

    def add_hashes(self, source: Source) -> None:
        """Hash the file of a source and those beside it, to notice later that they have changed.

        Raises:
            UserError: the source has changed since the corpus read it.
        """
        self._hashes[source.name] = _hash(source) if source.exists else None
        if source.sha256 not in (None, self._hashes[source.name]):
            raise UserError(
                f"{source.name} has changed since it was examined, expected the same audio; "
                "run the same command again"
            )
        for frames, file in source.files.items():
            self._file_hashes[frames][source.name] = _hash(file)

    def add_outcome(self, source: Source, outcome: Outcome) -> None:
        """Count what each rule did to a source, and note why it was dropped, and its flaws."""
        for step in outcome.steps:
            _add_step(self._tallies, self._dropped, source.name, step)
        for flaw, description in outcome.flaws.items():
            self._flaws.append({"source": source.name, "flaw": flaw, "found": description})
        for name, value in outcome.properties.items():
            count, seconds = self._properties[name].get(value, (0, 0.0))
            self._properties[name][value] = count + 1, seconds + outcome.steps[0].kept

    def add_recording(self, key: str, source: Source, part: Part) -> None:
        """Add a recording that was written: what the index and the report need of it."""
        self._recordings.append(
            {
                "key": key,
                "frames": len(part.audio),
                "speaker": source.speaker,
                "tags": list(source.tags),
                "tables": source.tables,
                "source": source.name,
                **_levels(part.audio),
                "arrays": {each.name: each.tally(part.arrays[each.name]) for each in self._frames},
            }
        )

    def write(self, task: ShardTask, written: WrittenShard | None) -> None:
        """Write the record to DEST, at once or not at all.

        Args:
            task: that was packed.
            written: the finished shard; None where no recording is left.
        """
        tree = {
            "plan": task.fingerprint,
            "shard": task.shard.name,
            **_describe(self._recordings, written),
            "dropped": self._dropped,
            "flaws": self._flaws,
            "rules": self._tallies,
            "properties": self._properties,
            "sources": self._hashes,
            **({"files": self._file_hashes} if self._file_hashes else {}),
        }
        _write_record(task.folder, task.shard, tree)


def _entry(key: str, source: Source, part: Part, sample_rate: int) -> Entry:
    """A part of a source as the shard holds it."""
    return Entry(
        key=key,
        audio=part.audio,
        sample_rate=sample_rate,
        metadata=_metadata(source, part.start),
        arrays=part.arrays,
    )


def read_record(folder: Path, shard: ShardPlan, fingerprint: str) -> dict[str, Any] | None:
    """The record of a finished shard; None where there is none, or it belongs to another plan, or its shard is gone."""
    try:
        record: dict[str, Any] = json.loads((folder / shard.record).read_text(encoding="utf-8"))
        if record["plan"] != fingerprint or record["shard"] != shard.name:
            return None
        if record["bytes"] and (folder / shard.name).stat().st_size != record["bytes"]:
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return record


def drop_recordings(
    folder: Path, shard: ShardPlan, record: Mapping[str, Any], reasons: Mapping[str, str], sample_rate: int
) -> dict[str, Any]:
    """Write a finished shard and its record again without some recordings, which other splits have.

    Args:
        folder: DEST.
        shard: of the plan.
        record: of the shard.
        reasons: key of a recording -> why it is dropped.
        sample_rate: of the set.

    Returns:
        The new record.
    """
    kept = [row for row in record["recordings"] if row["key"] not in reasons]
    gone = [row for row in record["recordings"] if row["key"] in reasons]
    path = folder / shard.name
    # A shard that is neither the old nor the new one has no record.
    (folder / shard.record).unlink(missing_ok=True)
    written: WrittenShard | None = None
    if kept:
        with open(path, "rb") as old, ShardWriter(path) as writer:
            for row in kept:
                writer.write_members(row["key"], _members(old, row))
        written = writer.written
    else:
        path.unlink(missing_ok=True)
    tree: dict[str, Any] = {**json.loads(json.dumps(record)), **_describe(kept, written)}
    for source in dict.fromkeys(row["source"] for row in gone):
        rows = [row for row in gone if row["source"] == source]
        seconds, reason = sum(row["frames"] for row in rows) / sample_rate, reasons[rows[0]["key"]]
        partly = any(row["source"] == source for row in kept)
        if partly:
            loss = f"{seconds:.1f} s of it are dropped: {reason}"
            tree["flaws"].append({"source": source, "flaw": "copy", "found": loss})
        step = Step("copy", -seconds, seconds, changed=partly, reason="" if partly else reason)
        _add_step(tree["rules"], tree["dropped"], source, step)
    _write_record(folder, shard, tree)
    return tree


def _describe(recordings: Sequence[Mapping[str, Any]], written: WrittenShard | None) -> dict[str, Any]:
    """The part of a record that is about the shard itself; None where no recording is left."""
    members = written.members if written else ()
    return {
        "bytes": written.bytes if written else 0,
        "sha256": written.sha256 if written else "",
        "recordings": [{**row, "members": spans} for row, spans in zip(recordings, members, strict=True)],
    }


def _members(shard: BinaryIO, recording: Mapping[str, Any]) -> dict[str, bytes]:
    """The members of a recording, as they stand in a shard.

    Raises:
        BadDataError: the shard has changed since it was written.
    """
    contents = {}
    for extension, span in recording["members"].items():
        span = Span(*span)
        shard.seek(span.offset - BLOCK)
        contents[extension] = read_member(shard.read(BLOCK + span.size), recording["key"], extension, span)
    return contents


def _write_record(folder: Path, shard: ShardPlan, tree: Mapping[str, Any]) -> None:
    """At once or not at all."""
    write_durably(folder / shard.record, json.dumps(tree, ensure_ascii=False, sort_keys=True) + "\n")


def _add_step(
    tallies: dict[str, dict[str, float]], dropped: list[dict[str, Any]], source: str, step: Step
) -> None:
    """Count what a rule did to a source, and note why it is dropped."""
    _count(tallies.setdefault(step.rule, dict.fromkeys(TALLIES, 0.0)), step)
    if step.reason:
        dropped.append({"source": source, "rule": step.rule, "reason": step.reason, "seconds": step.dropped})


def _hash(file: Source | File) -> str | None:
    try:
        with readable(file) as path:
            return hash_file(path) if path else None
    except (OSError, Unreadable):
        return None  # the rules will say why


def _count(tally: dict[str, float], step: Step) -> None:
    tally["kept"] += step.kept
    tally["dropped"] += step.dropped
    tally["recordings_dropped"] += bool(step.reason)
    tally["recordings_changed"] += step.changed
    tally["recordings_limited"] += step.limited


def _metadata(source: Source, start: int) -> dict[str, Any]:
    """The JSON of a recording; `start` counts samples of the set's rate from the beginning of the source."""
    known = {"speaker": source.speaker, "text": source.text, "midi": source.midi}
    return {
        **source.facts,
        **source.tables,
        **{name: value for name, value in known.items() if value is not None},
        "tags": list(source.tags),
        "source": source.name,
        "start": start,
    }


def _levels(audio: npt.NDArray[np.int16]) -> dict[str, float]:
    """Of full scale 1, for the report."""
    squares = 0.0  # whole numbers, which add up without rounding
    for start in range(0, len(audio), _BLOCK):
        samples = audio[start : start + _BLOCK].astype(np.float64)
        squares += float(np.einsum("t,t", samples, samples))
    return {
        "peak": round(max(int(audio.max()), -int(audio.min())) / 32768, 6),
        "rms": round(math.sqrt(squares / len(audio)) / 32768, 6),
    }
