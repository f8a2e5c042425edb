"""Signals at random moments, from the start of the process on: does every run save, leave with its code and go on?

Two ranks with two workers each are sent SIGUSR1 or SIGTERM, all processes together or one rank alone; and one or two
ranks that spend their time on validations and clips. Each time the same command goes on, and at the end the run is held
against one that was never stopped.

    python benchmarks/signal_soak.py --trials 25 --json signals.json
"""

from __future__ import annotations

import random
import shutil
import signal
import sys
import time
from collections import Counter
from dataclasses import replace
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.kill_soak import UNCHANGED, compare, phase_of
from benchmarks.moments import Timetable, finish, strike
from benchmarks.records import Progress, Records, build_parser, lacking, print_table, run, workplace
from benchmarks.trials import PATIENCE, Start, Training, prepare_set, send
from wavenet_pl.runs.checkpoints import newest_valid
from wavenet_pl.runs.folder import checkpoint_step
from wavenet_pl.signals import EXIT_CODES

SETTINGS = (
    "trainer.devices=2",
    "data.num_workers=2",
    "trainer.val_check_interval=40",
    "samples.every_n_steps=60",
    "samples.count=2",
    "samples.seconds=0.05",
    "samples.prompt_seconds=0.02",
)
"""Checkpoints by interval stay away: what a signal finds unsaved, the signal has to save."""
VALIDATION, CLIPS = 2, 3
WITHIN = (
    "trainer.devices=2",
    "data.num_workers=0",
    f"trainer.val_check_interval={VALIDATION}",
    f"samples.every_n_steps={CLIPS}",
    "samples.count=2",
    "samples.seconds=4",
    "samples.prompt_seconds=0.02",
)
"""Nearly all of the time is that of validations and clips."""


class Work(NamedTuple):
    """What a training does when it is struck."""

    name: str
    settings: tuple[str, ...]
    recordings: int = 35
    steps_per_trial: int = 10
    moments: tuple[str, ...] = ("start", "steps")


class Pattern(NamedTuple):
    """What is sent to whom, and while they do what."""

    number: signal.Signals
    rank: int | None
    """That alone gets it; None for all processes."""
    work: Work


_TRAIN = Work("train", SETTINGS)
_VALIDATE = Work("validate", WITHIN, 600, 2, ("steps",))
_VALIDATE_ALONE = Work("validate-alone", (*WITHIN, "trainer.devices=1"), 600, 2, ("steps",))
PATTERNS = {
    "usr1-all": Pattern(signal.SIGUSR1, None, _TRAIN),
    "term-all": Pattern(signal.SIGTERM, None, _TRAIN),
    "term-rank0": Pattern(signal.SIGTERM, 0, _TRAIN),
    "term-rank1": Pattern(signal.SIGTERM, 1, _TRAIN),
    "usr1-within": Pattern(signal.SIGUSR1, None, _VALIDATE),
    "int-within-alone": Pattern(signal.SIGINT, 0, _VALIDATE_ALONE),
}
WORKER_STARTS = ("forkserver", "spawn")


def measure(
    pattern: str, trials: int, whole: Training, timetable: Timetable, seed: int = 0
) -> dict[str, Any]:
    """Everything that is to be known of one pattern, as a flat record.

    Args:
        pattern: a name in `PATTERNS`.
        trials: how many signals.
        whole: the same training, finished without a stop.
        timetable: of that one.
        seed: of the random moments.
    """
    number, rank, work = PATTERNS[pattern]
    struck = replace(whole, folder=whole.folder.with_name(f"{whole.folder.name}-{pattern}"))
    shutil.rmtree(struck.folder, ignore_errors=True)
    progress = Progress(struck.folder.name, trials)
    counts = Counter(trials=0, hung=0, before_handlers=0, undocumented_codes=0, lost_steps=0, orphans=0)
    answered: list[bool] = []
    phases: list[str] = []
    longest = Counter[str]()

    def blow(start: Start) -> None:
        phases.append(phase_of(struck, start, VALIDATION, CLIPS))
        counts[f"in_{phases[-1]}"] += 1
        pids = [start.rank(0), start.rank(1)] if rank is None else [start.rank(rank, PATIENCE)]
        answered.append(all(answers(pid, number) for pid in pids if pid))
        if rank is None:
            start.signal(number)
        elif pids[0]:
            send(pids[0], number)

    draws = random.Random(f"{seed} {struck.folder.name}")
    for start in strike(struck, trials, timetable, draws, blow, work.moments):
        sent = time.monotonic()
        code, step = start.wait(), struck.step
        gone = time.monotonic() - sent
        if answered[-1]:
            longest[phases[-1]] = max(longest[phases[-1]], gone)
        counts.update(trials=1, hung=code is None, before_handlers=not answered[-1])
        if code is not None:
            documented = code == EXIT_CODES[number] or (code == 0 and step >= struck.steps)
            counts.update(undocumented_codes=answered[-1] and not documented, orphans=len(start.orphans()))
            counts[f"code_{code}"] += 1
        newest, _ = newest_valid(struck.run)
        counts["lost_steps"] += step - (checkpoint_step(newest) if newest else 0)
        early = "" if answered[-1] else ", before there were handlers"
        end = "hung" if code is None else f"exit {code}, {gone:.1f} s after the signal in {phases[-1]}"
        progress.step(f"step {step} of {struck.steps}, {end}{early}")
        if code is None:
            print(start.said(), file=sys.stderr)
    finish(struck)
    gone_after = {f"longest_s_in_{phase}": seconds for phase, seconds in longest.items()}
    return {**counts, **gone_after, **compare(struck, whole)}


def unstopped(folder: Path, trials: int, worker_start: str, work: Work) -> tuple[Training, Timetable]:
    """A training to hold struck ones against, finished, and when it was where."""
    data = prepare_set(folder, work.recordings)
    settings = (*work.settings, f"data.worker_start={worker_start}")
    whole = Training(folder / f"{work.name}-{worker_start}", data, work.steps_per_trial * trials, settings)
    shutil.rmtree(whole.folder, ignore_errors=True)
    return whole, finish(whole)


def answers(pid: int, number: int) -> bool:
    """Whether a process has a handler for the signal, or keeps it waiting for one."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True
    masks = [int(status.partition(f"{name}:")[2].split()[0], 16) for name in ("SigCgt", "SigBlk")]
    return any(mask >> (number - 1) & 1 for mask in masks)


def broken(record: dict[str, Any], trials: int) -> list[str]:
    """The promises that a record does not keep."""
    nothing = dict.fromkeys(("hung", "undocumented_codes", "lost_steps", "orphans"), 0)
    return lacking(record, {"trials": trials, **nothing, **UNCHANGED})


def main(args: Any) -> int:
    """Measure what is not measured yet, print it all; 1 where a promise is broken."""
    trials = 2 if args.quick else args.trials
    records, complaints = Records(args.json), []

    with workplace(args.folder) as folder:
        whole = cache(partial(unstopped, folder, trials))
        for start, pattern in product(args.worker_start or WORKER_STARTS, args.pattern or PATTERNS):
            facts = {"benchmark": "signal_soak", "pattern": pattern, "worker_start": start}
            record = records.measure(
                {**facts, "trials_wanted": trials, "seed": args.seed},
                lambda: measure(pattern, trials, *whole(start, PATTERNS[pattern].work), args.seed),  # noqa: B023
            )
            complaints += [f"{pattern}, {start}: {complaint}" for complaint in broken(record, trials)]
    print_table(records.of("signal_soak"))
    print("\n".join(complaints) or "every promise was kept")
    return 1 if complaints else 0


if __name__ == "__main__":
    parser = build_parser("signals at random moments: does every run save, leave with its code and go on?")
    parser.add_argument(
        "--trials", type=int, default=25, metavar="N", help="per pattern and worker start (25)"
    )
    parser.add_argument("--pattern", action="append", choices=PATTERNS, help="all by default")
    parser.add_argument("--worker-start", action="append", choices=WORKER_STARTS, help="both by default")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments (0)")
    run(main, parser.parse_args())
