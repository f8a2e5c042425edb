"""What Weights & Biases shows of a run, and what it is not to show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wavenet_pl.config.training import WandbConfig
from wavenet_pl.files.redaction import redact, shorten_paths
from wavenet_pl.runs.machine import identity


@dataclass(frozen=True, kw_only=True)
class Description:
    """What W&B shows of a run."""

    run_id: str
    """Equal ids are one run, over all restarts."""
    name: str
    """What people call it."""
    job_type: str
    """What kind of work it is, such as train."""
    tags: tuple[str, ...]
    """Words to find it by, beside those of `WandbConfig.tags`."""
    config: Mapping[str, Any]
    """Settings and facts, as `presentable` leaves them."""


def presentable(facts: Mapping[str, Any], config: WandbConfig) -> dict[str, Any]:
    """The facts without secrets, and without what says whose machine it is unless the configuration asks for that."""
    return dict(redact(facts if config.machine else shorten_paths(facts)))


def machine_facts(config: WandbConfig, run_dir: Path) -> dict[str, Any]:
    """Host, user and run folder, where the configuration asks for them."""
    return {"machine": identity(run_dir)} if config.machine else {}
