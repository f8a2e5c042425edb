"""The command `train`: a config becomes a run, and the same command goes on with it."""

from __future__ import annotations

import argparse
import time

from wavenet_pl.config.tree import Config, check_limits, load_config, split_arguments
from wavenet_pl.shards.index import Index, load_index
from wavenet_pl.signals import StopFlag


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
    check_limits(config)
    index = load_index(config.data.path)  # before torch is imported: a mistake should not have to wait
    from wavenet_pl.training.quiet import quieten
    from wavenet_pl.training.trainer_options import check_trainer

    quieten()
    check_trainer(config)
    return _train(args, config, index, flag, began)


def _train(args: argparse.Namespace, config: Config, index: Index, flag: StopFlag, began: float) -> int:
    import lightning.pytorch as L

    from wavenet_pl.data.datamodule import AudioDataModule
    from wavenet_pl.runs.checkpoints import newest_valid
    from wavenet_pl.runs.folder import run_folder
    from wavenet_pl.training import briefing
    from wavenet_pl.training.fit import Task, fit
    from wavenet_pl.training.module import build_module

    data = AudioDataModule(
        config.data, receptive_field=config.model.network.receptive_field, seed=config.seed, index=index,
        inputs=config.model.inputs, frame_context=config.model.condition.frame_context,
    )  # fmt: skip
    run = run_folder(config, data.index.fingerprint, args.runs)
    L.seed_everything(config.seed, workers=True, verbose=False)
    module = build_module(
        config, sample_rate=data.sample_rate, index_fingerprint=data.index.fingerprint, labels=data.labels
    )
    if args.dry_run:
        briefing.describe(run, config, data, module.model, None if args.fresh else newest_valid(run)[0])
        return 0
    return fit(Task(config, run, data, module), flag, began, fresh=args.fresh)
