"""What an index says, and what is wrong with shards, in lines for people and for other programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from wavenet_pl.audio.formats import ODDITIES
from wavenet_pl.files.foreign import printable
from wavenet_pl.shards.damage import REMEDIES, Damage
from wavenet_pl.shards.index import FORMAT, INDEX_NAME, Index
from wavenet_pl.shards.survey import Splits

_SHOWN = 10  # names of a table
_COLUMNS = ("shard", "recording", "damage", "found", "what to do")
_MOST_NAMED = 20  # recordings with one flaw
_WIDEST = 120  # characters of one cell: names come from files that anyone may have written


def overview(index: Index, name: str) -> Iterator[str]:
    """What there is in all.

    Args:
        index: which was loaded.
        name: of its file.
    """
    kind = (
        f"format {FORMAT}" if name == INDEX_NAME else f"`wavenet-pl index` writes {INDEX_NAME} in its place"
    )
    yield f"index: {name}, {kind}"
    yield f"fingerprint: {index.fingerprint}"
    yield f"sample rate: {index.sample_rate} Hz"
    if index.base is not None:
        yield f"shards at: {printable(index.base)}"
    for split, shards in sorted(index.splits.items()):
        columns = index.columns(split)
        size = int(columns.shard_bytes.sum()) / 2**30
        yield (
            f"{split}: {index.seconds(split) / 3600:.2f} hours, {columns.num_recordings} recordings, {len(shards)} "
            f"shards, {size:.2f} GiB"
        )
    for table, names in sorted(index.labels.tables.items()):
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        yield f"{table}: {len(names)} names, {', '.join(map(printable, names[:_SHOWN]))}{more}"
    for frames, spec in sorted(index.labels.frames.items()):
        yield f"{frames}: frames, {printable(str(dict(spec)))}"


def recording_lines(index: Index, split: str, table: str) -> Iterator[str]:
    """A line for each recording of a split: key, seconds, its names in a table, and shard, with tabs between."""
    names = index.labels.tables.get(table, ())
    for shard in index.splits[split]:
        for row in shard.recordings:
            own = ",".join(printable(names[each]) for each in row.rows.get(table, ())) or "-"
            yield f"{row.key}\t{row.frames / index.sample_rate:.3f}\t{own}\t{shard.name}"


def damage_table(damage: Sequence[Damage]) -> list[str]:
    """One line for each damage, below a line of headings."""
    rows = [_COLUMNS] + [
        (row.shard, row.key or "?", row.kind, row.found, REMEDIES[row.kind]) for row in damage
    ]
    cells = [[_printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(_COLUMNS))]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]


def flaw_lines(splits: Splits) -> list[str]:
    """What is odd about recordings that are kept, flaw by flaw, each with the names of some."""
    counts, named = Counter[str](), dict[str, list[str]]()
    for shard in (shard for shards in splits.values() for shard in shards):
        for row in shard.recordings:
            for flaw, seen in row.flaws.items():
                counts[flaw] += 1
                if counts[flaw] <= _MOST_NAMED:
                    named.setdefault(flaw, []).append(f"  {row.key} in {shard.name}: {seen}")
    lines = []
    for flaw, rows in named.items():
        lines.append(f"{flaw}: {counts[flaw]} recording{'s' * (counts[flaw] != 1)}; {ODDITIES[flaw]}")
        lines += map(_printable, rows)
        lines += [f"  and {counts[flaw] - _MOST_NAMED} more"] if counts[flaw] > _MOST_NAMED else []
    return lines


def _printable(text: str) -> str:
    """No name in a hostile file moves the cursor or fills the screen."""
    text = printable(text[:_WIDEST])
    return text if len(text) < _WIDEST else text[: _WIDEST - 3] + "..."
