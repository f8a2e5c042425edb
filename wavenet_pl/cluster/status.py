"""Tables of what was submitted: how jobs stand, and which task of a sweep is the best."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from wavenet_pl.cluster.progress import Progress, progress_of
from wavenet_pl.cluster.records import Record, find_records, read_records, task_of
from wavenet_pl.cluster.scheduler import Scheduler
from wavenet_pl.cluster.states import JobState
from wavenet_pl.errors import UserError
from wavenet_pl.runs.checkpoints import validation_bits
from wavenet_pl.runs.folder import RunFolder

FORGOTTEN = "ended"
"""State of a job that the controller no longer knows."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """One job or task: what the controller and its run folder say."""

    record: Record
    id: str
    job: JobState | None
    """None where the controller has forgotten it, or is not here."""
    run: RunFolder | None
    progress: Progress

    @property
    def state(self) -> str:
        """SLURM's word for the state; where SLURM has forgotten the job, `ended` and its exit code."""
        if self.job is not None:
            return self.job.state
        return FORGOTTEN if self.exit is None else f"{FORGOTTEN} with {self.exit}"

    @property
    def exit(self) -> int | None:
        """What its newest start ended with, as it wrote down itself; None where it runs or was killed."""
        starts = self.record.starts(self.id).starts
        return starts[-1].exit if starts else None

    @property
    def is_live(self) -> bool:
        """Whether it waits or runs."""
        return self.job is not None and not self.job.is_over

    @property
    def is_done(self) -> bool:
        """Whether it came to a good end."""
        return (
            self.job.state == "COMPLETED" if self.job is not None else self.exit == 0 or self.progress.is_done
        )


def main(args: argparse.Namespace) -> int:
    """`slurm status`: a row for each job, and for each task of an array."""
    standings = standings_of(find_records(args.runs, args.job), Scheduler())
    print(table(_HEAD, [_row(each) for each in standings]))
    return 0


def summary(args: argparse.Namespace) -> int:
    """`slurm summary`: the tasks of a sweep, the best first."""
    if args.job is None:
        sweeps = [record for record in read_records(args.runs) if record.tasks and record.runs]
        args.job = str(sweeps[-1].job) if sweeps else None
    chosen = [
        (record, id) for record, id in find_records(args.runs, args.job) if record.tasks and record.runs
    ]
    if not chosen:
        raise UserError(f"{args.job} is no sweep, expected the id of one; submit one with --array")
    standings = standings_of(_whole_sweep(chosen[-1][0]), Scheduler())
    lowest = {each.id: _lowest(each.run) for each in standings}
    standings.sort(key=lambda each: lowest[each.id] or (math.inf, 0))
    rows = []
    for each in standings:
        best = lowest[each.id]
        numbers = [f"{best[0]:.4f}", f"{best[1]}"] if best else ["-", "-"]
        run = os.path.relpath(each.run.path) if each.run else "-"
        rows.append(
            [each.id, *numbers, each.state, str(each.progress.step), each.record.overrides(each.id), run]
        )
    print(table(["job", "val/bits", "at step", "state", "step", "settings", "run"], rows))
    first = standings[0]
    if lowest[first.id] and first.run:
        unfinished = sum(not each.is_done for each in standings)
        note = f"; {unfinished} of {len(standings)} have not come to their end" if unfinished else ""
        print(f"\nbest: {os.path.relpath(first.run.path)} ({first.record.overrides(first.id)}){note}")
    return 0


def _lowest(run: RunFolder | None) -> tuple[float, int] | None:
    """The lowest val/bits of a run, and its step; None where there is none."""
    validated = validation_bits(run) if run is not None else {}
    return min(((value, step) for step, value in validated.items()), default=None)


def _whole_sweep(record: Record) -> list[tuple[Record, str]]:
    """Each task of a sweep with the newest job that it was in: those that are resumed get another one."""
    newest: dict[int, tuple[Record, str]] = {}
    for each in read_records(record.records.parent):
        if (each.tasks, each.runs) == (record.tasks, record.runs):
            newest |= {task_of(id): (each, id) for id in each.ids}
    return [newest[task] for task in sorted(newest)]


def standings_of(chosen: Sequence[tuple[Record, str]], scheduler: Scheduler) -> list[Standing]:
    """How each of these stands, with one question to the controller for each array."""
    states: dict[int, dict[str, JobState]] = {}
    standings = []
    for record, id in chosen:
        if record.job not in states:
            job_states = scheduler.job(record.job) if scheduler.is_here else []
            # Ids begin anew with a new controller: another's job may have the number now.
            states[record.job] = {state.id: state for state in job_states if state.name == record.name}
        run = record.run_of(id)
        progress = progress_of(run) if run is not None else Progress()
        standings.append(
            Standing(record=record, id=id, job=states[record.job].get(id), run=run, progress=progress)
        )
    return standings


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows in columns that are as wide as their widest cell."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (head, *rows)
    )
    return "\n".join(line.rstrip() for line in lines)


_HEAD = ["job", "name", "state", "step", "bits", "left", "restarts", "saved", "run or reason"]


def _row(each: Standing) -> list[str]:
    progress, job = each.progress, each.job
    step = str(progress.step) if progress.last_step is None else f"{progress.step}/{progress.last_step}"
    bits = progress.bits if progress.bits is not None else progress.loss_bits
    left = progress.seconds_left if each.is_live and not progress.is_done else None
    restarts = job.restarts if job else max(0, len(each.record.starts(each.id).starts) - 1)
    run_or_reason = os.path.relpath(each.run.path) if each.run else "-"
    if job and job.reason and job.state != "COMPLETED":
        run_or_reason = job.reason if job.state == "PENDING" else f"{run_or_reason} ({job.reason})"
    return [
        each.id,
        each.record.name
        + (f" {each.record.overrides(each.id)}" if each.record.runs and each.record.tasks else ""),
        each.state,
        step if each.record.requeues else "-",
        "-" if bits is None else f"{bits:.4f}",
        "-" if left is None else str(timedelta(seconds=round(left))),
        str(restarts),
        "-" if progress.checkpoint is None else str(progress.checkpoint),
        run_or_reason,
    ]
