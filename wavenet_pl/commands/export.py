"""The command `export`: a trained model as safetensors with its config and a model card, to give to others."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from wavenet_pl.errors import UserError
from wavenet_pl.files.foreign import read_file

if TYPE_CHECKING:
    from wavenet_pl.config.tree import Config
    from wavenet_pl.runs.folder import RunFolder

CARD_NAME = "README.md"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `wavenet-pl export`."""
    parser.add_argument("run", metavar="RUN", help="a run folder, or one checkpoint")
    parser.add_argument("--out", required=True, metavar="DIR", help="the export: a new or an empty folder")
    parser.add_argument(
        "--checkpoint",
        metavar="best|last|FILE",
        help="which of a run: the lowest val/bits, the newest, or this one (default: best)",
    )
    parser.add_argument("--licence", metavar="TEXT", help="licence of the weights, for the model card")
    parser.add_argument(
        "--data-licence", metavar="TEXT", help="licence of the recordings, for the model card"
    )
    parser.add_argument(
        "--half", action="store_true", help="weights in half precision: half the size, and rounded to 11 bits"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be written, and write nothing")


def main(args: argparse.Namespace) -> int:
    """Choose a checkpoint, check it, write the three files; returns the exit code."""
    for option, text in (("--licence", args.licence), ("--data-licence", args.data_licence)):
        if text is not None and not (text.strip() and text.isprintable()):
            raise UserError(f"{option} is {text!r}, expected one line of text, such as CC-BY-4.0")
    from wavenet_pl.config.source import write_yaml
    from wavenet_pl.config.tree import to_plain
    from wavenet_pl.evaluation.model_card import describe_model
    from wavenet_pl.files.redaction import redact, redact_text
    from wavenet_pl.runs.examples import print_next
    from wavenet_pl.runs.loading import load, read_checkpoint
    from wavenet_pl.runs.weights import CONFIG_NAME, WEIGHTS_NAME, encode_weights

    path, run = choose_checkpoint(args.run, args.checkpoint)
    model, checkpoint = load(path), read_checkpoint(path)
    step = checkpoint.get("global_step")
    if type(step) is not int or step < 0:
        raise UserError(f"{path} has the step {step!r:.40}, expected 0 or more; export another checkpoint")
    card = describe_model(
        model,
        step,
        run,
        averaged="current_model_state" in checkpoint,
        half=args.half,
        licence=args.licence,
        data_licence=args.data_licence,
    )
    files = {
        CARD_NAME: redact_text(card).encode(),
        CONFIG_NAME: write_yaml(redact(to_plain(shareable(model.config)))).encode(),
        WEIGHTS_NAME: encode_weights(model, step, half=args.half),  # last: with it, the folder is an export
    }
    out = Path(args.out)
    left = _check_folder(out, files)
    if not args.dry_run:
        _write(out, files, left)
    print(f"{'would export' if args.dry_run else 'exported'} {path}, step {step}:")
    for name, content in files.items():
        print(f"  {out / name}  {len(content):,} bytes")
    if not args.dry_run:
        print_next(out, model.inputs, run)
    return 0


def shareable(config: Config) -> Config:
    """The config without what is somebody's own: of any path the last name is left, and nothing of W&B."""
    from wavenet_pl.config.training import WandbConfig
    from wavenet_pl.config.tree import from_plain, to_plain
    from wavenet_pl.files.redaction import shorten_paths

    return from_plain(shorten_paths(to_plain(replace(config, wandb=WandbConfig())), relative=True))


def choose_checkpoint(source: str, which: str | None) -> tuple[Path, RunFolder | None]:
    """The checkpoint that is meant, and the run that it lies in, if it does.

    Args:
        source: a run folder, or one checkpoint.
        which: of a run folder `best`, `last` or a file; None for `best`.

    Raises:
        UserError: there is no such checkpoint.
    """
    from wavenet_pl.runs.checkpoints import best_checkpoint, newest_valid
    from wavenet_pl.runs.folder import RunFolder, open_run
    from wavenet_pl.runs.released import find_model
    from wavenet_pl.runs.weights import is_export

    path = find_model(source)
    if is_export(path):
        raise UserError(f"{path} is an export already, expected a run or a checkpoint; copy its folder")
    if not path.is_dir():
        if which is not None:
            raise UserError(f"--checkpoint is {which}, and {path} is no run to choose from; leave one out")
    elif which == "last":
        newest, passed_over = newest_valid(open_run(path))
        for reason in passed_over:
            print(f"passed over: {reason}", file=sys.stderr)
        path = newest or best_checkpoint(open_run(path))  # which says that there is none
    elif which in (None, "best"):
        path = best_checkpoint(open_run(path))
    else:
        path = Path(str(which))
    folder = path.absolute().parent
    return path, RunFolder(folder.parent) if folder.name == "checkpoints" else None


def _check_folder(out: Path, files: Mapping[str, bytes]) -> list[Path]:
    """What a killed export left half written in the folder.

    Raises:
        UserError: the folder holds something that is not about to be written there.
    """
    try:
        paths = sorted(out.iterdir()) if os.path.lexists(out) else []
    except OSError as error:
        raise UserError(f"--out {out} cannot be used ({error.strerror}), expected a new folder") from None
    left = [path for path in paths if re.fullmatch(rf"\.({'|'.join(files)})\.\d+\.tmp", path.name)]
    for path in paths:
        try:
            ours = path in left or read_file(path, len(files.get(path.name, b""))) == files.get(path.name)
        except OSError:
            ours = False
        if not ours:
            raise UserError(
                f"--out {out} holds {path.name}, which is no part of this export, expected a new or an empty folder; "
                "name another one"
            )
    return left


def _write(out: Path, files: Mapping[str, bytes], left: list[Path]) -> None:
    from wavenet_pl.files.durable import write_durably

    try:
        for path in left:
            path.unlink(missing_ok=True)
        for name, content in files.items():
            write_durably(out / name, content)
    except OSError as error:
        raise UserError(
            f"--out {out} cannot be written ({error.strerror}), expected a folder on a disk with room; name another "
            "one, or mend that and run the same command again"
        ) from None
