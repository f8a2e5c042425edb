"""DEST: whose folder it is, who works in it, and what an earlier run left there."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from data_prep.decoding import hash_file
from data_prep.packing import read_record
from data_prep.plan import RECORDS, SHARED, Plan, ShardPlan, load_plan, save_plan
from data_prep.report import PLOT_NAME, REPORT_NAME
from data_prep.sources import File, Source, readable
from wavenet_pl.audio.streams import Unreadable
from wavenet_pl.errors import UserError
from wavenet_pl.shards import legacy
from wavenet_pl.shards.index import INDEX_NAME, SPLITS

_RESULTS = (INDEX_NAME, legacy.INDEX_NAME, REPORT_NAME, PLOT_NAME)


@contextmanager
def working_in(folder: Path, alone: bool) -> Iterator[None]:
    """Keep DEST to one run, or to slices that share it. Ends with the process, however that ends.

    Raises:
        UserError: another run is at work there, or the folder cannot be made.
    """
    with made(folder), _locked(folder, alone):
        yield


@contextmanager
def made(folder: Path) -> Iterator[None]:
    """A folder that is there, and gone again where it was made and nothing was put there.

    Raises:
        UserError: it cannot be made.
    """
    there = folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(folder, error) from None
    try:
        yield
    finally:
        if not there:
            with suppress(OSError):
                folder.rmdir()


@contextmanager
def _locked(folder: Path, alone: bool) -> Iterator[None]:
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise _unusable(folder, error) from None
    try:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"another `prepare` is at work in {folder}, expected none; wait until it has ended"
            ) from None
        except OSError:
            pass  # a file system without locks: every write is atomic all the same
        yield
    finally:
        os.close(descriptor)


def _unusable(folder: Path, error: OSError) -> UserError:
    return UserError(
        f"DEST {folder} cannot be made or opened ({error.strerror}); name a folder you may write"
    )


def claim(folder: Path, plan: Plan, overwrite: bool) -> None:
    """Make DEST the plan's: write the plan there, or find it there.

    Raises:
        UserError: another plan has begun there, or files that `prepare` did not write are in the way.
    """
    existing = load_plan(folder) if not overwrite else None
    known = (folder / RECORDS / "plan.json").exists()
    if not known and (foreign := _foreign(folder)):
        raise UserError(
            f"DEST {folder} holds {foreign}, but no {RECORDS}/plan.json, expected a folder that `prepare` wrote alone; "
            "name another DEST, or remove it"
        )
    if overwrite:
        clear(folder)
    if existing is None:
        save_plan(plan, folder)
    elif existing.fingerprint != plan.fingerprint:
        raise UserError(
            f"DEST {folder} was begun with {_difference(existing, plan)}; give the same options and SRC to go on, name "
            "another DEST, or start over with --overwrite"
        )


def clear(folder: Path) -> None:
    """Remove what `prepare` writes, and nothing else."""
    for name in _RESULTS:
        (folder / name).unlink(missing_ok=True)
    for path in _shards(folder):
        path.unlink(missing_ok=True)
    sweep(folder)
    shutil.rmtree(folder / RECORDS, ignore_errors=True)  # last: without the plan, the rest would be nobody's


def sweep(folder: Path) -> None:
    """Remove what slices shared, and what a killed run had half written. Only where nobody else is at work."""
    (folder / SHARED).unlink(missing_ok=True)
    for directory in (
        folder,
        *(folder / split for split in SPLITS),
        folder / RECORDS,
        *(folder / RECORDS / s for s in SPLITS),
    ):
        for path in directory.glob(".*.tmp"):
            if path.name[1:].startswith(("shard-", "plan.json.", "done.json.", "sources.jsonl.", *_RESULTS)):
                path.unlink(missing_ok=True)


def check_sources(folder: Path, shard: ShardPlan, record: Mapping[str, Any]) -> None:
    """Refuse a shard whose sources have changed since it was packed.

    As `make` does, only those are looked into that were touched after the record was written.

    Raises:
        UserError: names the source.
    """
    written = (folder / shard.record).stat().st_mtime_ns
    beside = record.get("files", {"notes": record.get("midi", {})})  # version 0.1.0 knew of notes alone
    for source in shard.sources:
        files: list[tuple[Source | File, Mapping[str, str | None]]] = [(source, record["sources"])]
        files += [(file, beside.get(frames, {})) for frames, file in source.files.items()]
        for file, hashes in files:
            if file.path and file.size is not None and not _is_same(file, hashes.get(source.name), written):
                raise UserError(
                    f"{file.name} in SRC has changed since it was packed into {shard.name}, expected the corpus that "
                    "DEST was begun with; name another DEST, or start over with --overwrite"
                )


def _is_same(file: Source | File, before: str | None, written: int) -> bool:
    """Whether a file has the hash that it had, or was not touched since."""
    try:
        status = os.stat(file.path)
        if max(status.st_mtime_ns, status.st_ctime_ns) < written:
            return True
        with readable(file) as path:
            return hash_file(path) == before
    except (OSError, Unreadable):
        return before is None


def done_in(folder: Path, plan: Plan, shard: ShardPlan) -> dict[str, Any] | None:
    """The record of a shard that needs no more work.

    Raises:
        UserError: its sources have changed.
    """
    record = read_record(folder, shard, plan.fingerprint)
    if record is not None:
        check_sources(folder, shard, record)
    return record


def _shards(folder: Path) -> list[Path]:
    return [path for split in SPLITS for path in (folder / split).glob("shard-" + "[0-9]" * 6 + ".tar")]


def _foreign(folder: Path) -> str | None:
    paths = [folder / name for name in _RESULTS if (folder / name).exists()] + _shards(folder)
    return paths[0].relative_to(folder).as_posix() if paths else None


def _difference(old: Plan, new: Plan) -> str:
    """The first option that differs, or that the sources do."""
    before, now = _flat(old.options), _flat(new.options)
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name):
            return f"{name} {_shown(before.get(name))}, now it is {_shown(now.get(name))}"
    if old.num_sources != new.num_sources:
        return f"{old.num_sources} sources, now there are {new.num_sources}"
    return "other sources (names, sizes or metadata differ)"


def _flat(options: Mapping[str, Any]) -> dict[str, Any]:
    flat = {}
    for name, value in options.items():
        flat.update(
            {f"{name}.{key}": item for key, item in value.items()}
            if isinstance(value, dict)
            else {name: value}
        )
    return flat


def _shown(value: object) -> str:
    return "unset" if value is None else ",".join(map(str, value)) if isinstance(value, list) else str(value)
