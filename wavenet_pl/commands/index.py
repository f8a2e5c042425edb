"""The command `index`: checks shards that someone else wrote, names all damage, writes their index."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from wavenet_pl.commands.grammar import make_writable
from wavenet_pl.errors import BadDataError, ExitCode, UserError
from wavenet_pl.files.redaction import redact
from wavenet_pl.progress import Progress, duration
from wavenet_pl.signals import completed

if TYPE_CHECKING:
    from wavenet_pl.shards.damage import Damage
    from wavenet_pl.shards.index import Index
    from wavenet_pl.shards.scan import ScannedShard
    from wavenet_pl.shards.storage import Storage
    from wavenet_pl.shards.survey import Splits

_VAL_FRACTION = 0.05
_MB = 1e6


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "location",
        metavar="LOCATION",
        help="folder or URL (s3://...) of the shards: *.tar, or train/*.tar, val/*.tar, test/*.tar",
    )
    parser.add_argument(
        "--out", metavar="FOLDER", help="where to write index.safetensors (default: LOCATION)"
    )
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
        "--tables",
        type=_names,
        default=(),
        metavar="A,B",
        help="keys of the recordings' JSON that a model can be conditioned on, beside speaker and tags",
    )
    parser.add_argument(
        "--list", action="store_true", help="print what the index says, and read and write nothing else"
    )
    parser.add_argument(
        "--split", metavar="NAME", help="with --list: key, seconds, speaker and shard of each recording there"
    )
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="shards read at the same time (default: %(default)s)"
    )


def _names(text: str) -> tuple[str, ...]:
    from wavenet_pl.inputs.table import names_of  # late: it loads NumPy

    return names_of(text)


def main(args: argparse.Namespace) -> int:
    """Check, report, write; or list.

    Raises:
        UserError: there are no shards, damaged recordings and no --skip-damaged, or no place for the index; or none to
            be listed.
    """
    if args.list:
        return _list(args)
    if args.split is not None:
        raise UserError(f"--split is {args.split}, expected it beside --list only; leave it out")
    return _index(args)


def _list(args: argparse.Namespace) -> int:
    from wavenet_pl.inputs.speaker import Speaker
    from wavenet_pl.shards.index import index_name, load_index
    from wavenet_pl.shards.listing import overview, recording_lines
    from wavenet_pl.shards.storage import Storage

    others = {"--out": args.out, "--skip-damaged": args.skip_damaged, "--val-fraction": args.val_fraction,
              "--tables": args.tables, "--jobs": args.jobs != 1}  # fmt: skip
    if given := [name for name, value in others.items() if value]:
        raise UserError(f"{given[0]} is given beside --list, which writes nothing; leave one of the two out")
    index = load_index(args.location)
    if args.split is None:
        lines = overview(index, index_name(Storage(args.location)) or "")
    elif args.split in index.splits:
        lines = recording_lines(index, args.split, Speaker.name)
    else:
        raise UserError(
            f"--split is {args.split}, expected one of {', '.join(sorted(index.splits))}, which {args.location} has"
        )
    for line in lines:
        print(line)
    return ExitCode.DONE


def _index(args: argparse.Namespace) -> int:
    from wavenet_pl.inputs.known import TABLES, check_name
    from wavenet_pl.shards.index import INDEX_NAME
    from wavenet_pl.shards.lazily import picked
    from wavenet_pl.shards.listing import damage_table, flaw_lines
    from wavenet_pl.shards.spool import Spool
    from wavenet_pl.shards.storage import Storage
    from wavenet_pl.shards.survey import divide, find_shards, index_of, same_content, survey

    val_fraction = _VAL_FRACTION if args.val_fraction is None else args.val_fraction
    if not 0 < val_fraction < 1:
        raise UserError(f"--val-fraction is {val_fraction}, expected a number between 0 and 1, like 0.05")
    if args.jobs < 1:
        raise UserError(f"--jobs is {args.jobs}, expected at least 1")
    for name in args.tables:
        check_name("--tables", name)
    storage = Storage(args.location)
    out, base = _destination(args.location, args.out)
    names, misplaced = find_shards(storage)
    for name in misplaced:
        print(f"not read: {name}, which is in no folder of a split", file=sys.stderr)
    if "val" in names and args.val_fraction is not None:
        raise UserError(f"{storage.location} has val/, expected no --val-fraction; leave it out")
    older, older_name = _older_index(out, args.location)
    if older is None or older.base != base:  # else it may be right, and need not be written
        _write(out)
    tables = {each.name: each.many for each in TABLES} | dict.fromkeys(args.tables, False)
    for name in older.labels.tables if older else ():
        tables.setdefault(name, False)
    spool: Spool[ScannedShard] = Spool()
    position: dict[str, int] = {}
    for shard in scan_all(storage, [name for some in names.values() for name in some], tables, args.jobs):
        position[shard.name] = len(spool)
        spool.add(shard)
    scanned = {split: picked(spool, [position[name] for name in some]) for split, some in names.items()}
    sound, damage = survey(scanned, older, tables)
    if damage and not args.skip_damaged:
        print("\n".join(damage_table(damage)), end="\n\n")
        raise UserError(
            f"{storage.location} has {_count(damage)}, listed above; mend the shards, or leave these out "
            f"with --skip-damaged{_preparation(args.location, args.tables, damage, sound)}"
        )
    report = ([*damage_table(damage), ""] if damage else []) + flaw_lines(sound)
    index = index_of(divide(sound, val_fraction), base, older)
    if unnamed := [name for name in args.tables if name not in index.labels.tables]:
        raise UserError(
            f"--tables names {unnamed[0]}, and no recording has a name under this key of its JSON, expected some to; "
            "correct it or leave it out"
        )
    if lost := sorted(older.labels.frames.keys() - index.labels.frames.keys() if older else ()):
        report.append(f"not every recording has {', '.join(lost)}: the index says nothing of them any more")
    if lost := sorted(older.labels.tables.keys() - index.labels.tables.keys() if older else ()):
        report.append(f"no recording has {', '.join(lost)}: the index says nothing of them any more")
    if "val" not in names:
        report.append(
            f"there is no val/: its recordings were taken by a hash (--val-fraction {val_fraction})"
        )
    for split in sorted(index.splits):
        counted = f"{index.columns(split).num_recordings} recordings"
        report.append(f"{split}: {counted}, {duration(index.seconds(split))}")
    instead = as_before = ""
    if older is not None and same_content(older, index):
        index = replace(older)  # which takes its fingerprint anew
        as_before = ", as before" if index.fingerprint == older.fingerprint else ""
        if older_name == INDEX_NAME and as_before:
            report.append(f"nothing was changed: the index is right (fingerprint {index.fingerprint[:12]})")
            print("\n".join(report))
            return ExitCode.DONE
    if older_name not in (None, INDEX_NAME):
        instead = f" in place of {older_name}"
    path = _write(out, index)
    report += [f"left out: {_count(damage)}"] if damage else []
    report.append(f"wrote {path}{instead} (fingerprint {index.fingerprint[:12]}{as_before})")
    print("\n".join(report))  # when it is written: whoever reads may leave after a few lines
    return ExitCode.DONE


def _preparation(location: str, tables: Sequence[str], damage: Sequence[Damage], sound: Splits) -> str:
    """The command that writes shards without what it can mend, as the end of a message; empty where that is nothing."""
    from data_prep.options import RuleOptions
    from wavenet_pl.shards.damage import PREPARED

    if "://" in location or not (kinds := sorted({row.kind for row in damage} & PREPARED)):
        return ""
    rates = Counter(
        row.sample_rate for shards in sound.values() for shard in shards for row in shard.recordings
    )
    rate = max(rates, key=lambda each: rates[each], default=RuleOptions.sample_rate)
    words = ["wavenet-pl", "prepare", "shards", location, f"{location.rstrip('/')}-prepared"]
    words += [] if rate == RuleOptions.sample_rate else ["--sample-rate", str(rate)]
    words += ["--tables", ",".join(tables)] if tables else []
    return f"; shards in which these are mended ({', '.join(kinds)}) are written by `{shlex.join(words)}`"


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


def _write(folder: str, index: Index | None = None) -> str:
    """Write an index, and say where; without one, see that it will be possible.

    Raises:
        UserError: it is not.
    """
    from wavenet_pl.shards.index import INDEX_NAME, save_index

    try:
        make_writable(folder)
        return os.path.join(folder, INDEX_NAME) if index is None else str(save_index(index, folder))
    except OSError as error:
        raise UserError(
            f"no index can be written to {folder} ({error.strerror}); mend that, or name another folder with --out"
        ) from None


def _older_index(out: str, location: str) -> tuple[Index | None, str | None]:
    """The index from before, which knows what a damaged shard once held, and its file; if one can be read."""
    from wavenet_pl.shards.index import index_name, load_index
    from wavenet_pl.shards.storage import Storage

    for candidate in dict.fromkeys((out, location)):
        if name := index_name(Storage(candidate)):
            try:
                return load_index(candidate), name
            except UserError as error:
                print(f"indexing without the older index: {error}", file=sys.stderr)
    return None, None


def scan_all(
    storage: Storage, names: Sequence[str], tables: Mapping[str, bool], jobs: int
) -> Iterator[ScannedShard]:
    """Every shard as it has been read, with a line of progress on stderr.

    Args:
        storage: where they lie.
        names: of the shards.
        tables: what recordings may name; see `scan_shard`.
        jobs: processes; 1 for none but this one.

    Raises:
        BadDataError: a process died.
    """
    from wavenet_pl.shards.scan import scan_shard

    with Progress("index", sum(_sizes(storage, names)) / _MB, unit="MB", line_seconds=30) as progress:
        done = 0

        def advance(size: int) -> None:
            nonlocal done
            done += size
            progress.update(done / _MB)

        if jobs == 1 or len(names) == 1:
            for name in names:
                yield scan_shard(storage, name, tables, advance)
            return
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor
        from concurrent.futures.process import BrokenProcessPool

        from data_prep.processes import die_with_parent

        # Spawned, not forked: clients of remote storages run threads, which do not live through a fork.
        with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), die_with_parent) as pool:
            try:
                # Nothing else holds what has been read.
                for finished in completed(pool.submit(scan_shard, storage, name, tables) for name in names):
                    for future in finished:
                        advance(future.result().bytes)
                        yield future.result()
            except BrokenProcessPool:
                raise BadDataError(
                    "a process that reads shards died, perhaps for want of memory, expected it to finish; run the same "
                    "command again with fewer --jobs"
                ) from None
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def _sizes(storage: Storage, names: Sequence[str]) -> Iterator[int]:
    for name in names:
        try:
            yield storage.size(name)
        except OSError:  # the scan will say so
            yield 0


def _count(damage: Sequence[Damage]) -> str:
    keys = len({(row.shard, row.key) for row in damage if row.key})
    unnamed = sum(not row.key for row in damage)
    counts = [f"{keys} damaged recording{'s' * (keys != 1)}"] if keys else []
    counts += [f"{unnamed} place{'s' * (unnamed != 1)} where what is lost has no name"] if unnamed else []
    return " and ".join(counts)
