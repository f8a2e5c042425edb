"""Ending jobs, and submitting those that have ended once more."""

from __future__ import annotations

import argparse
import re
import sys
import time
from dataclasses import replace

from wavenet_pl.cluster.records import find_records, task_of
from wavenet_pl.cluster.scheduler import Scheduler
from wavenet_pl.cluster.status import standings_of
from wavenet_pl.cluster.submission import submit_script
from wavenet_pl.errors import UserError


def stop(args: argparse.Namespace) -> int:
    """`slurm stop`: cancel what waits or runs. SLURM sends SIGTERM first, and a training saves."""
    if args.job is None:
        raise UserError("JOB is missing, expected a job's id or a run folder; see `wavenet-pl slurm status`")
    scheduler = Scheduler()
    standings = standings_of(find_records(args.runs, args.job), scheduler)
    live = [each for each in standings if each.is_live]
    for each in live:
        scheduler.cancel(each.id)
        print(f"stopped {each.id} ({each.record.name}), which was {each.state}", file=sys.stderr)
    if not live:
        last = standings[-1]
        print(f"nothing to stop: job {last.id} is {last.state}", file=sys.stderr)
    elif any(each.record.requeues for each in live):
        print(f"type next    wavenet-pl slurm resume {args.job}", file=sys.stderr)
    return 0


def resume(args: argparse.Namespace) -> int:
    """`slurm resume`: the newest job of this name once more, of an array the tasks that did not come to their end."""
    scheduler = Scheduler()
    newest = find_records(args.runs, args.job)[-1][0]
    chosen = [(record, id) for record, id in find_records(args.runs, args.job) if record.job == newest.job]
    standings = standings_of(chosen, scheduler)
    ended = [each for each in standings if not each.is_live and not each.is_done]
    if not ended:
        each = standings[-1]
        advice = "wait for it, or stop it first" if each.is_live else "there is nothing left to do"
        raise UserError(f"job {each.id} is {each.state}, expected one that ended before its end; {advice}")
    # What it waited for is over, and its id may be forgotten.
    script = re.sub(
        r"^#SBATCH --(dependency|kill-on-invalid-dep)=.*\n", "", newest.script, flags=re.MULTILINE
    )
    tasks = [task_of(each.id) for each in ended] if newest.tasks else []
    if tasks:
        numbers = ",".join(map(str, tasks))
        script = re.sub(r"^(#SBATCH --array=)[^%\n]*", rf"\g<1>{numbers}", script, flags=re.MULTILINE)
    for each in ended:
        saved = each.progress.checkpoint
        start = f"from step {saved}" if saved else "from the start"
        print(f"{each.id} ({newest.name}), {each.state}, goes on {start}", file=sys.stderr)
    if args.dry_run:
        print(script)
        return 0
    submit_script(replace(newest, chosen=tasks, time=time.time()), script, scheduler)
    return 0
