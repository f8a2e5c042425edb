"""The command `train`: a config becomes a run, and the same command goes on with it."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wavenet_pl.config import Config, build_trainer, check_trainer, load_config, split_arguments, to_plain
from wavenet_pl.data.index import Index, load_index
from wavenet_pl.errors import UserError
from wavenet_pl.signals import StopFlag

if TYPE_CHECKING:
    import lightning.pytorch as L

    from wavenet_pl.data.baselines import Baselines
    from wavenet_pl.data.datamodule import AudioDataModule
    from wavenet_pl.modules import WaveNetModule
    from wavenet_pl.run import RunFolder
    from wavenet_pl.tracking.wandb_logger import RunTracker

BASELINE_SAMPLES = 2**25
"""So many samples of a split are enough to count codes: 35 minutes at 16 kHz."""
_LIMITS = ("max_steps", "max_epochs", "max_time")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `wavenet-pl train`."""
    parser.add_argument(
        "settings", nargs="*", metavar="CONFIG | key=value",
        help="YAML files, or names of shipped configs such as `demo`, and settings such as data.path=data/speech; "
        "later ones win",
    )  # fmt: skip
    parser.add_argument("--runs", default="runs", metavar="DIR", help="where run folders lie (default: runs)")
    parser.add_argument(
        "--fresh",
        action="store_true",
        help="start over; an earlier run of this experiment is set aside, not deleted",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be trained, and write nothing")


def main(args: argparse.Namespace) -> int:
    """Train until a limit, a signal or Ctrl-C; returns the exit code."""
    began = time.monotonic()
    flag = StopFlag()
    flag.install()  # before anything takes time: a signal must find its handler
    files, overrides = split_arguments(args.settings)
    config = load_config(files, overrides)
    if not config.train.stop_after and not any(config.trainer.get(name) is not None for name in _LIMITS):
        raise UserError(
            "nothing says how long to train, expected one of trainer.max_steps, trainer.max_epochs, trainer.max_time "
            "or train.stop_after; add trainer.max_steps=100000, for instance"
        )
    index = load_index(config.data.path)  # before torch is imported: a mistake should not have to wait
    _quieten()
    check_trainer(config)
    return _train(args, config, index, flag, began)


def _train(args: argparse.Namespace, config: Config, index: Index, flag: StopFlag, began: float) -> int:
    import lightning.pytorch as L
    import torch

    from wavenet_pl.callbacks.checkpoints import Checkpoints
    from wavenet_pl.callbacks.preemption import Preemption, StopRun, exit_code
    from wavenet_pl.checkpoint import newest_valid
    from wavenet_pl.data.datamodule import AudioDataModule, check_batch_size
    from wavenet_pl.modules import build_module
    from wavenet_pl.run import run_folder

    receptive_field = config.model.network.receptive_field
    data = AudioDataModule(config.data, receptive_field=receptive_field, seed=config.seed, index=index)
    run = run_folder(config, data.index.fingerprint, args.runs)
    L.seed_everything(config.seed, workers=True, verbose=False)
    module = build_module(config, sample_rate=data.sample_rate, index_fingerprint=data.index.fingerprint)
    resume, passed_over = (None, []) if args.fresh else newest_valid(run)
    if args.dry_run:
        _describe(run, config, data, module, resume)
        return 0
    checkpoints = Checkpoints(run, config.train)
    stop_at = None if config.train.stop_after is None else began + config.train.stop_after
    trainer = _build_trainer(run, config, [checkpoints, Preemption(flag, checkpoints, stop_at)])
    check_batch_size(config.data.batch_size, trainer.world_size, trainer.accumulate_grad_batches)
    torch.set_num_threads(config.train.threads or max(1, len(os.sched_getaffinity(0)) // trainer.num_devices))
    if config.train.compile:
        module.network.compile()
    tracker = _prepare_rank_zero(args, run, config, data, module, trainer, resume, passed_over)
    code = 0
    try:
        trainer.fit(
            module, datamodule=data, ckpt_path=None if resume is None else str(resume), weights_only=True
        )
    except StopRun as stop:
        code = exit_code(trainer, stop.code)
        if trainer.is_global_zero:
            print(
                f"\nstopped and saved at step {stop.step} in {run.path}; the same command goes on from there",
                file=sys.stderr,
            )
    except BaseException:
        code = 1
        raise
    finally:
        if tracker is not None:
            if code != 1:  # else what failed is the message, and not what cannot be kept of it
                _keep_models(run, tracker)
            tracker.finish(code)
    if code == 0 and trainer.is_global_zero:
        _say_end(run, trainer)
    return code


def _build_trainer(run: RunFolder, config: Config, callbacks: list[L.Callback]) -> L.Trainer:
    """A Trainer with the config's own options and what is ours."""
    from wavenet_pl.callbacks.ema import AveragedWeights
    from wavenet_pl.callbacks.progress import RunProgress
    from wavenet_pl.callbacks.samples import SampleLogger
    from wavenet_pl.callbacks.steps import StepMetrics
    from wavenet_pl.callbacks.throughput import Throughput
    from wavenet_pl.checkpoint import AtomicCheckpointIO

    average = AveragedWeights(config.optim.ema_decay) if config.optim.ema_decay else None
    ours: list[L.Callback] = [StepMetrics(), Throughput()] + ([average] if average else [])
    if config.samples.every_n_steps:
        weights = {"weights": average.averaged} if average else {}
        ours.append(SampleLogger(config.samples, run.path / "clips", **weights))
    if config.trainer.get("enable_progress_bar", True):
        ours.append(RunProgress())
    return build_trainer(
        config,
        callbacks=ours + callbacks,
        plugins=[AtomicCheckpointIO()],
        logger=False,
        default_root_dir=str(run.path),
        enable_model_summary=False,
        max_epochs=-1,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        log_every_n_steps=1,
    )


def _prepare_rank_zero(
    args: argparse.Namespace,
    run: RunFolder,
    config: Config,
    data: AudioDataModule,
    module: WaveNetModule,
    trainer: L.Trainer,
    resume: Path | None,
    passed_over: list[str],
) -> RunTracker | None:
    """The run folder, what is known of data and model, and the loggers, which do nothing on other ranks."""
    from wavenet_pl.checkpoint import checkpoint_step
    from wavenet_pl.tracking.metrics_file import MetricsFile, cut_back
    from wavenet_pl.tracking.wandb_logger import build_wandb_logger

    facts: dict[str, Any] = {}
    if trainer.is_global_zero:
        aside = run.set_aside() if args.fresh else None
        if aside is not None:
            print(f"the earlier run is now {aside}", file=sys.stderr)
        git = run.create(config)
        cut_back(run.metrics, -1 if resume is None else checkpoint_step(resume))
        for reason in passed_over:
            print(f"passed over: {reason}", file=sys.stderr)
        _describe(run, config, data, module, resume)
        _show_baselines(run, _baselines(run, data, module))
        facts = {
            "git": git,
            "parameters": _num_parameters(module),
            "receptive_field": config.model.network.receptive_field,
        }
    metrics = MetricsFile(run.metrics)
    metrics.attach(trainer)
    tracker = build_wandb_logger(
        config.wandb,
        run_dir=run.path,
        run_id=run.name,
        run_config={**to_plain(config), **facts},
        index_fingerprint=data.index.fingerprint,
    )
    if tracker is not None:
        tracker.attach(trainer)
    trainer.loggers = [metrics] if tracker is None else [metrics, tracker]
    return tracker


def _describe(
    run: RunFolder, config: Config, data: AudioDataModule, module: WaveNetModule, resume: Path | None
) -> None:
    """What is about to be trained, on stderr, a line each."""
    field = config.model.network.receptive_field
    plan = data.plan("train", 0)
    hours = {split: data.index.seconds(split) / 3600 for split in data.splits}
    lines = {
        "run": f"{run.path}, {'from the start' if resume is None else f'going on from {resume.name}'}",
        "model": f"{config.model.kind}, {_num_parameters(module):,} parameters, receptive field {field} samples "
        f"({1000 * field / data.sample_rate:.0f} ms)",
        "data": ", ".join(f"{split} {value:.2f} h" for split, value in hours.items())
        + f" at {data.sample_rate} Hz, {plan.num_slots} crops in {plan.num_batches} steps per epoch",
    }
    for name, text in lines.items():
        print(f"{name:>10}  {text}", file=sys.stderr)


def _num_parameters(module: WaveNetModule) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _baselines(run: RunFolder, data: AudioDataModule, module: WaveNetModule) -> Baselines:
    """Measured once per run, on at most `BASELINE_SAMPLES` of each split."""
    import torch

    from wavenet_pl.data.baselines import Baselines, measure_baselines

    if run.baselines.exists():
        return Baselines(**json.loads(run.baselines.read_text(encoding="utf-8")))

    def codes(split: str) -> Any:
        left = BASELINE_SAMPLES
        recordings = data.splits[split]
        for position in range(len(recordings)):
            left -= recordings[position].frames
            if left < 0 and position > 0:
                return
            yield module.codec.encode(torch.from_numpy(recordings.read(position))).numpy()

    baselines = measure_baselines(
        codes("train"),
        codes("val"),
        quantization_channels=module.codec.quantization_channels,
        silence_code=module.codec.silence_code,
    )
    run.baselines.write_text(json.dumps(asdict(baselines)) + "\n", encoding="utf-8")
    return baselines


def _show_baselines(run: RunFolder, baselines: Baselines) -> None:
    print(
        f"{'baselines':>10}  bits per sample on validation: uniform {baselines.uniform:.3f}, unigram "
        f"{baselines.unigram:.3f}, order-1 {baselines.order1:.3f}",
        file=sys.stderr,
    )


def _keep_models(run: RunFolder, tracker: RunTracker) -> None:
    """The best and the last checkpoint as model artifacts, where wandb.artifacts asks for them."""
    from wavenet_pl.checkpoint import best_checkpoint, checkpoint_step, list_checkpoints, validation_bits

    if not tracker.config.artifacts or not list_checkpoints(run):
        return
    bits = validation_bits(run)
    aliases: dict[Path, list[str]] = {best_checkpoint(run): ["best"]}
    aliases.setdefault(list_checkpoints(run)[-1], []).append("last")
    for path, names in aliases.items():
        step = checkpoint_step(path)
        tracker.log_model(path, names, {"step": step, "val/bits": bits.get(step)})


def _say_end(run: RunFolder, trainer: L.Trainer) -> None:
    """What came out, beside what simple models reach, and what to type next."""
    from wavenet_pl.checkpoint import validation_bits
    from wavenet_pl.data.baselines import Baselines

    baselines = Baselines(**json.loads(run.baselines.read_text(encoding="utf-8")))
    rows = {"uniform": baselines.uniform, "unigram": baselines.unigram, "order-1": baselines.order1}
    bits = validation_bits(run)
    if bits:
        step = min(bits, key=lambda step: bits[step])
        rows[f"model (step {step})"] = bits[step]
    print(f"\nfinished at step {trainer.global_step}; validation bits per sample:")
    for name, value in rows.items():
        print(f"  {name:<18}{value:7.3f}")
    print(f"\nrun folder   {run.path}\nclips        {run.path / 'clips'}\nW&B          {run.path / 'wandb'}")
    print(f"type next    wavenet-pl generate {run.path} --out clips")


def _quieten() -> None:
    """What the libraries below say that is no news to the user."""
    import lightning.pytorch  # noqa: F401 - it sets the levels of its loggers when it is imported

    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("wavenet_pl").setLevel(logging.INFO)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",
        ".*`srun` command is available.*",
        ".*litlogger.*",
        ".*isinstance.treespec, LeafSpec.*",
        ".*Trying to infer the `batch_size`.*",
        ".*Checkpoint directory .* exists and is not empty.*",
        ".*This DataLoader will create.*",
        ".*mid-epoch checkpoint.*",
        ".*all_gather is deprecated.*",
        ".*recommended to use `self.log.*sync_dist=True.*",  # val/bits is reduced already
    ):
        warnings.filterwarnings("ignore", message=message)
