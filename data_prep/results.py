"""What came of a plan: the records of all shards together, and the index made of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from data_prep.packing import TALLIES, read_record
from data_prep.plan import Plan
from data_prep.rules import RULES
from wavenet_pl.audio.features import FeatureSpec, read_spec
from wavenet_pl.audio.midi import default_notes
from wavenet_pl.errors import UserError
from wavenet_pl.shards.format import Place
from wavenet_pl.shards.index import SPLITS, Index, Recording, Shard

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Result:
    """All records, in the order of the plan."""

    plan: Plan
    records: Sequence[Mapping[str, Any]]

    @property
    def sample_rate(self) -> int:
        """Of every recording."""
        return int(self.plan.options["rules"]["sample_rate"])

    @property
    def features(self) -> dict[str, FeatureSpec]:
        """Name -> how the features were made that every recording has."""
        rules = self.plan.options["rules"]
        found: list[FeatureSpec] = [default_notes(self.sample_rate)] if rules.get("notes") else []
        found += [read_spec("mel", rules["mel"])] if rules.get("mel") else []
        return {spec.name: spec for spec in found}

    def rows(self, split: str | None = None) -> Iterator[Row]:
        """Every recording that was written, of one split or of all."""
        for shard, record in zip(self.plan.shards, self.records, strict=True):
            if split in (None, shard.split):
                yield from record["recordings"]

    def seconds(self, split: str | None = None) -> float:
        """Length of a split, or of all."""
        return sum(row["frames"] for row in self.rows(split)) / self.sample_rate

    @cached_property
    def dropped(self) -> list[Row]:
        """Sources of which nothing is left: source, split, rule, reason, seconds; by name."""
        return self._by_source("dropped")

    @cached_property
    def flaws(self) -> list[Row]:
        """What is told of sources that were kept: source, split, flaw, found; by name."""
        return self._by_source("flaws")

    @cached_property
    def rules(self) -> dict[str, dict[str, float]]:
        """For each rule, its tallies."""
        return {
            rule: {
                name: sum(record["rules"].get(rule, {}).get(name, 0.0) for record in self.records)
                for name in TALLIES
            }
            for rule in RULES
        }

    @cached_property
    def speakers(self) -> dict[str, dict[str, tuple[int, int]]]:
        """Speaker -> split -> (recordings, frames), by name; `(none)` for recordings without one."""
        found: dict[str, dict[str, tuple[int, int]]] = {}
        for split in SPLITS:
            for row in self.rows(split):
                name = "(none)" if row["speaker"] is None else str(row["speaker"])
                count, frames = found.setdefault(name, dict.fromkeys(SPLITS, (0, 0)))[split]
                found[name][split] = count + 1, frames + row["frames"]
        return dict(sorted(found.items()))

    def _by_source(self, what: str) -> list[Row]:
        found = [
            {**row, "split": shard.split}
            for shard, record in zip(self.plan.shards, self.records, strict=True)
            for row in record[what]
        ]
        return sorted(found, key=lambda row: str(row["source"]))

    def build_index(self) -> Index:
        """The index of the shards that are there."""
        speakers = sorted({row["speaker"] for row in self.rows() if row["speaker"] is not None})
        tags = sorted({tag for row in self.rows() for tag in row["tags"]})
        speaker_rows = {name: number for number, name in enumerate(speakers)}
        tag_rows = {name: number for number, name in enumerate(tags)}
        splits: dict[str, tuple[Shard, ...]] = {}
        for split in SPLITS:
            shards = tuple(
                Shard(
                    name=record["shard"],
                    bytes=record["bytes"],
                    sha256=record["sha256"],
                    recordings=tuple(
                        Recording(
                            key=row["key"],
                            frames=row["frames"],
                            speaker=speaker_rows.get(row["speaker"], -1),
                            tags=tuple(sorted(tag_rows[tag] for tag in row["tags"])),
                            members={name: Place(*place) for name, place in row["members"].items()},
                        )
                        for row in record["recordings"]
                    ),
                )
                for shard, record in zip(self.plan.shards, self.records, strict=True)
                if shard.split == split and record["recordings"]
            )
            if shards:
                splits[split] = shards
        return Index(
            sample_rate=self.sample_rate,
            splits=splits,
            speakers=tuple(speakers),
            tags=tuple(tags),
            features=self.features,
        )


def collect(plan: Plan, folder: Path) -> Result:
    """Read the records of all shards.

    Raises:
        UserError: some shards are not done.
    """
    records = [read_record(folder, shard, plan.fingerprint) for shard in plan.shards]
    missing = [shard.name for shard, record in zip(plan.shards, records, strict=True) if record is None]
    if missing:
        names = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        raise UserError(
            f"{len(missing)} of {len(plan.shards)} shards are not there yet ({names}), expected all of them; "
            "run the slices that are missing, or the same command without --slice, which packs what is left"
        )
    return Result(plan, [record for record in records if record is not None])
