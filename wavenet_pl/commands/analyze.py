"""The command `analyze`: what each layer of a trained model hears, beside controls, and what that says of the essay."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import fields
from typing import Any

from wavenet_pl.analysis.options import PROBES, AnalysisOptions
from wavenet_pl.commands.grammar import TRAINED, file_to_write, page_folder, positive
from wavenet_pl.errors import ExitCode
from wavenet_pl.files.durable import write_durably
from wavenet_pl.shards.index import SPLITS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `wavenet-pl analyze`."""
    defaults = AnalysisOptions()
    parser.add_argument("run", metavar="RUN", help=TRAINED)
    parser.add_argument("--out", metavar="DIR", help="where analysis.html goes (default: RUN/analysis)")
    parser.add_argument("--data", metavar="PATH", help="a shard set (default: that of the run)")
    parser.add_argument("--split", choices=SPLITS, help="whose recordings (default: %(default)s)")
    parser.add_argument("--only", metavar="PROBE,...", help=f"some of {', '.join(PROBES)} (default: all)")
    parser.add_argument(
        "--quick", action="store_true", help="one control of each kind, and less of everything"
    )
    parser.add_argument(
        "--max-seconds", type=positive,
        help="draw from so much audio, of recordings drawn by their hash (default: %(default)g)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, help="another seed draws others of all (default: %(default)s)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: all cores)")
    parser.add_argument("--json", metavar="FILE", help="write the verdicts and all numbers, too")
    parser.set_defaults(**{**vars(defaults), "only": None})


def main(args: argparse.Namespace) -> int:
    """Make the probes, write the page, and print the verdicts; returns the exit code."""
    given: dict[str, Any] = {each.name: getattr(args, each.name) for each in fields(AnalysisOptions)}
    given["only"] = PROBES if args.only is None else tuple(filter(None, args.only.split(",")))
    options = AnalysisOptions(**given)
    options.check()
    out = page_folder(args.run, args.out, "analysis")
    numbers = None if args.json is None else file_to_write("--json", args.json)
    from wavenet_pl.analysis.page import PAGE_NAME, render
    from wavenet_pl.analysis.study import Study
    from wavenet_pl.progress import Progress
    from wavenet_pl.runs.loading import load

    study = Study(load(args.run), options, args.run, out / "probes")
    stopped = False
    try:
        for probe in study.probes:
            with Progress(probe.name, line_seconds=5) as progress:
                study.measure(probe, progress.update)
    except KeyboardInterrupt:
        stopped = True
    page = out / PAGE_NAME
    write_durably(page, render(study))
    if numbers is not None:
        write_durably(numbers, json.dumps(study.to_plain(), indent=1) + "\n")
    if stopped:  # said when it is so: whoever was to read it may have left at the same Ctrl-C
        print("stopped; what is finished is kept, and the same command goes on", file=sys.stderr)
    for verdict in study.verdicts:
        unit = verdict.claim.unit and f" {verdict.claim.unit}"
        note = verdict.note and f" ({verdict.note})"
        print(f"{verdict.claim.key:<14}{verdict.answer}: {verdict.effect:.2f}{unit}{note}")
    for name, reason in study.missing.items():
        print(f"{name:<14}not measured: {reason}")
    print(f"page         {page}")
    return ExitCode.INTERRUPTED if stopped else ExitCode.DONE
