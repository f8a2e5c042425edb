"""The command `index`: checks shards that someone else wrote, names all damage, writes their index."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, TextIO

from wavenet_pl.errors import UserError
from wavenet_pl.files.foreign import printable
from wavenet_pl.files.redaction import redact

if TYPE_CHECKING:
    from wavenet_pl.shards.damage import Damage
    from wavenet_pl.shards.index import Index
    from wavenet_pl.shards.scan import ScannedShard
    from wavenet_pl.shards.storage import Storage

_VAL_FRACTION = 0.05
_COLUMNS = ("shard", "recording", "damage", "found", "what to do")
_WIDEST = 120  # characters of one cell: names come from files that anyone may have written


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "location",
        metavar="LOCATION",
        help="folder or URL (s3://...) of the shards: *.tar, or train/*.tar, val/*.tar, test/*.tar",
    )
    parser.add_argument("--out", metavar="FOLDER", help="where to write index.json (default: LOCATION)")
    parser.add_argument(
        "--skip-damaged", action="store_true", help="write the index without the damaged recordings"
    )
    parser.add_argument(
        "--val-fraction",
        type=float,
        metavar="F",
        help=f"share of the recordings for validation where there is no val/ (default: {_VAL_FRACTION})",
    )
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="shards read at the same time (default: %(default)s)"
    )


def main(args: argparse.Namespace) -> int:
    """Check, report, write.

    Raises:
        UserError: there are no shards, or damaged recordings and no --skip-damaged.
    """
    from wavenet_pl.shards.index import save_index
    from wavenet_pl.shards.storage import Storage
    from wavenet_pl.shards.survey import build_index, divide, find_shards, same_content, survey

    val_fraction = _VAL_FRACTION if args.val_fraction is None else args.val_fraction
    if not 0 < val_fraction < 1:
        raise UserError(f"--val-fraction is {val_fraction}, expected a number between 0 and 1, like 0.05")
    if args.jobs < 1:
        raise UserError(f"--jobs is {args.jobs}, expected at least 1")
    storage = Storage(args.location)
    out, base = _destination(args.location, args.out)
    names, aside = find_shards(storage)
    for name in aside:
        print(f"not read: {name}, which is in no folder of a split", file=sys.stderr)
    if "val" in names and args.val_fraction is not None:
        raise UserError(f"{storage.location} has val/, expected no --val-fraction; leave it out")
    older = _older_index(out, args.location)
    scanned = scan_all(storage, [name for some in names.values() for name in some], args.jobs)
    sound, damage = survey({split: [scanned[name] for name in some] for split, some in names.items()}, older)
    if damage:
        print("\n".join(damage_table(damage)), end="\n\n")
        if not args.skip_damaged:
            raise UserError(
                f"{storage.location} has {_count(damage)}, listed above; mend the shards, or leave these out "
                "with --skip-damaged"
            )
    index = build_index(divide(sound, val_fraction), base, older)
    if lost := sorted(older.features.keys() - index.features.keys() if older else ()):
        print(f"not every recording has {', '.join(lost)}: the index says nothing of them any more")
    if "val" not in names:
        print(f"there is no val/: its recordings were taken by a hash (--val-fraction {val_fraction})")
    for split in sorted(index.splits):
        recordings = sum(len(shard.recordings) for shard in index.splits[split])
        print(f"{split}: {recordings} recordings, {_duration(index.seconds(split))}")
    if older is not None and same_content(older, index):
        print(f"nothing was changed: the index is right (fingerprint {older.fingerprint[:12]})")
        return 0
    os.makedirs(out, exist_ok=True)
    path = save_index(index, out)
    if damage:
        print(f"left out: {_count(damage)}")
    print(f"wrote {path} (fingerprint {index.fingerprint[:12]})")
    return 0


def _destination(location: str, out: str | None) -> tuple[str, str | None]:
    """The folder of the index, and what it has to say of where its shards are."""
    is_url = "://" in location
    if redact(location) != location:
        raise UserError(
            "LOCATION has a user, a password or a key in it, which the index would keep, expected a plain URL; "
            "give credentials to fsspec in its own settings or the environment"
        )
    if is_url and out is None:
        raise UserError(f"{location} is a URL, where nothing is written; add --out FOLDER for its index")
    folder = location if out is None else out
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise UserError(f"{folder} is a file, expected a folder; give the one that it is in")
    if os.path.realpath(folder) == os.path.realpath(location):
        return folder, None
    return folder, location.rstrip("/") if is_url else os.path.abspath(location)


def _older_index(out: str, location: str) -> Index | None:
    """The index from before, if there is one that can be read: it knows what a damaged shard once held."""
    from wavenet_pl.shards.index import INDEX_NAME, load_index
    from wavenet_pl.shards.storage import Storage

    for place in dict.fromkeys((out, location)):
        if Storage(place).exists(INDEX_NAME):
            try:
                return load_index(place)
            except UserError as error:
                print(f"indexing without the older index: {error}", file=sys.stderr)
    return None


def scan_all(storage: Storage, names: Sequence[str], jobs: int) -> dict[str, ScannedShard]:
    """Read every shard, with a line of progress on stderr.

    Args:
        storage: where they lie.
        names: of the shards.
        jobs: processes; 1 for none but this one.
    """
    from wavenet_pl.shards.scan import scan_shard

    progress = Progress(sum(_sizes(storage, names)), sys.stderr)
    if jobs == 1 or len(names) == 1:
        scanned = {name: scan_shard(storage, name, progress.advance) for name in names}
    else:
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor, as_completed

        # Spawned, not forked: clients of remote storages run threads, which do not live through a fork.
        with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
            futures = [pool.submit(partial(scan_shard, storage, name)) for name in names]
            try:
                for future in as_completed(futures):
                    progress.advance(future.result().bytes)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
            scanned = {name: future.result() for name, future in zip(names, futures, strict=True)}
    progress.close()
    return scanned


def _sizes(storage: Storage, names: Sequence[str]) -> Iterator[int]:
    for name in names:
        try:
            yield storage.size(name)
        except OSError:  # the scan will say so
            yield 0


class Progress:
    """Lines of how much was done and how long the rest takes: on a terminal one that changes, in a log some.

    Args:
        total: bytes that there are to do.
        stream: where to write.
        clock: seconds that only grow.
    """

    def __init__(self, total: int, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._total, self._done = total, 0
        self._stream, self._clock = stream, clock
        self._terminal = stream.isatty()
        self._begun = self._told = clock()

    def advance(self, size: int) -> None:
        """So many bytes were done."""
        self._done += size
        now = self._clock()
        if now - self._told < (0.5 if self._terminal else 30):
            return
        self._told = now
        left = (now - self._begun) * (self._total - self._done) / max(self._done, 1)
        line = f"checked {self._done / 1e6:.0f} of {self._total / 1e6:.0f} MB, {_duration(left)} left"
        self._stream.write(f"\r\x1b[K{line}" if self._terminal else f"{line}\n")
        self._stream.flush()

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._terminal:
            self._stream.write("\r\x1b[K")


def damage_table(damage: Sequence[Damage]) -> list[str]:
    """One line for each damage, below a line of headings."""
    from wavenet_pl.shards.damage import REMEDIES

    rows = [_COLUMNS] + [
        (row.shard, row.key or "?", row.kind, row.found, REMEDIES[row.kind]) for row in damage
    ]
    cells = [[_printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(_COLUMNS))]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]


def _printable(text: str) -> str:
    """No name in a hostile file moves the cursor or fills the screen."""
    text = printable(text[:_WIDEST])
    return text if len(text) < _WIDEST else text[: _WIDEST - 3] + "..."


def _count(damage: Sequence[Damage]) -> str:
    keys = len({(row.shard, row.key) for row in damage if row.key})
    places = sum(not row.key for row in damage)
    counts = [f"{keys} damaged recording{'s' * (keys != 1)}"] if keys else []
    counts += [f"{places} place{'s' * (places != 1)} where what is lost has no name"] if places else []
    return " and ".join(counts)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
