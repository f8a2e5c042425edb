"""The plan: which recordings go into which shard, fixed before the first one is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.folder import Corpus
from data_prep.options import Options, RuleOptions, read_frames
from data_prep.rules import apply_rules
from data_prep.sources import Source, with_keys
from data_prep.splits import assign_splits
from wavenet_pl.errors import UserError
from wavenet_pl.files.durable import write_durably
from wavenet_pl.shards.index import SPLITS
from wavenet_pl.shards.lazily import picked

RECORDS = ".prepare"
"""Folder in DEST with the plan, and with a record for each finished shard."""
SHARED = f"{RECORDS}/sources.jsonl"
"""The sources of the plan, while slices are at work."""
DONE = f"{RECORDS}/done.json"
"""What came of the plan, once all is done."""
_FORMAT = 2
"""Goes up when the same options would give other bytes."""


@dataclass(frozen=True, kw_only=True)
class ShardPlan:
    """A fixed run of sources. Those that the rules drop leave gaps; nothing moves up."""

    name: str
    sources: Sequence[Source] = ()
    """Empty where the plan was read back: records know their sources."""
    num_sources: int

    @property
    def split(self) -> str:
        """The split that the shard belongs to."""
        return self.name.split("/")[0]

    @property
    def record(self) -> str:
        """Path of the shard's record below DEST."""
        return f"{RECORDS}/{self.name.removesuffix('.tar')}.json"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All shards, in the order of the index."""

    fingerprint: str
    """sha256 over the options and all that is known of the sources: shards of different plans never mix."""
    options: Mapping[str, Any]
    """As JSON."""
    shards: tuple[ShardPlan, ...]
    left_alone: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    """How the corpus was understood."""

    @property
    def num_sources(self) -> int:
        """Sources of all shards."""
        return sum(shard.num_sources for shard in self.shards)

    def num_of(self, split: str) -> int:
        """Sources of one split."""
        return sum(shard.num_sources for shard in self.shards if shard.split == split)


def build_plan(corpus: Corpus, options: Options) -> Plan:
    """The plan for a corpus: a pure function of the corpus and the options.

    Of each source it keeps numbers only; what is known of one is asked of the corpus, whenever it is looked at.

    Raises:
        UserError: the splits cannot be made.
    """
    sources = with_keys(corpus.sources, [each.name for each in options.rules.frames])
    splits = assign_splits(
        sources, options.splits, lambda source: bool(apply_rules(source, options.rules).parts)
    )
    shards = []
    for split in SPLITS:
        members = np.flatnonzero(splits == SPLITS.index(split))
        for number, start in enumerate(range(0, len(members), options.recordings_per_shard)):
            run = picked(sources, members[start : start + options.recordings_per_shard])
            shards.append(
                ShardPlan(name=f"{split}/shard-{number:06d}.tar", sources=run, num_sources=len(run))
            )
    described = json.loads(json.dumps(options.describe()))  # as `load_plan` gives it
    digest = hashlib.sha256()
    parts = ([shard.name, source.describe()] for shard in shards for source in shard.sources)
    for part in chain([[_FORMAT, described]], parts):
        digest.update(json.dumps(part, sort_keys=True).encode() + b"\n")
    return Plan(
        fingerprint=digest.hexdigest(),
        options=described,
        shards=tuple(shards),
        left_alone=dict(corpus.left_alone),
        notes=corpus.notes,
    )


def rules_of(plan: Plan, options: Options) -> RuleOptions:
    """The rules of a plan, with the frames that were measured for it."""
    return replace(options.rules, frames=read_frames(plan.options["rules"], options.rules.sample_rate))


def save_plan(plan: Plan, folder: Path) -> None:
    """Write the plan below DEST, for the record and for `merge`."""
    tree = {
        "format": _FORMAT,
        "fingerprint": plan.fingerprint,
        "options": plan.options,
        "left_alone": plan.left_alone,
        "notes": plan.notes,
        "shards": [[shard.name, shard.num_sources] for shard in plan.shards],
    }
    write_durably(folder / RECORDS / "plan.json", json.dumps(tree, sort_keys=True, indent=1) + "\n")


def load_plan(folder: Path) -> Plan | None:
    """The plan that DEST was begun with, without its sources; None where there is none.

    Raises:
        UserError: it cannot be used.
    """
    path = folder / RECORDS / "plan.json"
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        if tree["format"] != _FORMAT:
            raise ValueError(f"its format is {tree['format']}, not {_FORMAT}")
        return Plan(
            fingerprint=tree["fingerprint"],
            options=tree["options"],
            shards=tuple(ShardPlan(name=name, num_sources=count) for name, count in tree["shards"]),
            left_alone=tree["left_alone"],
            notes=tuple(tree.get("notes", ())),
        )
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} cannot be used ({error}); start over with --overwrite") from None
