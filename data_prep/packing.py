"""Packing one shard: its sources through the rules, into a tar, with a record of what became of each."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from data_prep.decoding import Unreadable, hash_file
from data_prep.options import RuleOptions
from data_prep.plan import ShardPlan
from data_prep.rules import RULES, Step, apply_rules
from data_prep.sources import Source, part_key
from wavenet_pl.audio.features import NUM_KEYS
from wavenet_pl.audio.midi import PEDAL_DOWN
from wavenet_pl.errors import UserError
from wavenet_pl.files.durable import write_durably
from wavenet_pl.shards.format import Entry, ShardWriter

TALLIES = ("kept", "dropped", "recordings_dropped", "recordings_changed", "recordings_limited")
"""What is counted for each rule: seconds, then recordings."""


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
    path = task.folder / task.shard.name
    rows: list[dict[str, Any]] = []
    dropped: list[dict[str, Any]] = []
    flaws: list[dict[str, str]] = []
    hashes: dict[str, str | None] = {}
    midi_hashes: dict[str, str | None] = {}
    tallies: dict[str, dict[str, float]] = {rule: dict.fromkeys(TALLIES, 0.0) for rule in RULES}
    with ExitStack() as stack:
        writer: ShardWriter | None = None
        for source in task.shard.sources:
            hashes[source.name] = _hash(source.path if source.exists else "")
            if source.sha256 not in (None, hashes[source.name]):
                raise UserError(
                    f"{source.name} has changed since it was examined, expected the same audio; "
                    "run the same command again"
                )
            if source.midi_path:
                midi_hashes[source.name] = _hash(source.midi_path)
            outcome = apply_rules(source, task.rules)
            for step in outcome.steps:
                _count(tallies[step.rule], step)
                if step.reason:
                    dropped.append(
                        {
                            "source": source.name,
                            "rule": step.rule,
                            "reason": step.reason,
                            "seconds": step.dropped,
                        }
                    )
            flaws += [
                {"source": source.name, "flaw": flaw, "found": found} for flaw, found in outcome.flaws.items()
            ]
            for number, part in enumerate(outcome.parts):
                key = part_key(source.key, number, len(outcome.parts))
                if writer is None:
                    writer = stack.enter_context(ShardWriter(path, task.rules.features))
                writer.write(
                    Entry(
                        key=key,
                        audio=part.audio,
                        sample_rate=task.rules.sample_rate,
                        metadata=_metadata(source, part.start),
                        features=part.features,
                    )
                )
                rows.append(
                    {
                        "key": key,
                        "frames": len(part.audio),
                        "speaker": source.speaker,
                        "tags": list(source.tags),
                        "source": source.name,
                        **_levels(part.audio),
                        **_told(part.features),
                    }
                )
            after_source()
    if writer is None:
        path.unlink(missing_ok=True)
        size, sha256 = 0, ""
    else:
        size, sha256 = writer.written.bytes, writer.written.sha256
        for row, members in zip(rows, writer.written.members, strict=True):
            row["members"] = members
    record = {
        "plan": task.fingerprint,
        "shard": task.shard.name,
        "bytes": size,
        "sha256": sha256,
        "recordings": rows,
        "dropped": dropped,
        "flaws": flaws,
        "rules": tallies,
        "sources": hashes,
        **({"midi": midi_hashes} if task.rules.notes else {}),
    }
    write_durably(
        task.folder / task.shard.record, json.dumps(record, ensure_ascii=False, sort_keys=True) + "\n"
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


def _hash(path: str) -> str | None:
    try:
        return hash_file(path) if path else None
    except Unreadable:
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
        **{name: value for name, value in known.items() if value is not None},
        "tags": list(source.tags),
        "source": source.name,
        "start": start,
    }


def _levels(audio: npt.NDArray[np.int16]) -> dict[str, float]:
    """Of full scale 1, for the report."""
    samples = audio.astype(np.float64) / 32768
    return {
        "peak": round(float(np.abs(samples).max()), 6),
        "rms": round(float(np.sqrt(np.mean(samples**2))), 6),
    }


def _told(features: Mapping[str, npt.NDArray[Any]]) -> dict[str, float]:
    """Of the features, for the report: notes that begin, share of the frames with pedal, mean of the mel frames."""
    found: dict[str, float] = {}
    if (roll_NF := features.get("notes")) is not None:
        down = np.pad(roll_NF[:, :NUM_KEYS] > 0, ((1, 0), (0, 0)))
        found["notes"] = int((down[1:] & ~down[:-1]).sum())
        found["pedal"] = round(float((roll_NF[:, NUM_KEYS] >= PEDAL_DOWN).mean()), 6)
    if (mel_NF := features.get("mel")) is not None:
        found["mel"] = round(float(mel_NF.mean(dtype=np.float64)), 6)
    return found
