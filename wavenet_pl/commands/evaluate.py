"""The command `evaluate`: how good a trained model is, in numbers and on a page to listen to."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import fields
from typing import TYPE_CHECKING

from wavenet_pl.commands.grammar import TRAINED, file_to_write, page_folder, positive
from wavenet_pl.errors import BadDataError, ExitCode
from wavenet_pl.evaluation.options import EvaluationOptions
from wavenet_pl.files.durable import write_durably
from wavenet_pl.shards.index import SPLITS

if TYPE_CHECKING:
    from wavenet_pl.evaluation.results import Results


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `wavenet-pl evaluate`."""
    defaults = EvaluationOptions()
    parser.add_argument("run", metavar="RUN", help=TRAINED)
    parser.add_argument("--data", metavar="PATH", help="a shard set (default: that of the run)")
    parser.add_argument("--split", choices=SPLITS, help="what is scored (default: %(default)s)")
    parser.add_argument("--out", metavar="DIR", help="where report.html goes (default: RUN/evaluation)")
    parser.add_argument("--json", metavar="FILE", help="write the numbers, too")
    parser.add_argument(
        "--max-seconds", type=positive,
        help="score so much audio, of recordings drawn by their hash (default: %(default)g)",
    )  # fmt: skip
    parser.add_argument(
        "--predictions", type=int,
        help="measure bits against context on so many predictions; 0 for not at all (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--count", type=int, help="clips to generate, in one batch; 0 for none (default: %(default)s)"
    )
    parser.add_argument("--seconds", type=positive, help="length of each clip (default: %(default)g)")
    parser.add_argument("--temperature", type=float, help="of the clips (default: %(default)g)")
    parser.add_argument(
        "--lang", metavar="CODE",
        help="what is spoken where the table lang does not say it; words are judged where that is en",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, help="another seed draws others of all (default: %(default)s)")
    parser.add_argument(
        "--threads",
        type=int,
        help="CPU threads (default: all cores; as many as help where clips are generated)",
    )
    parser.set_defaults(**vars(defaults))


def main(args: argparse.Namespace) -> int:
    """Evaluate, write the page, and print the numbers; returns the exit code."""
    options = EvaluationOptions(**{each.name: getattr(args, each.name) for each in fields(EvaluationOptions)})
    options.check()
    out = page_folder(args.run, args.out, "evaluation")
    numbers = None if args.json is None else file_to_write("--json", args.json)
    from wavenet_pl.evaluation.evaluation import Evaluation
    from wavenet_pl.evaluation.report import write_report
    from wavenet_pl.runs.loading import load

    evaluation = Evaluation(load(args.run), options, args.run)
    stop: BaseException | None = None
    try:
        evaluation.measure(show_progress=True)
    except (KeyboardInterrupt, BadDataError) as reason:
        stop = reason
    page = write_report(evaluation.results, out)
    if numbers is not None:
        write_durably(numbers, json.dumps(evaluation.results.to_plain(), indent=1) + "\n")
    if stop is not None:  # said when it is so: whoever was to read it may have left at the same Ctrl-C
        print("stopped; what is finished is kept", file=sys.stderr)
    _say(evaluation.results)
    print(f"page         {page}")
    if isinstance(stop, BadDataError):
        raise stop
    return ExitCode.DONE if stop is None else ExitCode.INTERRUPTED


def _say(results: Results) -> None:
    """The most important numbers, on stdout."""
    from wavenet_pl.evaluation.context import effective_receptive_field
    from wavenet_pl.evaluation.scoring import gaps

    subject, overall = results.subject, results.overall
    print(
        f"{len(results.scores)} of {subject.recordings} recordings of split {subject.split}, "
        f"{overall.samples / subject.sample_rate:.1f} of {subject.seconds:.1f} s; bits per sample of "
        f"{subject.comparable_codes}:"
    )
    if results.baselines is not None:
        for name, bits in results.baselines.rows.items():
            print(f"  {name:<18}{bits:7.3f}")
    if results.scores:
        print(f"  {'model':<18}{overall.comparable_bits:7.3f}")
        if subject.codes != subject.comparable_codes:
            print(f"  of {subject.codes} the model has {overall.bits.mean:.3f}")
    for name, gap in gaps(results.scores).items():
        print(f"  a wrong {name:<10}{gap:+7.3f}")
    if results.context:
        effective = effective_receptive_field(results.context)
        print(f"context      {effective} samples are used of a receptive field of {subject.receptive_field}")
    if results.speed is not None:
        faults = (
            ", ".join(f"{made} {kind}" for kind, (made, _) in results.faults().items() if made) or "no faults"
        )
        print(
            f"clips        {len(results.clips)}: {faults}; {results.speed.real_time_factor:.3f} times real time, "
            f"engine {results.speed.engine}, weights {results.speed.weights}, threads {results.speed.threads}"
        )
    for judgement in results.judgements:
        print(f"{judgement.title}:")
        for measure in judgement.measures:
            print(f"  {measure}")
        for remark in judgement.remarks:
            print(f"  {remark}")
