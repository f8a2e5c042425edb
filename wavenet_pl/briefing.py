"""What `train` tells its user: what is about to be trained, why it stopped, what came out and what to type next."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import lightning.pytorch as L
import torch

from wavenet_pl.checkpoint import validation_bits
from wavenet_pl.codec import Codec
from wavenet_pl.config import Config
from wavenet_pl.data.baselines import Baselines, Codes, load_baselines, measure_baselines, save_baselines
from wavenet_pl.data.damage import Damage
from wavenet_pl.data.datamodule import AudioDataModule
from wavenet_pl.data.split import Split
from wavenet_pl.modules import WaveNetModule
from wavenet_pl.run import RunFolder, list_checkpoints
from wavenet_pl.signals import StopRun

BASELINE_SAMPLES = 2**25
"""So many samples of a split are enough to count codes: 35 minutes at 16 kHz."""


def describe(
    run: RunFolder, config: Config, data: AudioDataModule, module: WaveNetModule, resume: Path | None
) -> None:
    """What is about to be trained, on stderr, a line each."""
    field = config.model.network.receptive_field
    plan = data.plan("train", 0)
    hours = {split: data.index.seconds(split) / 3600 for split in data.splits}
    lines = {
        "run": f"{run.path}, {'from the start' if resume is None else f'going on from {resume.name}'}",
        "model": f"{config.model.kind}, {num_parameters(module):,} parameters, receptive field {field} samples "
        f"({1000 * field / data.sample_rate:.0f} ms)",
        "data": ", ".join(f"{split} {value:.2f} h" for split, value in hours.items())
        + f" at {data.sample_rate} Hz, {plan.num_slots} crops in {plan.num_batches} steps per epoch",
    }
    for name, text in lines.items():
        print(f"{name:>10}  {text}", file=sys.stderr)


def num_parameters(module: WaveNetModule) -> int:
    """Weights of a model."""
    return sum(parameter.numel() for parameter in module.parameters())


def measured_baselines(run: RunFolder, data: AudioDataModule, module: WaveNetModule) -> Baselines:
    """`baselines_of` the data in the comparable codec's codes, measured once per run."""
    if run.baselines.exists():
        return load_baselines(run.baselines)
    baselines = baselines_of(data.splits["train"], data.splits["val"], module.comparable_codec)
    save_baselines(baselines, run.baselines)
    return baselines


def baselines_of(train: Split, scored: Split, codec: Codec) -> Baselines:
    """Counted on one split and scored on another, in the codec's codes; at most `BASELINE_SAMPLES` of each."""
    return measure_baselines(
        _codes_of(train, codec),
        _codes_of(scored, codec),
        quantization_channels=codec.quantization_channels,
        silence_code=codec.silence_code,
    )


def _codes_of(recordings: Split, codec: Codec) -> Iterator[Codes]:
    """Codes (frames,) of each recording that can be read."""
    left = BASELINE_SAMPLES
    for position in range(len(recordings)):
        left -= recordings[position].frames
        if left < 0 and position > 0:
            return
        audio = recordings.try_read(position)
        if not isinstance(audio, Damage):  # what is damaged is told where it is trained on or scored
            yield codec.encode(torch.from_numpy(audio)).numpy()


def show_baselines(baselines: Baselines, module: WaveNetModule) -> None:
    """What simple models reach, on stderr."""
    print(
        f"{'baselines':>10}  bits per sample of {module.comparable_codec.describe()} on validation: uniform "
        f"{baselines.uniform:.3f}, unigram {baselines.unigram:.3f}, order-1 {baselines.order1:.3f}",
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
    baselines = load_baselines(run.baselines)
    rows = {"uniform": baselines.uniform, "unigram": baselines.unigram, "order-1": baselines.order1}
    bits, comparable = validation_bits(run), validation_bits(run, module.comparable_key)
    step = min(bits, key=lambda step: bits[step], default=0)
    if step in comparable:
        rows[f"model (step {step})"] = comparable[step]
    codes = module.comparable_codec.describe()
    print(f"\nfinished at step {trainer.global_step}; validation bits per sample of {codes}:")
    for name, value in rows.items():
        print(f"  {name:<18}{value:7.3f}")
    if module.comparable_codec != module.codec and step in bits:
        print(f"  of {module.codec.describe()} the model has {bits[step]:.3f}")
    print(f"\nrun folder   {run.path}\nclips        {run.clips}\nW&B          {run.path / 'wandb'}")
    print(f"type next    wavenet-pl generate {run.path} --out clips")
