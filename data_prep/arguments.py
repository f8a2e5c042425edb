"""The arguments of `prepare`."""

from __future__ import annotations

import argparse

from data_prep.options import DEFAULT_FRACTION, Options, RuleOptions, SineOptions, SplitOptions
from wavenet_pl.inputs.known import FRAMES
from wavenet_pl.inputs.table import names_of

_DEFAULT_TRIM_DB = 40.0
_USAGE = """\
%(prog)s folder SRC DEST [options]
       %(prog)s shards SRC DEST [options]
       %(prog)s demo DEST [options]
       %(prog)s two_sines DEST [options]
       %(prog)s many_sines DEST [options]
       %(prog)s merge DEST"""

_CORPORA = """\
folder SRC: every audio file below SRC: FLAC, WAV, Ogg, MP3, Opus, AIFF and others. The speaker is the name of a
file's folder, unless SRC/metadata.csv says otherwise (columns file, speaker, text, tags, midi, split; tags with ;
between; a split may be called by any word that means train, val or test). Other layouts are options away:
docs/preparing.md has a command for each of LibriSpeech, LJSpeech, VCTK, Common Voice and MAESTRO. shards SRC: every
such member of the tar files below SRC, as any program wrote them; the JSON beside a member says what a row of
metadata.csv would. demo: eleven minutes of recorded speech, four voices, that come with the project. two_sines: the
sum of two sines, made. many_sines: two others in each recording, from 80 to 3,200 Hz, at levels of their own, with a
little noise. merge: index and report, after all slices are done.

Interrupted, the same command goes on; run twice, it does nothing."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `prepare`."""
    parser.usage = _USAGE
    parser.epilog = _CORPORA
    parser.add_argument(
        "corpus", metavar="CORPUS", help="folder, shards, demo, two_sines, many_sines, or merge"
    )
    parser.add_argument("paths", metavar="PATH", nargs="*", help="SRC (for folder and shards) and DEST")

    rules = parser.add_argument_group("rules, each reported with the seconds it kept and dropped")
    defaults = RuleOptions()
    rules.add_argument(
        "--sample-rate", type=int, default=defaults.sample_rate, metavar="HZ",
        help="of the shards (%(default)s)",
    )  # fmt: skip
    rules.add_argument(
        "--trim",
        type=_decibels,
        nargs="?",
        const=_DEFAULT_TRIM_DB,
        metavar="DB",
        help="cut silence at both ends: what is DB below the recording's own level "
        f"({_DEFAULT_TRIM_DB:g} when no number is given)",
    )
    rules.add_argument(
        "--loudness", type=float, metavar="LUFS", help="bring recordings to this loudness, such as -23"
    )
    rules.add_argument("--rms", type=float, metavar="DBFS", help="bring recordings to this RMS level instead")
    rules.add_argument(
        "--min-seconds", type=float, default=defaults.min_seconds, metavar="S",
        help="drop what is shorter (%(default)s)",
    )  # fmt: skip

    inputs = parser.add_argument_group("what models can be conditioned on")
    for kind in FRAMES:
        if kind.has_settings:
            inputs.add_argument(
                f"--{kind.name}", nargs="?", const="", metavar="SETTINGS", help=kind.prepare_help
            )
        else:
            inputs.add_argument(f"--{kind.name}", action="store_true", help=kind.prepare_help)
    inputs.add_argument(
        "--tables",
        type=names_of,
        default=(),
        metavar="A,B",
        help="columns of metadata.csv, or fields of the JSON in shards, such as accent, each a table of names to "
        "condition a model on",
    )
    inputs.add_argument(
        "--frames",
        action="append",
        default=[],
        metavar="NAME:hop=N",
        help="arrays (frames, features) of your own, KEY.NAME.npy beside each recording, such as f0:hop=80 "
        "with a frame for 80 samples of the shards; may be given again",
    )

    layout = parser.add_argument_group("where a corpus keeps names, texts and splits (folder, shards)")
    layout.add_argument(
        "--metadata",
        metavar="FILE",
        help="tables in place of SRC/metadata.csv: one, several with commas between, or a pattern such as "
        "'*.trans.txt', whose cells have commas, tabs, | or ; between them; none reads no table",
    )
    layout.add_argument(
        "--columns",
        metavar="LIST",
        help="names of columns: file=audio,text=sentence where a table calls them otherwise, or the first line that it "
        "lacks, with what stands between its cells: 'file|original|text'",
    )
    layout.add_argument(
        "--suffix",
        metavar="END",
        help="only files whose names end so, such as _mic1.flac; tables may call them by what stands before it",
    )
    layout.add_argument(
        "--speaker-from",
        metavar="WHAT",
        help="level of a folder (1 is the first below SRC, -1 the last), pattern with the speaker in ( ), column of a "
        "table, file that lists the speakers, or none",
    )
    layout.add_argument(
        "--split-from",
        metavar="WHAT",
        help="level, pattern, column or none; without it, folders that are called like splits say it",
    )
    layout.add_argument("--only-listed", action="store_true", help="leave files alone that no table names")

    splits = parser.add_argument_group("splits, by whole recordings")
    for option, what in (("--val-fraction", "validation"), ("--test-fraction", "test")):
        splits.add_argument(
            option, type=float, metavar="F", help=f"share of the recordings for {what} ({DEFAULT_FRACTION:g})"
        )
    splits.add_argument(
        "--holdout-speakers",
        type=names_of,
        default=(),
        metavar="A,B",
        help="all that these speakers say is for test, and nothing else is",
    )
    splits.add_argument(
        "--holdout-split", choices=("test", "val"),
        help=f"where held-out speakers go instead ({SplitOptions().holdout_split})",
    )  # fmt: skip

    work = parser.add_argument_group("work")
    work.add_argument("--jobs", type=int, metavar="N", help="processes (as many as there are cores)")
    work.add_argument(
        "--slice",
        type=_slice,
        metavar="I/N",
        help="only part I of N, from 1/N to N/N, for array jobs; then merge",
    )
    work.add_argument(
        "--recordings-per-shard", type=int, default=Options.recordings_per_shard, metavar="N",
        help="sources in a shard (%(default)s)",
    )  # fmt: skip
    work.add_argument(
        "--overwrite", action="store_true", help="remove what an earlier run wrote to DEST, start over"
    )
    work.add_argument("--dry-run", action="store_true", help="say what would be done and write nothing")

    corpora = parser.add_argument_group("corpora")
    corpora.add_argument(
        "--tag-columns",
        type=names_of,
        default=(),
        metavar="C,D",
        help="columns of metadata.csv, or fields of the JSON in shards, whose values are tags, too",
    )
    sines = SineOptions()
    both = "two_sines, many_sines"
    for name, read, letters, what in (
        ("frequencies", _frequencies, "F,G", "two_sines: in Hz"),
        ("amplitude", float, "A", "two_sines: of each"),
        ("recordings", int, "N", f"{both}: how many"),
        ("seconds", float, "S", f"{both}: length of each"),
        ("seed", int, "N", f"{both}: of the phases"),
    ):
        value = getattr(sines, name)
        default = ",".join(f"{each:g}" for each in (value if isinstance(value, tuple) else (value,)))
        corpora.add_argument(f"--{name}", type=read, metavar=letters, help=f"{what} ({default})")


def _decibels(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no number of dB, expected such as 40; put --trim after the paths to give none"
        ) from None


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
