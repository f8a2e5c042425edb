"""The command `adapt`: a folder of recordings becomes a new speaker of a trained model."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from wavenet_pl.adaptation.request import METHODS, read_request
from wavenet_pl.commands.grammar import TRAINED, file_to_write
from wavenet_pl.signals import StopFlag


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `wavenet-pl adapt`."""
    parser.add_argument("run", metavar="RUN", help=f"the base: {TRAINED}")
    parser.add_argument(
        "settings", nargs="*", metavar="CONFIG | key=value", help="settings of the training, as of `train`"
    )
    parser.add_argument(
        "--audio", metavar="DIR", help="recordings of the new voice: WAV, FLAC, Ogg, MP3 and others"
    )
    parser.add_argument("--speaker", metavar="NAME", help="what the new voice is called from now on")
    parser.add_argument(
        "--method", choices=(*METHODS, "auto"), default="auto",
        help="train its row of the speaker table alone, or that first and then every weight (default: by minutes)",
    )  # fmt: skip
    parser.add_argument("--minutes", type=float, metavar="M", help="use so much of the audio (default: all)")
    parser.add_argument(
        "--replay",
        metavar="PATH",
        help="method all: mix in crops of this shard set, so that less is forgotten",
    )
    parser.add_argument(
        "--replay-share",
        type=float,
        default=0.5,
        metavar="S",
        help="share of the crops that are mixed in (0.5)",
    )
    parser.add_argument(
        "--continue", action="store_true", dest="go_on",
        help="the base has this speaker already: train its row on, instead of refusing",
    )  # fmt: skip
    parser.add_argument("--runs", default="runs", metavar="DIR", help="where run folders lie (default: runs)")
    parser.add_argument("--fresh", action="store_true", help="start over; an earlier run is set aside")
    parser.add_argument("--dry-run", action="store_true", help="examine the audio and say what would be done")
    parser.add_argument(
        "--merge", metavar="OUT.ckpt", help="write RUN, an adaptation, as one whole checkpoint"
    )
    parser.add_argument("--base", metavar="RUN", help="with --merge: where the base is now")


def main(args: argparse.Namespace) -> int:
    """Adapt, or merge; returns the exit code."""
    began = time.monotonic()
    if args.merge is not None:
        from wavenet_pl.adaptation.merge import merge

        return merge(Path(args.run), file_to_write("--merge", args.merge), args.base)
    request = read_request(args)
    from wavenet_pl.training.quiet import quieten

    quieten()
    from wavenet_pl.adaptation.steps import adapt

    return adapt(request, StopFlag(exits=True), began)
