"""A training before it begins: of what, on what, where, and what it has beside what all have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from wavenet_pl.config.tree import Config
from wavenet_pl.runs.folder import RunFolder

if TYPE_CHECKING:
    import lightning.pytorch as L
    from lightning.pytorch.loggers import Logger

    from wavenet_pl.data.datamodule import AudioDataModule
    from wavenet_pl.runs.beginning import Beginning
    from wavenet_pl.training.module import WaveNetModule
    from wavenet_pl.training.wandb_logger import RunTracker


@dataclass(kw_only=True)
class Extras:
    """What one kind of training has beside what all have."""

    callbacks: Sequence[L.Callback] = ()
    """Act after a step and after a validation before that is saved."""
    loggers: Sequence[Logger] = ()
    """Get every row, beside the run folder and W&B."""
    job_type: str = "train"
    """What the tracker calls this kind of work."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """For the tracker, beside the config."""
    warn_unused_condition: bool = True
    """Whether a condition that makes no sure difference is warned of at every validation."""
    at_end: Callable[[RunTracker | None], None] | None = None
    """Called on rank 0 at the training's end, while the tracker still takes something; says itself what came out."""


@dataclass
class Task:
    """One training: of what, on what, and where."""

    config: Config
    run: RunFolder
    data: AudioDataModule
    module: WaveNetModule
    extras: Extras = field(default_factory=Extras)
    beginning: Beginning | None = None
    """What it began with; None for weights of its own."""

    def __post_init__(self) -> None:
        self.module.model.network.recompute = self.config.train.recompute
        self.module.model.network.compiled = self.config.train.compile
