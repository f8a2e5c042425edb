"""The command `listen`: one page on which models, temperatures and engines are heard side by side."""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from wavenet_pl.commands.grammar import TRAINED, file_to_write, positive
from wavenet_pl.errors import BadDataError, ExitCode
from wavenet_pl.evaluation.options import ListeningOptions
from wavenet_pl.generation.choice import ENGINES, WEIGHTS
from wavenet_pl.shards.index import SPLITS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `wavenet-pl listen`."""
    defaults = ListeningOptions()
    parser.add_argument("run", nargs="+", metavar="RUN", help=f"{TRAINED}; one or more")
    parser.add_argument(
        "--out", metavar="FILE", default="listen.html", help="the page (default: %(default)s)"
    )
    parser.add_argument("--data", metavar="PATH", help="a shard set (default: that of the first run)")
    parser.add_argument("--split", choices=SPLITS, help="whose recordings (default: %(default)s)")
    parser.add_argument("--count", type=int, help="recordings (default: %(default)s)")
    parser.add_argument("--seconds", type=positive, help="of each, at most (default: %(default)g)")
    parser.add_argument(
        "--prompt-seconds", type=float,
        help="how much of the recording a clip begins with, but for models that resynthesise (default: %(default)g)",
    )  # fmt: skip
    parser.add_argument(
        "--temperature",
        type=float,
        nargs="+",
        dest="temperatures",
        metavar="T",
        help="one or more (default: 1)",
    )
    parser.add_argument(
        "--engine", nargs="+", choices=ENGINES, dest="engines", help="one or more (default: auto)"
    )
    parser.add_argument(
        "--weights", choices=WEIGHTS, help="number format of the weights (default: %(default)s)"
    )
    parser.add_argument(
        "--lang", metavar="CODE",
        help="what is spoken where the table lang does not say it; words are judged where that is en",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, help="another seed takes other recordings (default: %(default)s)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: as many as help)")
    parser.set_defaults(**vars(defaults))


def main(args: argparse.Namespace) -> int:
    """Make the clips, write the page, and print the numbers; returns the exit code."""
    given: dict[str, Any] = {each.name: getattr(args, each.name) for each in fields(ListeningOptions)}
    for name in ("temperatures", "engines"):
        given[name] = tuple(given[name])
    options = ListeningOptions(**given)
    options.check()
    out = file_to_write("--out", args.out)
    from wavenet_pl.evaluation.listen_page import write_page
    from wavenet_pl.evaluation.listening import Session
    from wavenet_pl.progress import Progress
    from wavenet_pl.runs.loading import load

    names = [Path(run).name or run for run in args.run]
    session = Session(
        [
            (name if names.count(name) == 1 else run, load(run))
            for name, run in zip(names, args.run, strict=True)
        ],
        options,
    )
    stop: BaseException | None = None
    try:
        for system in session.systems:
            with Progress(system.name, line_seconds=5) as progress:
                session.make(system, progress.update)
    except (KeyboardInterrupt, BadDataError) as reason:
        stop = reason
    page = write_page(session.result, out) if session.result.systems else None
    if stop is not None:  # said when it is so: whoever was to read it may have left at the same Ctrl-C
        kept = "what is finished is kept" if page else "nothing was finished, so no page was written"
        print(f"stopped; {kept}", file=sys.stderr)
    if page:
        for name, measures in session.result.measures.items():
            print(f"{name}:")
            for measure in measures:
                print(f"  {measure}")
        for remark in session.result.remarks:
            print(remark)
        print(f"page         {page}")
    if isinstance(stop, BadDataError):
        raise stop
    return ExitCode.DONE if stop is None else ExitCode.INTERRUPTED
