"""What `train` tells its user: what is about to be trained, why it stopped, what came out and what to type next."""

from __future__ import annotations

import sys
from pathlib import Path

import lightning.pytorch as L

from wavenet_pl.config.tree import Config
from wavenet_pl.data.datamodule import AudioDataModule
from wavenet_pl.evaluation.baselines import (
    Baselines,
    baselines_of,
    load_baselines,
    save_baselines,
)
from wavenet_pl.model import Model
from wavenet_pl.runs.beginning import Beginning
from wavenet_pl.runs.checkpoints import validation_bits
from wavenet_pl.runs.examples import print_next
from wavenet_pl.runs.folder import RunFolder, list_checkpoints
from wavenet_pl.signals import StopRun
from wavenet_pl.training.memory import step_gib
from wavenet_pl.training.module import WaveNetModule


def describe(
    run: RunFolder,
    config: Config,
    data: AudioDataModule,
    model: Model,
    resume: Path | None,
    beginning: Beginning | None = None,
) -> None:
    """What is about to be trained, on stderr, a line each."""
    receptive_field = config.model.network.receptive_field
    plan, precision = data.plan("train", 0), str(config.trainer.get("precision", "32-true"))
    hours = {split: data.index.seconds(split) / 3600 for split in data.splits}
    lines = {
        "run": f"{run.path}, {'from the start' if resume is None else f'going on from {resume.name}'}",
        "model": f"{config.model.kind}, {model.num_parameters:,} parameters, receptive field {receptive_field} samples "
        f"({1000 * receptive_field / data.sample_rate:.0f} ms)",
        "data": ", ".join(f"{split} {value:.2f} h" for split, value in hours.items())
        + f" at {data.sample_rate} Hz, {plan.num_slots} crops in {plan.num_batches} steps per epoch",
        "memory": f"about {1024 * step_gib(model, 1, precision):.0f} MiB for each crop that is trained on at a time",
    }
    if beginning is not None:
        lines["begun with"] = str(beginning)
    for name, text in lines.items():
        print(f"{name:>10}  {text}", file=sys.stderr)


def measured_baselines(run: RunFolder, data: AudioDataModule, model: Model) -> Baselines:
    """`baselines_of` the data in the comparable codec's codes, measured once per run."""
    if run.baselines.exists():
        return load_baselines(run.baselines)
    baselines = baselines_of(data.splits["train"], data.splits["val"], model.comparable_codec)
    save_baselines(baselines, run.baselines)
    return baselines


def show_baselines(baselines: Baselines, model: Model) -> None:
    """What simple models reach, on stderr."""
    print(
        f"{'baselines':>10}  bits per sample of {model.comparable_codec.describe()} on validation: "
        + ", ".join(f"{name} {bits:.3f}" for name, bits in baselines.rows.items()),
        file=sys.stderr,
    )


def say_stopped(run: RunFolder, stop: StopRun) -> None:
    """Why the run ended, what is kept of it, and how it goes on."""
    paths = list_checkpoints(run)
    kept = f"the newest checkpoint is {paths[-1]}" if paths else f"there is no checkpoint in {run.path} yet"
    advice = "the same command goes on from there" if paths else "the same command starts again"
    print(f"\n{stop.message}; {kept}; {advice}", file=sys.stderr)


def say_end(run: RunFolder, trainer: L.Trainer) -> None:
    """What came out, beside what simple models reach, and what to type next."""
    module = trainer.lightning_module
    assert isinstance(module, WaveNetModule)
    model = module.model
    rows = load_baselines(run.baselines).rows
    bits, comparable = validation_bits(run), validation_bits(run, model.comparable_key)
    step = min(bits, key=lambda step: bits[step], default=0)
    if step in comparable:
        rows[f"model (step {step})"] = comparable[step]
    codes = model.comparable_codec.describe()
    print(f"\nfinished at step {trainer.global_step}; validation bits per sample of {codes}:")
    for name, value in rows.items():
        print(f"  {name:<18}{value:7.3f}")
    if model.comparable_codec != model.codec and step in bits:
        print(f"  of {model.codec.describe()} the model has {bits[step]:.3f}")
    print(f"\nrun folder   {run.path}")
    for name, path in (("clips", run.clips), ("W&B", run.path / "wandb")):
        if path.exists():
            print(f"{name:<13}{path}")
    print_next(run.path, model.inputs, run)
