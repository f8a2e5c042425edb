"""The command `train`: a config becomes a run, and the same command goes on with it."""

from __future__ import annotations

import argparse
import time

from wavenet_pl.config.tree import Config, check_limits, load_config, shipped_configs, split_arguments
from wavenet_pl.errors import ExitCode
from wavenet_pl.shards.shard_set import ShardSet, open_set
from wavenet_pl.signals import StopFlag
from wavenet_pl.training.launch import check_launch, launch_variables


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `wavenet-pl train`."""
    parser.epilog = (
        f"Configs that come with the project: {', '.join(shipped_configs())}. Every setting and what it means: "
        "docs/settings.md; those of a run, defaults included: its config.yaml."
    )
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
    flag = StopFlag(exits=True)
    flag.install()  # before anything takes time: a signal must find its handler
    files, overrides = split_arguments(args.settings)
    config = load_config(files, overrides)
    check_limits(config)
    check_launch(config.trainer, launch_variables())
    shard_set = open_set(config.data.path)  # before torch is imported: a mistake should not have to wait
    from wavenet_pl.training.quiet import quieten
    from wavenet_pl.training.trainer_options import check_trainer

    quieten()
    check_trainer(config)
    return _train(args, config, shard_set, flag, began)


def _train(
    args: argparse.Namespace, config: Config, shard_set: ShardSet, flag: StopFlag, began: float
) -> int:
    from wavenet_pl.runs.checkpoints import newest_valid
    from wavenet_pl.training import briefing
    from wavenet_pl.training.fit import fit
    from wavenet_pl.training.train import build_task
    from wavenet_pl.training.trainer_options import build_trainer, check_batches

    task = build_task(config, shard_set, args.runs)
    if args.dry_run:
        trainer = build_trainer(config, logger=False, enable_checkpointing=False)
        check_batches(config, trainer, task.data.num_batches)
        resume = None if args.fresh else newest_valid(task.run)[0]
        briefing.describe(task, trainer, resume)
        return ExitCode.DONE
    return fit(task, flag, began, fresh=args.fresh)
