"""The command `evaluate`: how good a trained model is, in numbers and on a page to listen to."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from wavenet_pl.commands.grammar import positive
from wavenet_pl.errors import BadDataError, UserError
from wavenet_pl.files.durable import write_durably
from wavenet_pl.shards.index import SPLITS, Index, load_index, shard_storage

if TYPE_CHECKING:
    from wavenet_pl.evaluation.results import Results
    from wavenet_pl.model import Model
    from wavenet_pl.shards.split import Split


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `wavenet-pl evaluate`."""
    parser.add_argument("run", metavar="RUN", help="a run folder, one checkpoint, or an export")
    parser.add_argument("--data", metavar="PATH", help="a shard set (default: that of the run)")
    parser.add_argument("--split", choices=SPLITS, default="val", help="what is scored (default: val)")
    parser.add_argument("--out", metavar="DIR", help="where report.html goes (default: RUN/evaluation)")
    parser.add_argument("--json", metavar="FILE", help="write the numbers, too")
    parser.add_argument(
        "--max-seconds", type=positive, default=300.0,
        help="score so much audio, of recordings drawn by their hash (default: 300)",
    )  # fmt: skip
    parser.add_argument(
        "--predictions", type=int, default=256,
        help="measure bits against context on so many predictions; 0 for not at all (default: 256)",
    )  # fmt: skip
    parser.add_argument("--count", type=int, default=4, help="clips to generate, in one batch (default: 4)")
    parser.add_argument("--seconds", type=positive, default=2.0, help="length of each clip (default: 2)")
    parser.add_argument("--seed", type=int, default=0, help="another seed draws others of all (default: 0)")
    parser.add_argument(
        "--threads",
        type=int,
        help="CPU threads (default: all cores; as many as help where clips are generated)",
    )


def main(args: argparse.Namespace) -> int:
    """Evaluate, write the page, and say what was found; returns the exit code."""
    for option, value, lowest in (
        ("--predictions", args.predictions, 0),
        ("--count", args.count, 0),
        ("--threads", 1 if args.threads is None else args.threads, 1),
    ):
        if value < lowest:
            raise UserError(f"{option} is {value}, expected {lowest} or more")
    out = _out(args)
    from wavenet_pl.evaluation.report import write_report
    from wavenet_pl.runs.loading import load

    model = load(args.run)
    results, train = _prepare(args, model)
    stop: BaseException | None = None
    try:
        _measure(args, model, results, train)
        results.complete = True
    except (KeyboardInterrupt, BadDataError) as reason:
        stop = reason
        print("stopped; what is finished is kept", file=sys.stderr)
    page = write_report(results, out)
    if args.json is not None:
        write_durably(Path(args.json), json.dumps(results.to_plain(), indent=1) + "\n")
    _say(results)
    print(f"page         {page}")
    if isinstance(stop, BadDataError):
        raise stop
    return 0 if stop is None else 130


class Progress:
    """One stage's share and time left, on stderr, a line each second at most.

    Args:
        stage: what is being done.
    """

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._began = self._shown = time.monotonic()

    def __call__(self, share: float) -> None:
        """Tell the share that is done, 0 to 1."""
        now = time.monotonic()
        if now - self._shown < 1:
            return
        self._shown = now
        left = (now - self._began) * (1 - share) / max(share, 1e-9)
        start, end = ("\r", "   ") if sys.stderr.isatty() else ("", "\n")
        print(
            f"{start}{self._stage:>10}  {100 * share:3.0f} %  {left:.0f} s left",
            end=end,
            file=sys.stderr,
            flush=True,
        )


def _out(args: argparse.Namespace) -> Path:
    """The folder of the page, made before the work that it is for."""
    if args.out is None and not Path(args.run).is_dir():
        raise UserError(f"{args.run} is no folder that the page could go to; name one with --out")
    out = Path(args.run) / "evaluation" if args.out is None else Path(args.out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out {out} cannot be made ({error.strerror}); name another folder") from None
    return out


def _prepare(args: argparse.Namespace, model: Model) -> tuple[Results, Split | None]:
    """What is to be evaluated, still empty, and the training recordings that baselines are counted on."""
    from wavenet_pl.data.datamodule import check_inputs
    from wavenet_pl.evaluation.results import Results, Subject
    from wavenet_pl.evaluation.sample import draw_recordings
    from wavenet_pl.shards.split import Split

    path = args.data or model.config.data.path
    try:
        index = load_index(path)
    except UserError as error:
        raise UserError(
            f"{error}; or say with --data where it is" if args.data is None else str(error)
        ) from None
    _check(index, path, args.split, model.sample_rate)
    check_inputs(path, index, model.inputs)
    labels = index.labels.of(model.inputs)
    storage, shards = shard_storage(index, path), index.splits[args.split]
    drawn = draw_recordings(shards, seed=args.seed, max_samples=round(args.max_seconds * index.sample_rate))
    subject = Subject(
        run=str(args.run),
        data=str(path),
        split=args.split,
        seed=args.seed,
        sample_rate=model.sample_rate,
        parameters=model.num_parameters,
        receptive_field=model.config.model.network.receptive_field,
        codes=model.codec.describe(),
        comparable_codes=model.comparable_codec.describe(),
        recordings=sum(len(shard.recordings) for shard in shards),
        seconds=index.seconds(args.split),
    )
    train = index.splits.get("train")
    recordings = Split(drawn, storage, index.sample_rate, labels)
    if model.inputs:
        recordings = recordings.relabelled(model.labels, path, args.run)
    speakers = model.labels.speakers or index.speakers
    return (
        Results(subject, recordings, speakers, index.tags),
        Split(train, storage, index.sample_rate) if train else None,
    )


def _check(index: Index, path: str, split: str, sample_rate: int) -> None:
    """The data can be given to the model, and has the split."""
    if index.sample_rate != sample_rate:
        raise UserError(
            f"{path} has sample rate {index.sample_rate}, expected {sample_rate}, as the model was trained on; "
            f"prepare it again with --sample-rate {sample_rate}"
        )
    if not any(shard.recordings for shard in index.splits.get(split, ())):
        there = ", ".join(sorted(name for name, shards in index.splits.items() if shards))
        raise UserError(
            f"{path} has no recording in split {split!r}, but in {there}; choose one with --split"
        )


def _measure(args: argparse.Namespace, model: Model, results: Results, train: Split | None) -> None:
    """Fills the results, stage by stage."""
    import os

    import torch

    from wavenet_pl.evaluation.baselines import baselines_of
    from wavenet_pl.evaluation.clips import make_clips
    from wavenet_pl.evaluation.context import measure_context
    from wavenet_pl.evaluation.judging import judge_clips
    from wavenet_pl.evaluation.scoring import score
    from wavenet_pl.generation.choice import Choice
    from wavenet_pl.shards.damage import Damage

    torch.set_num_threads(args.threads or len(os.sched_getaffinity(0)))
    split = results.recordings
    if train is not None:
        results.baselines = baselines_of(train, split, model.comparable_codec)
    for found in score(model, split, Progress("scoring")):
        if not isinstance(found, Damage):
            results.scores.append(found)
            continue
        results.damaged.append(str(found))
        print(f"warning: left out: {found}", file=sys.stderr)
        if len(results.damaged) > model.config.data.max_bad_fraction * max(len(split), 1):
            raise BadDataError(
                f"{len(results.damaged)} of {len(split)} recordings cannot be read, more than "
                f"data.max_bad_fraction={model.config.data.max_bad_fraction:g} of them: {found}; mend the set "
                "(`wavenet-pl index` checks all of it)"
            )
    if args.predictions:
        results.context = measure_context(
            model, split, predictions=args.predictions, seed=args.seed, tell=Progress("context")
        )
    if args.count:
        results.clips, results.speed = make_clips(
            model, split, seconds=args.seconds, count=args.count, seed=args.seed, tell=Progress("clips"),
            choice=Choice(threads=args.threads),
        )  # fmt: skip
        scored = [found.position for found in results.scores]
        results.judgements = judge_clips(model.inputs, split, scored, results.clips, Progress("judges"))


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
        for name, bits in (("uniform", results.baselines.uniform), ("unigram", results.baselines.unigram),
                           ("order-1", results.baselines.order1)):  # fmt: skip
            print(f"  {name:<18}{bits:7.3f}")
    if results.scores:
        mean, low, high = overall.comparable_bits
        print(f"  {'model':<18}{mean:7.3f}  ({low:.3f} to {high:.3f})")
        if subject.codes != subject.comparable_codes:
            print(f"  of {subject.codes} the model has {overall.bits.mean:.3f}")
    for name, (mean, low, high) in gaps(results.scores).items():
        print(f"  a wrong {name:<10}{mean:+7.3f}  ({low:+.3f} to {high:+.3f})")
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
