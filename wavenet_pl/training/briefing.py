"""What `train` tells its user: what is about to be trained, why it stopped, what came out and what to type next."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import lightning.pytorch as L

from wavenet_pl.config.tree import Config, load_config
from wavenet_pl.data.datamodule import AudioDataModule
from wavenet_pl.errors import UserError
from wavenet_pl.evaluation.baselines import (
    Baselines,
    baselines_of,
    load_baselines,
    save_baselines,
)
from wavenet_pl.model import Model
from wavenet_pl.runs.checkpoints import newest_valid, validation_bits
from wavenet_pl.runs.differences import describe_nearest
from wavenet_pl.runs.examples import print_next
from wavenet_pl.runs.folder import RunFolder, checkpoint_step
from wavenet_pl.shards.shard_set import ShardSet
from wavenet_pl.signals import StopRun
from wavenet_pl.tracking.rows import missing_steps
from wavenet_pl.training.memory import step_gib
from wavenet_pl.training.module import WaveNetModule
from wavenet_pl.training.task import Task
from wavenet_pl.training.trainer_options import threads_of

_log = logging.getLogger(__name__)

_NAMED = 3
"""So many gaps are named."""


def describe(task: Task, trainer: L.Trainer, resume: Path | None) -> None:
    """What is about to be trained, how, and for how long, on stderr, a line each. To be called before the run folder is
    written to: what lies there tells how the run was planned.

    Args:
        task: what is trained.
        trainer: what trains it.
        resume: the checkpoint that it goes on from; None for the start.
    """
    run, config, data, model = task.run, task.config, task.data, task.module.model
    receptive_field = config.model.network.receptive_field
    precision = str(config.trainer.get("precision", "32-true"))
    lines = {"run": f"{run.path}, {'from the start' if resume is None else f'going on from {resume.name}'}"}
    if resume is None and (nearest := describe_nearest(run, config)) is not None:
        lines["beside it"] = nearest
    lines |= {
        "model": f"{config.model.kind}, {model.num_parameters:,} parameters, receptive field {receptive_field} samples "
        f"({1000 * receptive_field / data.sample_rate:.0f} ms)",
        "data": ", ".join(f"{split} {_length(data.shard_set.seconds(split))}" for split in data.splits)
        + f" at {data.sample_rate} Hz",
        "order": _order(config, data.shard_set),
        "machine": f"{_processes(config, trainer)}, precision {trainer.precision}",
        "steps": _steps(config, data),
        "rate": _rate(config) + ("" if resume is None else _replanned(run, config, checkpoint_step(resume))),
        "memory": f"about {1024 * step_gib(model, 1, precision):.0f} MiB for each crop that is trained on at a time",
    }
    if task.beginning is not None:
        lines["begun with"] = str(task.beginning)
    for name, text in lines.items():
        print(f"{name:>10}  {text}", file=sys.stderr)
    _warn_no_rate(config)


def _order(config: Config, shard_set: ShardSet) -> str:
    """How crops are drawn, and what is kept near."""
    shares = [f"{each.part / sum(shard_set.parts):.3g} of {each.name}" for each in shard_set.sources]
    window, cache = config.data.window, config.data.cache
    drawn = "from the whole set" if window is None else f"in lanes, from {window} shards each at a time"
    mixed = f"; {', '.join(shares)}" if len(shares) > 1 else ""
    return f"crops {drawn}{mixed}" + ("" if cache is None else f"; shards are copied to {cache} ahead")


def _length(seconds: float) -> str:
    """Hours, or minutes where there are few."""
    return f"{seconds / 3600:.1f} h" if seconds >= 2 * 3600 else f"{seconds / 60:.1f} min"


def _processes(config: Config, trainer: L.Trainer) -> str:
    device, number = trainer.strategy.root_device.type, trainer.world_size
    threads = f", {threads_of(config, trainer)} thread(s) each" if device == "cpu" else ""
    nodes = f" on {trainer.num_nodes} nodes" if trainer.num_nodes > 1 else ""
    return f"{device}, {number} process(es){nodes}{threads}"


def _steps(config: Config, data: AudioDataModule) -> str:
    plan, crops = data.plan("train", 0), config.data.crop_samples
    limit = config.trainer.get("max_steps")
    number = "" if not limit or limit < 0 else f"{limit:,} of them, {limit / plan.num_batches:.1f} epochs; "
    each = f"{config.data.batch_size} crops of {crops:,} samples ({1000 * crops / data.sample_rate:.0f} ms) in each"
    audio = _length(plan.num_slots * crops / data.sample_rate)
    return f"{number}{each}, {plan.num_batches:,} an epoch, with {audio} of audio"


def _rate(config: Config) -> str:
    optim, end = config.optim, config.decay_end
    warm = f"{optim.lr:g} after {optim.warmup_steps:,} steps"
    if optim.schedule == "cosine":
        return f"{warm}, then on a cosine down to {optim.lr * optim.final_lr_fraction:g} at step {end:,}"
    return f"{warm}, then with 1 / sqrt(step)" if optim.schedule == "inverse_sqrt" else warm


def _replanned(run: RunFolder, config: Config, step: int) -> str:
    """What another end of the cosine means for a run that goes on at a step."""
    try:
        before = load_config([run.config])
    except UserError:
        return ""
    if config.optim.schedule != "cosine" or before.decay_end == config.decay_end:
        return ""
    old, new = (each.optim.lr * each.lr_factor(step) for each in (before, config))
    end = before.decay_end or 0
    return f". It was to come down at step {end:,}, so at step {step:,} it goes from {old:.3g} to {new:.3g}"


def _warn_no_rate(config: Config) -> None:
    """Of steps in which nothing is learned any more."""
    optim, limit, end = config.optim, config.trainer.get("max_steps") or -1, config.decay_end
    if (
        optim.schedule == "cosine"
        and not optim.final_lr_fraction
        and end is not None
        and not 0 <= limit <= end
    ):
        _log.warning(
            f"from step {end:,} on the learning rate is 0, and nothing is learned; leave optim.decay_steps out, which "
            "is trainer.max_steps then, or set optim.final_lr_fraction"
        )


def measured_baselines(run: RunFolder, data: AudioDataModule, model: Model) -> Baselines:
    """`baselines_of` the data in the comparable codec's codes, measured once per run."""
    if run.baselines.exists():
        return load_baselines(run.baselines)
    baselines = baselines_of(
        data.splits["train"].spread(), data.splits["val"].spread(), model.comparable_codec
    )
    save_baselines(baselines, run.baselines)
    return baselines


def show_baselines(baselines: Baselines, model: Model) -> None:
    """What simple models reach, on stderr."""
    print(
        f"{'baselines':>10}  bits per sample of {model.comparable_codec.describe()} on validation: "
        + ", ".join(f"{name} {bits:.3f}" for name, bits in baselines.rows.items()),
        file=sys.stderr,
    )


def say_lost_rows(run: RunFolder, step: int) -> None:
    """Which rows a disk or a hand took from metrics.jsonl, of the steps that a run goes on from; nothing where all are.

    Args:
        run: its folder.
        step: of the checkpoint.
    """
    if gaps := missing_steps(run.metrics, step):
        named = ", ".join(f"{gap[0]} to {gap[-1]}" if len(gap) > 1 else f"{gap[0]}" for gap in gaps[:_NAMED])
        more = ", and others" if len(gaps) > _NAMED else ""
        print(
            f"{run.metrics} has lost rows: expected one for each of {step} steps, and {sum(map(len, gaps))} have none "
            f"(step {named}{more}). The weights are as they were; curves lack these steps, and a validation among them "
            "does not count for the best checkpoint. To have them back, stop, copy the file back and go on",
            file=sys.stderr,
        )


def say_stopped(run: RunFolder, stop: StopRun) -> None:
    """Why the run ended, what is kept of it, and how it goes on."""
    try:
        newest, _ = newest_valid(run)
    except UserError as error:  # it ends as it should: who requeues it looks at its exit code
        print(f"\n{stop.message}; {error}", file=sys.stderr)
        return
    kept = f"the newest checkpoint is {newest}" if newest else f"there is no checkpoint in {run.path} yet"
    advice = "the same command goes on from there" if newest else "the same command starts again"
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
