"""Submitting: the script and the checks are shown, and what nothing stands in the way of is submitted."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

from wavenet_pl.cluster.plan import Step
from wavenet_pl.cluster.preflight import examine
from wavenet_pl.cluster.records import Record, read_records
from wavenet_pl.cluster.scheduler import Scheduler
from wavenet_pl.cluster.script import Job, build_script
from wavenet_pl.errors import UserError


def submit(steps: Sequence[Step], *, after: Sequence[str], dry_run: bool) -> int:
    """Examine every job and submit them in order; returns the exit code.

    Raises:
        UserError: something stands in the way; nothing was submitted.
    """
    scheduler = Scheduler()
    failed = 0
    for step in steps:
        if step.follows:
            step = replace(step, job=_waiting_for(step.job, "THE_JOB_BEFORE"))
        print(build_script(step.options, step.job))
    for step in steps:
        for finding in examine(step, scheduler, read_records(step.job.records.parent), after):
            print(finding, file=sys.stderr)
            failed += finding.level == "fail"
    if failed:
        raise UserError(f"{failed} of the checks stand in the way, expected none; change what they name")
    if dry_run:
        print("nothing was submitted, and nothing written", file=sys.stderr)
        return 0
    job = 0
    for step in steps:
        job = submit_job(
            replace(step, job=_waiting_for(step.job, str(job))) if step.follows else step, scheduler
        )
    return 0


def submit_job(step: Step, scheduler: Scheduler) -> int:
    """Submit one job and remember it; returns its id."""
    script = build_script(step.options, step.job)
    known = [training.run for training in step.trainings if training.run is not None]
    runs = [str(run.path.resolve()) for run in known] if len(known) == len(step.trainings) else []
    record = Record(
        job=0, name=step.job.name, command=step.job.command, tasks=step.job.tasks, runs=runs,
        requeues=step.job.requeues, time=time.time(), records=step.job.records,
    )  # fmt: skip
    return submit_script(record, script, scheduler)


def submit_script(record: Record, script: str, scheduler: Scheduler) -> int:
    """Submit a script and write its record beside the logs to come; returns the job's id.

    Raises:
        UserError: there can be no folder for the record; nothing was submitted.
    """
    try:
        record.records.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{record.records} cannot be made ({error.strerror}), expected to remember the job there; name another "
            "folder with --runs"
        ) from None
    job = scheduler.submit(script)
    try:
        replace(record, job=job).write(script)
    except OSError:
        scheduler.cancel(job)  # a job that nobody can find again
        raise
    tasks = f", {len(record.tasks)} tasks" if record.tasks else ""
    print(f"submitted job {job}{tasks}: {record.name}", file=sys.stderr)
    for run in record.runs[:1]:
        print(f"run folder   {os.path.relpath(run)}{' and others' if tasks else ''}", file=sys.stderr)
    print(f"type next    wavenet-pl slurm status {job}", file=sys.stderr)
    return job


def _waiting_for(job: Job, id: str) -> Job:
    return replace(job, after=[f"afterok:{id}"])
