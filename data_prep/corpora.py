"""The corpora by name: each yields sources, and knows nothing of shards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

from data_prep.columns import Wanted
from data_prep.files import FileRule
from data_prep.folder import Corpus, read_folder
from data_prep.options import SINES, Options
from data_prep.shards import read_shards
from data_prep.sines import RandomSines, Sines
from data_prep.sources import File, Source, in_order, readable
from wavenet_pl.errors import UserError
from wavenet_pl.inputs.array import measure
from wavenet_pl.shards.lazily import Lazily

DEMO = Path(__file__).resolve().parent / "demo"
"""Recorded speech that comes with the project; its LICENSES.md says whose."""
_MEASURED = 1000
"""Arrays, at most, that the mean and deviation of frames are measured on."""


def read_corpus(options: Options, source: Path | None, destination: Path) -> Corpus:
    """The sources of a corpus, and which files beside them were left alone.

    Args:
        options: names the corpus.
        source: folder of the corpus, for `folder` and `shards`.
        destination: where the shards go.

    Raises:
        UserError: it cannot be read.
    """
    if options.corpus in SINES:
        return make_sines(options)
    if options.corpus == "demo":
        demo = Wanted(fact_columns=("licence",), tables=("lang",))
        return Corpus(sources=read_folder(DEMO, demo).sources)
    assert source is not None
    if source.resolve() == destination.resolve():
        raise UserError(f"SRC and DEST are both {source}, expected two folders; name another DEST")
    rules = options.rules.file_rules | {
        each.name: FileRule(suffixes=(f".{each.name}.npy",)) for each in options.arrays
    }
    wanted = Wanted(tag_columns=options.tag_columns, tables=options.tables)
    read = read_shards if options.corpus == "shards" else read_folder
    return read(source, wanted, options.layout, frames=rules, leave=destination)


def measured(options: Options, corpus: Corpus) -> Options:
    """The options with frames of the user's own among those that recordings get.

    Their number of features, mean and deviation are measured on the arrays of recordings, in the order of the corpus,
    of those that are not for validation or test.

    Raises:
        UserError: there are no arrays, or they differ in their number of features.
    """
    if not options.arrays:
        return options
    ordered = in_order(corpus.sources)

    def files(frames: str) -> Iterator[File]:
        free = (source for source in ordered if source.split in (None, "train"))
        return (source.files[frames] for source in free if frames in source.files)

    inputs = [measure(each, _paths(islice(files(each.name), _MEASURED))) for each in options.arrays]
    return replace(options, rules=replace(options.rules, frames=(*options.rules.frames, *inputs)))


def _paths(files: Iterable[File]) -> Iterator[str]:
    """Paths of some files, one at a time: a member of a shard is there until the next one is asked for."""
    for file in files:
        with readable(file) as path:
            yield path


def make_sines(options: Options) -> Corpus:
    """As many recordings as asked for: of the same two sines, which differ in phase only, or of two of its own each."""
    sines = options.sines

    def made(number: int) -> Sines | RandomSines:
        if options.corpus == "many_sines":
            return RandomSines(seconds=sines.seconds, seed=sines.seed, number=number)
        return Sines(
            frequencies=sines.frequencies, amplitude=sines.amplitude, seconds=sines.seconds, seed=sines.seed,
            number=number,
        )  # fmt: skip

    def source(number: int) -> Source:
        return Source(name=f"sines-{number:06d}", made=made(number))

    return Corpus(sources=Lazily(sines.recordings, source))
