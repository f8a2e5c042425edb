"""What came of a plan: the records of all shards together, and the index made of them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from data_prep.copies import Copies
from data_prep.flaws import PROPERTIES
from data_prep.options import read_frames
from data_prep.packing import TALLIES, drop_recordings, read_record
from data_prep.plan import Plan, ShardPlan
from data_prep.rules import RULES
from wavenet_pl.errors import UserError
from wavenet_pl.inputs.frames import Frames
from wavenet_pl.shards.building import build_index
from wavenet_pl.shards.format import Span
from wavenet_pl.shards.index import SPLITS, Index
from wavenet_pl.shards.lazily import Lazily

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Result:
    """All records, in the order of the plan, each read when it is looked at: no set is too large for that."""

    plan: Plan
    folder: Path
    """DEST."""

    @property
    def records(self) -> Iterator[Mapping[str, Any]]:
        """The record of every shard.

        Raises:
            UserError: one has gone meanwhile.
        """
        return map(self._record, self.plan.shards)

    def _record(self, shard: ShardPlan) -> Mapping[str, Any]:
        record = read_record(self.folder, shard, self.plan.fingerprint)
        if record is None:
            raise UserError(
                f"{shard.name} or its record has gone from {self.folder} meanwhile, expected it to stay until all is "
                "done; run the same command again"
            )
        return record

    @property
    def sample_rate(self) -> int:
        """Sample rate of every recording, in Hz."""
        return int(self.plan.options["rules"]["sample_rate"])

    @cached_property
    def frames(self) -> tuple[Frames, ...]:
        """What every recording has beside its audio."""
        return read_frames(self.plan.options["rules"], self.sample_rate)

    def rows(self, split: str | None = None) -> Iterator[Row]:
        """Every recording that was written, of one split or of all."""
        for shard in self.plan.shards:
            if split in (None, shard.split):
                yield from self._record(shard)["recordings"]

    def measures(self, split: str | None = None) -> npt.NDArray[Any]:
        """Of every recording of a split, or of all, `frames`, `peak` and `rms` of full scale 1."""
        if split is None:
            return self._measures
        first, end = np.searchsorted(self._measures["split"], SPLITS.index(split) + np.arange(2))
        return self._measures[first:end]

    @cached_property
    def _measures(self) -> npt.NDArray[Any]:
        kinds = [("split", np.int8), ("frames", np.int64), ("peak", np.float64), ("rms", np.float64)]
        rows = self._recordings()
        return np.fromiter(
            ((SPLITS.index(split), row["frames"], row["peak"], row["rms"]) for split, row in rows), kinds
        )

    def count(self, split: str | None = None) -> int:
        """Recordings of a split, or of all."""
        return len(self.measures(split))

    def seconds(self, split: str | None = None) -> float:
        """Length of a split, or of all."""
        return int(self.measures(split)["frames"].sum()) / self.sample_rate

    @cached_property
    def dropped(self) -> list[Row]:
        """Sources of which nothing is left: source, split, rule, reason, seconds; by name."""
        return self._by_source("dropped")

    @cached_property
    def flaws(self) -> list[Row]:
        """Flaws of sources that were kept: source, split, flaw, found; by name."""
        copies = {
            row["source"]: {"split": split, "flaw": "copy", "found": f"the same audio as {original.source}"}
            for split, row in self._recordings()
            if (original := self.copies.original_of(row))
        }
        rows = [*self._by_source("flaws"), *({"source": source, **row} for source, row in copies.items())]
        return sorted(rows, key=lambda row: str(row["source"]))

    @cached_property
    def copies(self) -> Copies:
        """Which recordings are copies of others."""
        return Copies(self._recordings)

    @cached_property
    def properties(self) -> dict[str, dict[str, tuple[int, float]]]:
        """Property of files -> value -> (sources, seconds), by value."""
        totals: dict[str, dict[str, tuple[int, float]]] = {name: {} for name in PROPERTIES}
        for record in self.records:
            for name, values in record.get("properties", {}).items():
                for value, (count, seconds) in values.items():
                    before = totals[name].get(value, (0, 0.0))
                    totals[name][value] = before[0] + count, before[1] + seconds
        return {name: dict(sorted(values.items(), key=_by_number)) for name, values in totals.items()}

    @cached_property
    def rules(self) -> dict[str, dict[str, float]]:
        """Rule -> its tallies over all shards, by the names in `TALLIES`."""
        sums = {rule: dict.fromkeys(TALLIES, 0.0) for rule in RULES}
        for record in self.records:
            for rule, tally in sums.items():
                for name in TALLIES:
                    tally[name] += record["rules"].get(rule, {}).get(name, 0.0)
        return sums

    @cached_property
    def speakers(self) -> dict[str, dict[str, tuple[int, int]]]:
        """Speaker -> split -> (recordings, frames), by name; `(none)` for recordings without one."""
        counts: dict[str, dict[str, tuple[int, int]]] = {}
        for split in SPLITS:
            for row in self.rows(split):
                name = "(none)" if row["speaker"] is None else str(row["speaker"])
                count, frames = counts.setdefault(name, dict.fromkeys(SPLITS, (0, 0)))[split]
                counts[name][split] = count + 1, frames + row["frames"]
        return dict(sorted(counts.items()))

    def _recordings(self) -> Iterator[tuple[str, Row]]:
        """(split, recording) of all that was written."""
        return ((split, row) for split in SPLITS for row in self.rows(split))

    def _by_source(self, what: str) -> list[Row]:
        rows = [
            {**row, "split": shard.split}
            for shard, record in zip(self.plan.shards, self.records, strict=True)
            for row in record[what]
        ]
        return sorted(rows, key=lambda row: str(row["source"]))

    def build_index(self) -> Index:
        """The index of the shards that are there."""
        kept: dict[str, list[ShardPlan]] = {}
        for shard, record in zip(self.plan.shards, self.records, strict=True):
            if record["recordings"]:
                kept.setdefault(shard.split, []).append(shard)
        splits = {split: self._named(shards) for split, shards in kept.items()}
        return build_index(self.sample_rate, splits, {each.name: each.spec for each in self.frames})

    def _named(self, shards: Sequence[ShardPlan]) -> Lazily[_Shard]:
        def named(position: int) -> _Shard:
            record = self._record(shards[position])
            recordings = [_recording(row) for row in record["recordings"]]
            return _Shard(record["shard"], record["bytes"], record["sha256"], recordings)

        return Lazily(len(shards), named)


@dataclass(frozen=True)
class _Recording:
    """A recording as `build_index` takes it."""

    key: str
    frames: int
    names: Mapping[str, tuple[str, ...]]
    members: dict[str, Span]


@dataclass(frozen=True)
class _Shard:
    """A shard as `build_index` takes it."""

    name: str
    bytes: int
    sha256: str
    recordings: Sequence[_Recording]


def _recording(row: Row) -> _Recording:
    names = {
        **{table: (name,) for table, name in row.get("tables", {}).items()},
        "speaker": (row["speaker"],) if row["speaker"] is not None else (),
        "tags": tuple(row["tags"]),
    }
    members = {name: Span(*span) for name, span in row["members"].items()}
    return _Recording(row["key"], row["frames"], names, members)


def _by_number(item: tuple[str, object]) -> tuple[float, str]:
    """Values that begin with a number or end in one with a unit stand in its order."""
    numbers = re.findall(r"[\d.]+", item[0])
    return (float(numbers[0]) if numbers else math.inf, item[0])


def keep_copies_apart(result: Result, folder: Path) -> Result:
    """Write the shards anew that hold copies of what another split has, without these.

    Killed at any moment and called again, it makes the same set.

    Args:
        result: of all shards.
        folder: DEST, which nobody else works in.
    """
    copies = result.copies  # of all, before a shard is written anew
    for shard, record in zip(result.plan.shards, result.records, strict=True):
        originals = {row["key"]: copies.original_of(row) for row in record["recordings"]}
        reasons = {
            key: f"the same audio as {original.source}, which is for {original.split}"
            for key, original in originals.items()
            if original and original.split != shard.split
        }
        if reasons:
            drop_recordings(folder, shard, record, reasons, result.sample_rate)
    return Result(result.plan, folder)


def collect(plan: Plan, folder: Path) -> Result:
    """What came of a plan whose shards are all done.

    Raises:
        UserError: some shards are not done.
    """
    missing = [shard.name for shard in plan.shards if read_record(folder, shard, plan.fingerprint) is None]
    if missing:
        names = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        raise UserError(
            f"{len(missing)} of {len(plan.shards)} shards are not there yet ({names}), expected all of them; "
            "run the slices that are missing, or the same command without --slice, which packs what is left"
        )
    return Result(plan, folder)
