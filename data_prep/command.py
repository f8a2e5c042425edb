"""The command line of `prepare`: options in, exit code out. Nothing heavy is imported before mistakes are found."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from wavenet_pl.errors import UserError

if TYPE_CHECKING:
    from data_prep.preparation import Request

_USAGE = """\
%(prog)s folder SRC DEST [options]
       %(prog)s demo DEST [options]
       %(prog)s two_sines DEST [options]
       %(prog)s merge DEST"""

_CORPORA = """\
folder SRC: every FLAC, WAV, OGG and MP3 file below SRC. The speaker is the name of a file's folder, unless
SRC/metadata.csv says otherwise (columns file, speaker, text, tags, midi, split; tags with ; between; a split other
than train, val and test is no split). demo: five minutes of recorded speech, four voices, that come with the project.
two_sines: the sum of two sines, made. merge: index and report, after all slices are done.

Interrupted, the same command goes on; run twice, it does nothing."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `prepare` takes."""
    parser.usage = _USAGE
    parser.epilog = _CORPORA
    parser.add_argument("corpus", metavar="CORPUS", help="folder, demo, two_sines, or merge")
    parser.add_argument("paths", metavar="PATH", nargs="*", help="SRC (for folder) and DEST")

    rules = parser.add_argument_group("rules, each reported with the seconds it kept and dropped")
    rules.add_argument("--sample-rate", type=int, default=16_000, metavar="HZ", help="of the shards (16000)")
    rules.add_argument(
        "--trim",
        type=_decibels,
        nargs="?",
        const=40.0,
        metavar="DB",
        help="cut silence at both ends: what is DB below the recording's own level (40 when no number is given)",
    )
    rules.add_argument(
        "--loudness", type=float, metavar="LUFS", help="bring recordings to this loudness, such as -23"
    )
    rules.add_argument("--rms", type=float, metavar="DBFS", help="bring recordings to this RMS level instead")
    rules.add_argument(
        "--min-seconds", type=float, default=0.1, metavar="S", help="drop what is shorter (0.1)"
    )

    features = parser.add_argument_group("features beside the audio, for models that are conditioned on them")
    features.add_argument(
        "--notes",
        action="store_true",
        help="folder: piano rolls, of the MIDI files that metadata.csv names or that are called like the recordings",
    )
    features.add_argument(
        "--mel",
        nargs="?",
        const="",
        metavar="SETTINGS",
        help="mel frames: 80 bands, 80 frames a second, in windows of 50 ms, but for settings such as "
        "hop_length=80,window_length=320,num_mels=80,lowest_hz=55,highest_hz=7600,floor_db=-80",
    )

    splits = parser.add_argument_group("splits, by whole recordings")
    splits.add_argument(
        "--val-fraction", type=float, metavar="F", help="share of the recordings for validation (0.05)"
    )
    splits.add_argument("--test-fraction", type=float, metavar="F", help="share for test (0.05)")
    splits.add_argument(
        "--holdout-speakers",
        type=_names,
        default=(),
        metavar="A,B",
        help="all that these speakers say is for test, and nothing else is",
    )
    splits.add_argument(
        "--holdout-split", choices=("test", "val"), help="where held-out speakers go instead (test)"
    )

    work = parser.add_argument_group("work")
    work.add_argument("--jobs", type=int, metavar="N", help="processes (as many as there are cores)")
    work.add_argument(
        "--slice",
        type=_slice,
        metavar="I/N",
        help="only part I of N, from 1/N to N/N, for array jobs; then merge",
    )
    work.add_argument(
        "--recordings-per-shard", type=int, default=128, metavar="N", help="sources in a shard (128)"
    )
    work.add_argument(
        "--overwrite", action="store_true", help="remove what an earlier run wrote to DEST, start over"
    )
    work.add_argument("--dry-run", action="store_true", help="say what would be done and write nothing")

    corpora = parser.add_argument_group("corpora")
    corpora.add_argument(
        "--tag-columns",
        type=_names,
        default=(),
        metavar="C,D",
        help="folder: columns whose values are tags, too",
    )
    corpora.add_argument("--frequencies", type=_frequencies, metavar="F,G", help="two_sines: in Hz (440,660)")
    corpora.add_argument("--amplitude", type=float, metavar="A", help="two_sines: of each sine (0.4)")
    corpora.add_argument("--recordings", type=int, metavar="N", help="two_sines: how many (200)")
    corpora.add_argument("--seconds", type=float, metavar="S", help="two_sines: length of each (2)")
    corpora.add_argument("--seed", type=int, metavar="N", help="two_sines: of the phases (0)")


def main(args: argparse.Namespace) -> int:
    """Run the command.

    Returns:
        The exit code: 0, or 130 after Ctrl-C.

    Raises:
        UserError: exit 2.
        BadDataError: exit 3.
    """
    try:
        return _run(args)
    except KeyboardInterrupt:
        print(
            "\nprepare: interrupted; finished shards are kept, and the same command goes on after them",
            file=sys.stderr,
        )
        return 130
    except OSError as error:
        place = f" {error.filename}" if error.filename else ""
        raise UserError(
            f"cannot read or write{place} ({error.strerror or error}); mend that, and run the same command to go on"
        ) from None


def _run(args: argparse.Namespace) -> int:
    request = check_arguments(args)
    if request is None:
        from data_prep.preparation import merge

        merge(Path(args.paths[0]))
    else:
        from data_prep.preparation import prepare

        prepare(request)
    return 0


def check_arguments(args: argparse.Namespace) -> Request | None:
    """What is to be done; None where slices are to be merged.

    Raises:
        UserError: an argument is wrong, or would be ignored.
    """
    from data_prep.options import CORPORA, Options, RuleOptions, SineOptions, SplitOptions, read_mel

    if args.corpus == "merge":
        _check_merge(args)
        return None
    if args.corpus not in CORPORA:
        raise UserError(f"CORPUS is {args.corpus!r}, expected one of {', '.join(CORPORA)}, or merge")
    source, folder = _paths(args)
    sines = {
        name: getattr(args, name)
        for name in ("frequencies", "amplitude", "recordings", "seconds", "seed")
        if getattr(args, name) is not None
    }
    if sines and args.corpus != "two_sines":
        raise UserError(
            f"--{min(sines)} is for the corpus two_sines, and would be ignored for {args.corpus}; drop it"
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
            notes=args.notes,
            mel=read_mel(args.mel, args.sample_rate),
        ),
        splits=SplitOptions(
            val_fraction=args.val_fraction,
            test_fraction=args.test_fraction,
            holdout_speakers=args.holdout_speakers,
            holdout_split=args.holdout_split or "test",
        ),
        sines=SineOptions(**sines),
        tag_columns=args.tag_columns,
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
    """(SRC, DEST)."""
    paths = list(args.paths)
    if args.corpus == "folder":
        if len(paths) != 2:
            raise UserError(f"folder got {len(paths)} paths, expected two: SRC DEST")
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


def _decibels(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no number of dB, expected such as 40; put --trim after the paths to give none"
        ) from None


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise argparse.ArgumentTypeError(f"{text!r} has an empty name, expected names with commas between")
    return names


def _frequencies(text: str) -> tuple[float, float]:
    try:
        first, second = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no pair of frequencies, expected such as 440,660"
        ) from None
    return first, second


def _slice(text: str) -> tuple[int, int]:
    try:
        number, slices = (int(part) for part in text.split("/"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no slice, expected I/N such as 1/8") from None
    if not 1 <= number <= slices:
        raise argparse.ArgumentTypeError(
            f"{text!r} is out of range, expected 1/{slices} to {slices}/{slices}"
        )
    return number, slices
