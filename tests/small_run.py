"""A training of seconds with everything real: shards, datamodule, module, trainer, loggers."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import torch

from tests.shards.made import write_shard_set
from wavenet_pl.config.model import ModelConfig, NetworkConfig
from wavenet_pl.config.training import DataConfig, SamplesConfig, WandbConfig
from wavenet_pl.config.tree import Config, to_plain
from wavenet_pl.data.datamodule import AudioDataModule
from wavenet_pl.training.callbacks.steps import StepMetrics
from wavenet_pl.training.metrics_file import MetricsFile
from wavenet_pl.training.module import WaveNetModule, build_module
from wavenet_pl.training.wandb_logger import RunTracker, build_wandb_logger

RUN_ID = "small-123abc"


def small_config(folder: Path, **sections: Any) -> Config:
    """A net of 4 layers on a made shard set below the folder; sections replace those of `Config`."""
    data = folder / "data"
    if not data.exists():
        write_shard_set(data)
    network = NetworkConfig(
        stacks=1, layers_per_stack=4, residual_channels=8, gate_channels=8, skip_channels=8
    )
    samples = SamplesConfig(every_n_steps=2, count=2, seconds=0.05, prompt_seconds=0.02)
    defaults: dict[str, Any] = {
        "name": "small",
        "model": ModelConfig(network=network),
        "data": DataConfig(path=str(data), batch_size=4, crop_samples=400, num_workers=0),
        "samples": samples,
        "wandb": WandbConfig(mode="offline", log_every_n_steps=2),
        "trainer": {"max_steps": 4},
    }
    return Config(**{**defaults, **sections})


def build_data_and_module(config: Config) -> tuple[AudioDataModule, WaveNetModule]:
    """Both as a run of this config has them at its start."""
    data = AudioDataModule.from_config(config)
    torch.manual_seed(config.seed)
    return data, build_module(
        config, sample_rate=data.sample_rate, index_fingerprint=data.shard_set.fingerprint, labels=data.labels
    )


def build_loggers(
    config: Config, run_dir: Path, fingerprint: str, facts: Mapping[str, Any] | None = None
) -> tuple[MetricsFile, RunTracker | None]:
    """metrics.jsonl, and W&B where the config asks for it."""
    tracker = build_wandb_logger(
        config.wandb,
        run_dir=run_dir,
        run_id=RUN_ID,
        run_config={**to_plain(config), **(facts or {})},
        index_fingerprint=fingerprint,
    )
    return MetricsFile(run_dir / "metrics.jsonl"), tracker


def train(
    config: Config,
    run_dir: Path,
    callbacks: Sequence[L.Callback] = (),
    *,
    facts: Mapping[str, Any] | None = None,
    ckpt_path: Path | None = None,
    **options: Any,
) -> L.Trainer:
    """Fit as the config says on one CPU process, and finish the trackers."""
    data, module = build_data_and_module(config)
    metrics, tracker = build_loggers(config, run_dir, data.shard_set.fingerprint, facts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Lightning thinks of few workers and the like
        trainer = L.Trainer(
            **{"enable_checkpointing": False, **config.trainer, **options},
            enable_progress_bar=any(isinstance(callback, L.callbacks.ProgressBar) for callback in callbacks),
            accelerator="cpu",
            callbacks=[StepMetrics(), *callbacks],
            logger=[metrics] if tracker is None else [metrics, tracker],
            enable_model_summary=False,
            default_root_dir=str(run_dir),
            log_every_n_steps=1,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
        )
        metrics.attach(trainer)
        if tracker is not None:
            tracker.attach(trainer)
        trainer.fit(module, datamodule=data, ckpt_path=ckpt_path, weights_only=True)
    if tracker is not None:
        tracker.finish()
    return trainer
