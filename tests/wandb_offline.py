"""Reads an offline W&B run back: history, captions, config, summary, load, console, artifacts, exit code."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wavenet_pl.tracking.wandb_log import read_log


@dataclass
class OfflineRun:
    """What one offline folder holds."""

    run_id: str = ""
    project: str = ""
    group: str = ""
    host: str = ""
    name: str = ""
    job_type: str = ""
    tags: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    system: list[dict[str, float]] = field(default_factory=list)
    """Load of the machine, a row for each time it was looked at."""
    console: str = ""
    artifacts: list[dict[str, Any]] = field(default_factory=list)
    """name, type, aliases, metadata, used (whether the run read it), files, references."""
    exit_code: int | None = None
    """None for a run that never finished."""

    def steps(self, key: str) -> list[int]:
        """The optimizer steps at which a key was logged. (W&B's own _step counts calls.)"""
        return [row["trainer/global_step"] for row in self.history if key in row]


def offline_folders(run_dir: Path) -> list[Path]:
    """The offline folders below RUN, oldest first: one for each start of the run."""
    return sorted((run_dir / "wandb").glob("offline-run-*"))


def read_offline_run(folder: Path) -> OfflineRun:
    """Read RUN/wandb/offline-run-DATE-ID. Paths of media are below its subfolder files."""
    run = OfflineRun()
    for record in read_log(folder):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            run.run_id, run.project, run.group = record.run.run_id, record.run.project, record.run.run_group
            run.host, run.name, run.tags = record.run.host, record.run.display_name, list(record.run.tags)
            run.job_type = record.run.job_type
            _merge(run.config, record.run.config.update)
        elif kind == "config":
            _merge(run.config, record.config.update)
        elif kind == "history":
            run.history.append(_merge({}, record.history.item))
        elif kind == "summary":
            _merge(run.summary, record.summary.update)
        elif kind == "stats":
            run.system.append({item.key: json.loads(item.value_json) for item in record.stats.item})
        elif kind == "output_raw":
            run.console += record.output_raw.line
        elif kind == "artifact":
            run.artifacts.append(_artifact(record.artifact))
        elif kind == "exit":
            run.exit_code = record.exit.exit_code
    return run


def _artifact(record: Any) -> dict[str, Any]:
    contents = list(record.manifest.contents)
    return {
        "name": record.name,
        "type": record.type,
        "aliases": list(record.aliases),
        "metadata": json.loads(record.metadata or "{}"),
        "used": record.use_after_commit,
        "files": [entry.path for entry in contents if not entry.ref],
        "references": [entry.ref for entry in contents if entry.ref],
    }


def _merge(into: dict[str, Any], items: Iterable[Any]) -> dict[str, Any]:
    """Nested values arrive flattened (nested_key = ["val/clips/recorded", "captions"]); put them together again."""
    for item in items:
        *parents, last = list(item.nested_key) or [item.key]
        place = into
        for key in parents:
            if not isinstance(place.get(key), dict):
                place[key] = {}
            place = place[key]
        place[last] = json.loads(item.value_json)
    return into
