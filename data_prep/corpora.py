"""The corpora by name: each yields sources, and knows nothing of shards."""

from __future__ import annotations

from pathlib import Path

from data_prep.folder import Corpus, read_folder
from data_prep.options import Options, SineOptions
from data_prep.sines import Sines
from data_prep.sources import Source
from wavenet_pl.errors import UserError

DEMO = Path(__file__).resolve().parent / "demo"
"""Recorded speech that comes with the project; its LICENSES.md says whose."""


def read_corpus(options: Options, source: Path | None, destination: Path) -> Corpus:
    """What the corpus holds.

    Args:
        options: names the corpus.
        source: folder of the corpus, for `folder`.
        destination: where the shards go.

    Raises:
        UserError: it cannot be read.
    """
    if options.corpus == "two_sines":
        return make_two_sines(options.sines)
    if options.corpus == "demo":
        return Corpus(sources=read_folder(DEMO, fact_columns=("licence",)).sources)
    assert source is not None
    if source.resolve() == destination.resolve():
        raise UserError(f"SRC and DEST are both {source}, expected two folders; name another DEST")
    return read_folder(source, options.tag_columns, leave=destination, with_midi=options.rules.notes)


def make_two_sines(options: SineOptions) -> Corpus:
    """As many recordings as asked for, which differ in phase only."""
    return Corpus(
        sources=tuple(
            Source(
                name=f"sines-{number:06d}",
                made=Sines(
                    frequencies=options.frequencies,
                    amplitude=options.amplitude,
                    seconds=options.seconds,
                    seed=options.seed,
                    number=number,
                ),
            )
            for number in range(options.recordings)
        )
    )
