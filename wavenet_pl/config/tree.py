"""The whole config of a run, and how it is loaded: defaults, then YAML files, then key=value arguments."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wavenet_pl.config import source as config_source
from wavenet_pl.config.loading import build, plain
from wavenet_pl.config.mistakes import check, shown
from wavenet_pl.config.model import ModelConfig
from wavenet_pl.config.trainer import check_options
from wavenet_pl.config.training import DataConfig, OptimConfig, SamplesConfig, TrainConfig, WandbConfig
from wavenet_pl.errors import UserError, did_you_mean
from wavenet_pl.files.foreign import printable


@dataclass(frozen=True, kw_only=True)
class Config:
    """Every setting of a run."""

    name: str = "wavenet"
    """What the run is called; its folder starts with it."""
    seed: int = 0
    """Seed of the weights and of the order of the data."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """The model: everything that its weights depend on."""
    data: DataConfig = field(default_factory=DataConfig)
    """What is read and how much at once."""
    optim: OptimConfig = field(default_factory=OptimConfig)
    """Optimizer, learning rate and the average of the weights."""
    samples: SamplesConfig = field(default_factory=SamplesConfig)
    """Clips generated while training."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """How the run uses its machine and keeps what it made."""
    wandb: WandbConfig = field(default_factory=WandbConfig)
    """Tracking in Weights & Biases."""
    trainer: dict[str, Any] = field(default_factory=dict)
    """Options of lightning.Trainer, passed straight through."""
    origins: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)
    """No setting: where each one that is not a default was given, as `FILE:LINE` or `command line`."""

    def __post_init__(self) -> None:
        good = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", self.name) is not None
        expected = "1 to 64 of letters, digits, . _ and -, the first a letter or digit: it names a folder"
        check(self, "name", good, expected)
        check(self, "seed", 0 <= self.seed < 2**32, "0 to 4294967295")
        receptive_field = self.model.network.receptive_field
        check(
            self,
            "data.crop_samples",
            self.data.crop_samples > receptive_field,
            f"more than the receptive field, which is {receptive_field} samples, or there is little to train on; "
            f"set data.crop_samples={max(16000, 4 * receptive_field)}, or a smaller model.network",
            *(f"model.network.{name}" for name in ("stacks", "layers_per_stack", "kernel_size")),
        )
        hang_after, budget = self.train.hang_after, self.samples.budget_seconds
        check(
            self,
            "train.hang_after",
            hang_after is None or self.samples.every_n_steps == 0 or hang_after > budget,
            f"more than samples.budget_seconds, which is {budget}: a set of clips is no step, and may take so long",
            "samples.budget_seconds",
        )
        check(
            self,
            "samples.top_p",
            self.samples.top_p == 1 or self.model.head.supports_top_p,
            "1, as model.head.kind is logistics, which draws from all codes; lower samples.temperature instead",
            "model.head.kind",
        )
        check_options(self.trainer)
        check(
            self,
            "optim.decay_steps",
            self.optim.schedule != "cosine" or self.decay_end is not None,
            "the step at which the cosine ends, or null with trainer.max_steps, which is that step then",
            "trainer.max_steps",
            "optim.schedule",
        )

    @property
    def decay_end(self) -> int | None:
        """The step at which a cosine has come down: optim.decay_steps, or the last one; None where there is no last."""
        last = self.trainer.get("max_steps")
        return self.optim.decay_steps or (last if isinstance(last, int) and last > 0 else None)

    def lr_factor(self, step: int) -> float:
        """Share of optim.lr at a step, counted from 0."""
        return self.optim.lr_factor(step, self.decay_end)


def load_config(
    files: Iterable[str | Path] = (), overrides: Iterable[str] = (), under: Mapping[str, Any] | None = None
) -> Config:
    """Lays YAML files over the defaults, and key=value arguments over those, each in order.

    Args:
        files: paths, or names of shipped configs such as `demo`.
        overrides: `section.name=value` arguments, the value in YAML.
        under: a tree of settings that files are laid over, as `to_plain` gives it.

    Raises:
        UserError: one message with every mistake, each with its key path and where it was given.
    """
    sources = [config_source.read_plain(under, "the base")] if under else []
    sources += [config_source.read_file(find_config(file)) for file in files]
    sources += [config_source.read_assignment(argument) for argument in overrides]
    config = _build(sources)
    if not config.data.path:
        origin = f"{config.origins['data.path']}: " if "data.path" in config.origins else ""
        raise UserError(
            f"{origin}data.path is not set, expected the folder or URL that `wavenet-pl prepare` wrote; "
            "add data.path=FOLDER"
        )
    return config


_LIMITS = ("max_steps", "max_epochs", "max_time")


def check_limits(config: Config) -> None:
    """A training without an end is refused.

    Raises:
        UserError: nothing says how long to train.
    """
    if not config.train.stop_after and not any(config.trainer.get(name) is not None for name in _LIMITS):
        raise UserError(
            "nothing says how long to train, expected one of trainer.max_steps, trainer.max_epochs, trainer.max_time "
            "or train.stop_after; add trainer.max_steps=100000, for instance"
        )


def split_arguments(arguments: Iterable[str]) -> tuple[list[str], list[str]]:
    """Divides `CONFIG ... key=value ...` arguments into files and overrides."""
    files: list[str] = []
    overrides: list[str] = []
    for argument in arguments:
        is_override = "=" in argument and not _is_file(argument)
        (overrides if is_override else files).append(argument)
    return files, overrides


def _is_file(name: str | Path) -> bool:
    """Whether it is there and no folder. A text that is longer than any path is none."""
    return os.path.exists(name) and not os.path.isdir(name)


def shipped_folder() -> Path:
    """Where the configs that come with the project lie: in the package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"


def shipped_configs() -> list[str]:
    """Names of the configs that come with the project, such as `demo` and `adapt/all`."""
    folder = shipped_folder()
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml"))


def find_config(name: str | Path) -> Path:
    """The file itself where it is there, else the shipped config of this name, which a folder does not hide.

    Raises:
        UserError: neither is there.
    """
    if _is_file(name):
        return Path(name)
    short = str(name).removeprefix("configs/").removesuffix(".yaml")
    names = shipped_configs()
    if short in names:
        return shipped_folder() / f"{short}.yaml"
    if os.path.isdir(name):
        return Path(name)  # whose reader says what to do
    raise UserError(
        f"{printable(str(name)):.300}: no such file, and no shipped config of this name ({', '.join(names)})"
        + did_you_mean(short, names, "a setting is written name=value")
    )


def to_plain(config: Config, *, all_defaults: bool = True) -> dict[str, Any]:
    """The config as dicts, lists, numbers, text and None only, for checkpoints and trackers; arguments as `plain`."""
    return plain(config, all_defaults=all_defaults)


def from_plain(tree: Mapping[str, Any], origin: str = "stored config") -> Config:
    """The config that `to_plain` gave this tree for; strict, and safe for a tree from anywhere.

    Args:
        tree: dicts, lists, numbers, text and None.
        origin: what messages say about where it stands.

    Raises:
        UserError: it is no mapping, or has an unknown name, a wrong type or a value out of range.
    """
    given = config_source.read_plain(tree, origin)
    if not isinstance(given.value, dict):  # none would be the default config, and so another model
        raise UserError(
            f"{origin}: its config is {shown(given):.80}, expected a mapping; use another copy of it"
        )
    return _build([given])


def to_yaml(config: Config) -> str:
    """The config with every default written out; `load_config` reads the same config from it."""
    return config_source.write_yaml(to_plain(config))


def _build(sources: list[config_source.Given]) -> Config:
    config, origins = build(Config, sources)
    config.origins.update(origins)
    return config
