"""The command `prepare`: arguments in, exit code out. Nothing heavy is imported before mistakes are found."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from data_prep.arguments import add_arguments
from data_prep.layout import Layout
from data_prep.options import CORPORA, FROM_FILES, SINES, Options, RuleOptions, SineOptions, SplitOptions
from wavenet_pl.errors import ExitCode, UserError
from wavenet_pl.files.redaction import redact
from wavenet_pl.inputs.array import read_option
from wavenet_pl.inputs.frames import Frames
from wavenet_pl.inputs.known import FRAMES

if TYPE_CHECKING:
    from data_prep.preparation import Request


def main(args: argparse.Namespace) -> int:
    """Run `prepare` with parsed arguments.

    Returns:
        The exit code.

    Raises:
        UserError: a mistake in what was asked.
        BadDataError: every recording was dropped.
    """
    try:
        return _run(args)
    except KeyboardInterrupt:
        print(
            "\nprepare: interrupted; finished shards are kept, and the same command goes on after them",
            file=sys.stderr,
        )
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        raise  # of what is printed, and of no file
    except OSError as error:
        path = f" {error.filename}" if error.filename else ""
        raise UserError(
            f"cannot read or write{path} ({error.strerror or error}); mend that, and run the same command to go on"
        ) from None


def _run(args: argparse.Namespace) -> int:
    request = check_arguments(args)
    if request is None:
        from data_prep.preparation import merge

        merge(Path(args.paths[0]))
    else:
        from data_prep.preparation import prepare

        prepare(request)
    return ExitCode.DONE


def check_arguments(args: argparse.Namespace) -> Request | None:
    """What is to be done; None where slices are to be merged.

    Raises:
        UserError: an argument is wrong, or would be ignored.
    """
    if args.corpus == "merge":
        _check_merge(args)
        return None
    if args.corpus not in CORPORA:
        raise UserError(f"CORPUS is {args.corpus!r}, expected one of {', '.join(CORPORA)}, or merge")
    source, folder = _paths(args)
    sines = {
        name: getattr(args, name)
        for name in SineOptions.__dataclass_fields__
        if getattr(args, name) is not None
    }
    fitting = {"two_sines": set(sines), "many_sines": {"recordings", "seconds", "seed"}}.get(
        args.corpus, set()
    )
    if wrong := sorted(set(sines) - fitting):
        kinds = " or ".join(SINES if wrong[0] in ("recordings", "seconds", "seed") else SINES[:1])
        raise UserError(
            f"--{wrong[0]} is for the corpus {kinds}, and would be ignored for {args.corpus}; drop it"
        )
    if args.holdout_split and not args.holdout_speakers:
        raise UserError("--holdout-split is set without --holdout-speakers, expected both; name the speakers")
    if args.slice and args.overwrite:
        raise UserError(
            "--slice and --overwrite are both set, and one slice would remove what the others did; remove DEST first"
        )
    jobs = _cores() if args.jobs is None else args.jobs
    if jobs < 1:
        raise UserError(f"--jobs is {jobs}, expected 1 or more")
    options = Options(
        corpus=args.corpus,
        rules=RuleOptions(
            sample_rate=args.sample_rate,
            trim=args.trim,
            loudness=args.loudness,
            rms=args.rms,
            min_seconds=args.min_seconds,
            frames=_frames(args),
        ),
        splits=SplitOptions(
            val_fraction=args.val_fraction,
            test_fraction=args.test_fraction,
            holdout_speakers=args.holdout_speakers,
            **({"holdout_split": args.holdout_split} if args.holdout_split else {}),
        ),
        sines=SineOptions(**sines),
        tag_columns=args.tag_columns,
        tables=args.tables,
        layout=Layout.read(**{name: getattr(args, name) for name in Layout.__dataclass_fields__}),
        arrays=tuple(map(read_option, args.frames)),
        recordings_per_shard=args.recordings_per_shard,
    )
    options.check()
    from data_prep.preparation import Request

    return Request(
        options=options,
        source=source,
        folder=folder,
        jobs=jobs,
        slice=args.slice,
        overwrite=args.overwrite,
        dry_run=args.dry_run,
    )


def _frames(args: argparse.Namespace) -> tuple[Frames, ...]:
    """Those that `prepare` makes itself, of the options that ask for them."""
    chosen: list[Frames] = []
    for kind in FRAMES:
        given = getattr(args, kind.name)
        if given not in (None, False):
            chosen.append(kind.from_option("" if given is True else given, args.sample_rate))
    return tuple(chosen)


def _check_merge(args: argparse.Namespace) -> None:
    if len(args.paths) != 1:
        raise UserError(f"merge got {len(args.paths)} paths, expected one: DEST")
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    plain = vars(parser.parse_args(["merge", *args.paths]))
    if ignored := [name for name in plain if getattr(args, name) != plain[name]]:
        raise UserError(
            f"--{ignored[0].replace('_', '-')} would be ignored: the slices have decided it; drop it"
        )


def _paths(args: argparse.Namespace) -> tuple[Path | None, Path]:
    """The two folders (SRC, DEST); SRC is None for a corpus that is read from no folder."""
    paths = list(args.paths)
    if args.corpus in FROM_FILES:
        if len(paths) != 2:
            raise UserError(f"{args.corpus} got {len(paths)} paths, expected two: SRC DEST")
        if "://" in paths[0]:
            raise UserError(f"SRC is the URL {redact(paths[0])}, expected a folder; copy it to one first")
        return Path(paths[0]), Path(paths[1])
    if len(paths) == 2 and paths[0] == "-":
        del paths[0]
    if len(paths) == 2:
        raise UserError(
            f"{args.corpus} got SRC {paths[0]}, and reads none, expected DEST alone; leave {paths[0]} out"
        )
    if len(paths) != 1:
        raise UserError(f"{args.corpus} got {len(paths)} paths, expected one: DEST")
    return None, Path(paths[0])


def _cores() -> int:
    """Those that this process may use: a job's share of a node, not the node."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
