"""The command `generate`: clips to listen to from a trained model, on disk while they are made."""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from wavenet_pl.commands.grammar import TRAINED, positive
from wavenet_pl.errors import ExitCode, UserError
from wavenet_pl.generation.choice import ENGINES, WEIGHTS, Choice
from wavenet_pl.generation.destination import FORMATS, label, read_destination
from wavenet_pl.generation.requests import DEFAULT_SECONDS, ClipRequest, read_list
from wavenet_pl.inputs.known import BUILT_IN
from wavenet_pl.numbers.bounds import COUNTS, SEEDS, TEMPERATURES, THREADS, TOP_P
from wavenet_pl.runs.released import find_model

if TYPE_CHECKING:
    from wavenet_pl.generation.engines import Engine


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `wavenet-pl generate`."""
    parser.add_argument("run", metavar="RUN", help=TRAINED)
    parser.add_argument(
        "--out",
        required=True,
        metavar="DIR|FILE",
        help="a folder, in which each clip gets a name that is free, or the file for one clip, .wav or .flac",
    )
    parser.add_argument(
        "--format", choices=FORMATS, help="of the files (default: that of --out FILE, else wav)"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the files of these clips that are there already"
    )
    parser.add_argument(
        "--no-pictures",
        dest="pictures",
        action="store_false",
        help="draw no spectrograms, which take longer than short clips",
    )
    parser.add_argument(
        "--seconds",
        type=positive,
        help=f"new audio per clip (default: as long as the frames that are given, else {DEFAULT_SECONDS:g})",
    )
    parser.add_argument("--count", type=int, default=1, help="how many clips (default: 1)")
    parser.add_argument(
        "--prompt", metavar="FILE", help="audio that every clip begins with, and goes on from"
    )
    for name, each in BUILT_IN.items():
        parser.add_argument(f"--{name}", metavar=each.metavar, help=each.help)
    for option, value, what in (
        ("--set", "NAME=VALUE", "a name of a table of your own, such as accent=scots; may be given again"),
        ("--frames", "NAME=FILE", "frames of your own, as .npy, such as f0=f0.npy; may be given again"),
    ):
        parser.add_argument(option, action="append", default=[], metavar=value, help=what)
    parser.add_argument(
        "--list",
        metavar="FILE",
        help='clips that differ: {"seconds": 2, "speaker": "anna"} and so on, one a line, with the '
        "names of the options above (tags as a list); what a line does not say is as the options say",
    )
    parser.add_argument(
        "--temperature", type=float, default=1.0, help="below 1 is more cautious (default: 1)"
    )
    parser.add_argument(
        "--top-p", type=float, default=1.0, help="draw from the likeliest codes only (default: 1)"
    )
    parser.add_argument("--seed", type=int, default=0, help="another seed gives other clips (default: 0)")
    parser.add_argument(
        "--engine",
        choices=ENGINES,
        default=Choice.engine,
        help="what computes; auto takes the fastest that can (default: auto)",
    )
    parser.add_argument(
        "--weights",
        choices=WEIGHTS,
        default=Choice.weights,
        help="number format of the weights; bf16 and int8 are faster and nearly as good (default: float32)",
    )
    parser.add_argument("--threads", type=int, help="CPU threads (default: as many as help)")


def main(args: argparse.Namespace) -> int:
    """Generate, write, and say what was made; returns the exit code."""
    COUNTS.check("--count", args.count)
    SEEDS.check("--seed", args.seed)
    TEMPERATURES.check("--temperature", args.temperature)
    TOP_P.check("--top-p", args.top_p)
    if args.threads is not None:
        THREADS.check("--threads", args.threads)
    requests = _requests(args)
    destination = read_destination(args.out, args.format, len(requests), overwrite=args.overwrite)
    source = find_model(args.run)
    from wavenet_pl.evaluation.clip_files import check_lengths, finish, write_clips
    from wavenet_pl.generation.draw import Draw
    from wavenet_pl.runs.loading import load

    model = load(source)
    try:
        model.head.check_draw(args.temperature, args.top_p)
        clips = model.resolve(requests)
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"{args.run}: {error}") from None
    check_lengths(clips, [each.location for each in requests], destination.suffix, model.sample_rate)
    if args.temperature == 0:
        print(
            "warning: temperature 0 takes the likeliest code every time, which soon is silence",
            file=sys.stderr,
        )
    engine = model.build_engine(Choice(engine=args.engine, weights=args.weights, threads=args.threads))
    paths = destination.paths(source, args.seed, [label(each, model.inputs) for each in requests])
    draw = Draw(
        temperature=args.temperature, top_p=args.top_p, seed=args.seed, clips=tuple(range(len(clips)))
    )
    made = write_clips(model, clips, draw, engine, paths, replace=args.overwrite)
    if not any(made.samples):
        print("interrupted before the first sample; nothing was written", file=sys.stderr)
        return ExitCode.INTERRUPTED
    facts = {
        "run": str(args.run),
        "temperature": args.temperature,
        "top_p": args.top_p,
        "seed": args.seed,
        "engine": engine.name,
        "weights": engine.weights,
        "threads": engine.threads,
    }
    for number, (path, samples) in enumerate(zip(paths, made.samples, strict=True)):
        if samples:
            own = {**requests[number].described(), "seconds": samples / model.sample_rate, "clip": number}
            summary = finish(path, len(clips[number].prompt), {**facts, **own}, picture=args.pictures)
            with suppress(BrokenPipeError):  # the other clips get theirs, whoever reads of it
                print(f"{path}  {summary}")
    print(
        f"{made.describe(model.sample_rate)}, {describe(engine)}; clips in {destination.folder}",
        file=sys.stderr,
    )
    return ExitCode.INTERRUPTED if made.interrupted else ExitCode.DONE


def describe(engine: Engine) -> str:
    """What generated, in a few words: ``engine fused-cpu, weights float32, threads 1``."""
    ready = f" (ready after {engine.compile_seconds:.1f} s)" if engine.compile_seconds else ""
    return f"engine {engine.name}, weights {engine.weights}, threads {engine.threads}{ready}"


def _requests(args: argparse.Namespace) -> list[ClipRequest]:
    condition: dict[str, str] = {
        name: value for name in BUILT_IN if (value := getattr(args, name)) is not None
    }
    for option, pairs in (("--set", args.set), ("--frames", args.frames)):
        for pair in pairs:
            name, equals, value = pair.partition("=")
            if not (name and equals and value):
                raise UserError(f"{option} is {pair!r:.60}, expected NAME=VALUE")
            if name in condition:
                raise UserError(f"{option} {pair!r:.60} gives {name} again, expected it once; leave one out")
            condition[name] = value
    common = ClipRequest(seconds=args.seconds, prompt=args.prompt, **condition)
    if args.list is None:
        return [common] * args.count
    if args.count != 1:
        raise UserError(
            f"--count is {args.count} beside --list, whose lines are the clips; leave one of them out"
        )
    return read_list(args.list, common)
