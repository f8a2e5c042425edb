"""`prepare` from end to end: plan, pack what is not done yet, then index and report."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_prep.decoding import Unreadable, hash_file
from data_prep.destination import claim, done_in, sweep, working_in
from data_prep.options import Options, RuleOptions
from data_prep.packing import ShardTask
from data_prep.plan import DONE, RECORDS, Plan, ShardPlan, load_plan, rules_of
from data_prep.plot import draw_report
from data_prep.processes import pack_shards
from data_prep.report import (
    PLOT_NAME,
    REPORT_NAME,
    count_of,
    flaw_counts,
    hours,
    left_alone,
    rule_lines,
    write_report,
)
from data_prep.results import Result, collect, keep_copies_apart
from data_prep.shared_plan import plan_corpus, plan_of_slice
from wavenet_pl.errors import BadDataError, UserError
from wavenet_pl.files.durable import write_durably
from wavenet_pl.progress import Progress
from wavenet_pl.shards.index import INDEX_NAME, SPLITS, save_index

_NEXT = ("wavenet-pl", "train", "unconditional")
"""What a set is good for in any case."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """One call of `prepare`, with its options checked."""

    options: Options
    folder: Path
    """DEST."""
    source: Path | None = None
    """SRC, for corpora that are read from one."""
    jobs: int = 1
    slice: tuple[int, int] | None = None
    """(i, n), i from 1 to n: only every n-th shard, without index and report."""
    overwrite: bool = False
    dry_run: bool = False


def prepare(request: Request) -> None:
    """Do what the command asks; what an earlier run has finished is not done again.

    Raises:
        UserError: in the request, the corpus or DEST.
        BadDataError: the rules dropped everything that a split had.
        KeyboardInterrupt: Ctrl-C; the same command goes on.
    """
    options, folder = request.options, request.folder
    options.check()
    if request.slice is not None and not request.dry_run:
        _prepare_slice(request, *request.slice)
        return
    _, plan = plan_corpus(options, request.source, folder)
    if request.dry_run:
        print("\n".join(_describe(plan)))
        return
    with working_in(folder, alone=True):
        claim(folder, plan, request.overwrite)
        result = complete(plan, rules_of(plan, options), folder, request.jobs)
        print("\n".join(_summary(folder, result)))


def _prepare_slice(request: Request, number: int, slices: int) -> None:
    options, folder = request.options, request.folder
    with working_in(folder, alone=False):
        plan = plan_of_slice(options, request.source, folder, number, slices)
        shards = plan.shards[number - 1 :: slices]
        _pack(plan, shards, rules_of(plan, options), folder, request.jobs)
    print(
        f"slice {number} of {slices}: its {len(shards)} of {len(plan.shards)} shards are done; "
        f"after all slices, run `wavenet-pl prepare merge {folder}`"
    )


def merge(folder: Path) -> None:
    """Index and report for a set whose slices are all done.

    Raises:
        UserError: DEST was never begun, or shards are missing.
        BadDataError: the rules dropped everything that a split had.
    """
    if not folder.is_dir() or (plan := load_plan(folder)) is None:
        raise UserError(
            f"DEST {folder} has no {RECORDS}/plan.json, expected a folder that `prepare --slice` wrote to"
        )
    with working_in(folder, alone=True):
        result = collect(plan, folder)
        if _is_done(folder, plan):
            print(f"{folder} is merged already: nothing to do")
            return
        print("\n".join(_summary(folder, _finish(folder, result))))


def complete(plan: Plan, rules: RuleOptions, folder: Path, jobs: int) -> Result | None:
    """Pack what no earlier run has finished, then index and report. DEST is claimed, and nobody else works in it.

    Returns:
        What came of it; None where nothing was left to do.

    Raises:
        UserError: sources have changed since they were packed.
        BadDataError: the rules dropped everything that a split had.
    """
    if not _pack(plan, plan.shards, rules, folder, jobs) and _is_done(folder, plan):
        return None
    return _finish(folder, collect(plan, folder))


def _pack(plan: Plan, shards: Sequence[ShardPlan], rules: RuleOptions, folder: Path, jobs: int) -> int:
    """Pack those of the shards that are not done; how many these were."""
    tasks = [
        ShardTask(folder=folder, shard=shard, rules=rules, fingerprint=plan.fingerprint)
        for shard in shards
        if done_in(folder, plan, shard) is None
    ]
    total = sum(shard.num_sources for shard in shards)
    done = total - sum(task.shard.num_sources for task in tasks)
    if not tasks:
        return 0
    if done:
        print(f"prepare: goes on after {done} recordings that were done before", file=sys.stderr)
    with Progress("prepare", total, done=done, unit="recordings") as progress:
        pack_shards(tasks, jobs, lambda count: progress.update(done + count))
    return len(tasks)


def _finish(folder: Path, result: Result) -> Result:
    """Index and report, and a note of what they were: a run that finds them unchanged has nothing to do.

    Returns:
        The result without copies that another split has.
    """
    plan, result = result.plan, keep_copies_apart(result, folder)
    sweep(folder)
    _write(folder / REPORT_NAME, write_report(result).encode())
    _write(folder / PLOT_NAME, draw_report(result))
    empty = [split for split in ("train", "val") if plan.num_of(split) and not result.count(split)]
    if empty or not result.count():
        first = next((row for row in result.dropped if not empty or row["split"] in empty), None)
        example = f", such as {first['source']}: {first['reason']}" if first else ""
        raise BadDataError(
            f"every recording of {' and '.join(empty) or 'the corpus'} was dropped{example}, expected some to be left; "
            f"{folder / REPORT_NAME} lists each with the rule that dropped it: mend them or change the rules"
        )
    save_index(result.build_index(), folder)
    write_durably(folder / DONE, json.dumps(_results(folder, plan), sort_keys=True, indent=1) + "\n")
    return result


def _write(path: Path, data: bytes) -> None:
    if not path.exists() or path.read_bytes() != data:
        write_durably(path, data)


def _results(folder: Path, plan: Plan) -> dict[str, Any]:
    hashes = {name: hash_file(str(folder / name)) for name in (INDEX_NAME, REPORT_NAME, PLOT_NAME)}
    return {"plan": plan.fingerprint, **hashes}


def _is_done(folder: Path, plan: Plan) -> bool:
    try:
        return bool(json.loads((folder / DONE).read_text()) == _results(folder, plan))
    except (OSError, ValueError, Unreadable):
        return False


def _describe(plan: Plan) -> list[str]:
    """The plan, for `--dry-run`."""
    lines = [
        f"{plan.num_sources} sources in {len(plan.shards)} shards; hours are not known before they are decoded"
    ]
    for split in SPLITS:
        shards = [shard for shard in plan.shards if shard.split == split]
        sizes = sum(source.size or 0 for shard in shards for source in shard.sources)
        size = f", {sizes / 2**20:.1f} MiB of files" if sizes else ""
        lines.append(f"  {split:5} {plan.num_of(split):7} sources in {len(shards):4} shards{size}")
    missing = sum(not source.exists for shard in plan.shards for source in shard.sources)
    if missing:
        lines.append(f"  {missing} sources are named and are not there: they will be dropped")
    lines += left_alone(plan)
    lines.append("nothing was written: leave --dry-run out to do it")
    return lines


def _summary(folder: Path, result: Result | None) -> list[str]:
    if result is None:
        return [f"{folder} is prepared already: nothing to do"]
    splits = [f"{s} {hours(result.seconds(s))}" for s in SPLITS if result.plan.num_of(s)]
    return [
        *rule_lines(result),
        f"{folder}: {result.count()} recordings, {hours(result.seconds())} ({', '.join(splits)})",
        *left_alone(result.plan),
        f"{len(result.dropped)} of {result.plan.num_sources} sources dropped",
        *(f"{count_of(count)} kept with a flaw: {flaw}" for flaw, count in flaw_counts(result).items()),
        f"report: {folder / REPORT_NAME}   next: {shlex.join([*_NEXT, f'data.path={folder}'])}",
    ]
