"""Shard sets of the corpora that benchmarks are given, with mel frames and the language of each recording."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.command import wavenet_pl
from wavenet_pl.errors import UserError
from wavenet_pl.shards.index import INDEX_NAME

COLUMNS = ("file", "speaker", "lang", "text")
OWN_SPLITS = ("--split-from", "none")
"""Of `prepare`: splits as it makes them by itself, though the tables of the corpora call all that they have `dev`."""
_VOICES: Mapping[str, Sequence[str]] = {
    "speech_multi": ("allison_en", "june_fr", "carlo_it", "nsh_ru"), "snap_ljspeech": (),
}  # fmt: skip
"""Whose recordings the models of voices that come with the project are trained on."""


def prepared_voices(corpora: Path, folder: Path) -> Path:
    """The shard set that released models of voices are trained on, whose test split they never see."""
    splits = ["--val-fraction", "0.04", "--test-fraction", "0.04"]
    return prepared_of(corpora, _VOICES, folder, "voices", splits)


def prepared_piano(corpora: Path, folder: Path) -> Path:
    """The same for models of the piano, with its notes."""
    splits = ["--val-fraction", "0.1", "--test-fraction", "0.2"]
    return prepared_folder(corpora / "piano", folder, "piano", ["--notes", *OWN_SPLITS, *splits])


def prepared(
    corpora: Path, corpus: str, folder: Path, speakers: Sequence[str] = (), options: Sequence[str] = ()
) -> Path:
    """A shard set of one corpus, written once; arguments as `prepared_of`."""
    name = name_of_set("-".join((corpus, *speakers)), options)
    return prepared_of(corpora, {corpus: speakers}, folder, name, options)


def name_of_set(name: str, options: Sequence[str]) -> str:
    """The name of recordings that are prepared with these options: with others they are another set."""
    return "-".join([name, *(option.strip("-") for option in options)])


def prepared_folder(source: Path, folder: Path, name: str, options: Sequence[str]) -> Path:
    """A shard set of a folder of recordings, written once.

    Args:
        source: the recordings.
        folder: in which the set goes.
        name: of the set, which no set with other options has; see `name_of_set`.
        options: of `wavenet-pl prepare`.
    """
    data = folder / "data" / name
    if not (data / INDEX_NAME).exists():  # which is written last
        wavenet_pl(folder, ["prepare", "folder", str(source), str(data), *options])
    return data


def prepared_of(
    corpora: Path,
    parts: Mapping[str, Sequence[str]],
    folder: Path,
    name: str,
    options: Sequence[str] = (),
) -> Path:
    """A shard set of several corpora, written once.

    Args:
        corpora: a folder with a folder for each corpus.
        parts: names of corpora, and some of the speakers of each; empty for all.
        folder: in which the set goes.
        name: of the set, which no set with other options has.
        options: more of `wavenet-pl prepare`.

    Raises:
        UserError: there is no such corpus, or nobody of that name in it.
    """
    data, source = folder / "data" / name, folder / "recordings" / name
    if (data / INDEX_NAME).exists():  # which is written last
        return data
    taken: list[dict[str, str]] = []
    for corpus, speakers in parts.items():
        for row in _rows(corpora / corpus, speakers):
            target = source / corpus / row["file"]
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(corpora / corpus / row["file"], target)
            taken.append({**row, "file": f"{corpus}/{row['file']}"})
    with open(source / "metadata.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(taken)
    command = ["prepare", "folder", str(source), str(data), "--mel", "--tables", "lang", *options]
    wavenet_pl(folder, command)
    return data


def _rows(corpus: Path, speakers: Sequence[str]) -> list[dict[str, str]]:
    """Those of its table, of these speakers or of all."""
    table = corpus / "metadata.csv"
    if not table.is_file():
        raise UserError(f"{table} is not there, expected the corpus {corpus.name} in --corpora")
    with open(table, newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if not speakers or row["speaker"] in speakers]
    if not rows:
        raise UserError(f"{table} has no speaker {' or '.join(speakers)}; name others with --speaker")
    return rows
