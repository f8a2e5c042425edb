"""Shard sets of the corpora that benchmarks are given, with mel frames and the language of each recording."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Sequence
from pathlib import Path

from benchmarks.command import wavenet_pl
from wavenet_pl.errors import UserError
from wavenet_pl.shards.index import INDEX_NAME


def prepared(
    corpora: Path, corpus: str, folder: Path, speakers: Sequence[str] = (), options: Sequence[str] = ()
) -> Path:
    """A shard set, written once.

    Args:
        corpora: a folder with a folder for each corpus.
        corpus: its name.
        folder: in which the set goes.
        speakers: some of those of the corpus; empty for all.
        options: more of `wavenet-pl prepare`.

    Raises:
        UserError: there is no such corpus, or nobody of that name in it.
    """
    table = corpora / corpus / "metadata.csv"
    data = folder / "data" / "-".join((corpus, *speakers))
    if (data / INDEX_NAME).exists():  # which is written last
        return data
    if not table.is_file():
        raise UserError(f"{table} is not there, expected the corpus {corpus} in --corpora")
    with open(table, newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if not speakers or row["speaker"] in speakers]
    if not rows:
        raise UserError(f"{table} has no speaker {' or '.join(speakers)}; name others with --speaker")
    source = folder / "recordings" / data.name
    for row in rows:
        target = source / row["file"]
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(corpora / corpus / row["file"], target)
    with open(source / "metadata.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ("file", "speaker", "lang"), extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    command = ["prepare", "folder", str(source), str(data), "--mel", "--tables", "lang", *options]
    wavenet_pl(folder, command)
    return data
