"""kill -9 at random moments, again and again: what is lost of a run that the same command goes on with each time?

Each setting (ranks x workers) is trained twice: once without a stop, and once with so many kills of the whole process
group. The second is held against the first, number by number and bit by bit.

    python benchmarks/kill_soak.py --kills 50 --json kills.json
"""

from __future__ import annotations

import json
import random
import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.moments import finish, strike
from benchmarks.records import Progress, Records, build_parser, lacking, print_table, run, workplace
from benchmarks.trials import Start, Training, prepare_set
from wavenet_pl.runs.checkpoints import problem
from wavenet_pl.runs.folder import RunFolder, checkpoint_path, list_checkpoints
from wavenet_pl.runs.loading import read_checkpoint
from wavenet_pl.tracking.rows import read_metrics
from wavenet_pl.tracking.wandb_log import read_log
from wavenet_pl.training.wandb_session import STEP

CHECKPOINT, VALIDATION, CLIPS = 3, 10, 45
"""Steps between two of each. Some multiples coincide, so that a kill can fall between one and the other."""
STEPS_PER_KILL = 16
SETTINGS = (
    "optim.kind=muon",  # which has AdamW for a part of the weights
    f"train.checkpoint_every_n_steps={CHECKPOINT}",
    f"trainer.val_check_interval={VALIDATION}",
    f"samples.every_n_steps={CLIPS}",
    "samples.count=2",
    "samples.seconds=0.05",
    "samples.prompt_seconds=0.02",
)
PHASES = ("imports", "set_up", "step", "save", "validation", "clips", "end")
UNCHANGED = {
    "losses_differing": 0,
    "metrics_complete": True,
    "weights_equal": True,
    "wandb_run_ids": 1,
    "wandb_steps_missing": 0,
    "wandb_clips_missing": 0,
    "steps_logged_twice": 0,
    "leftover_files": 0,
}
"""What `compare` finds where stops have changed nothing."""
LAYOUTS = {f"{ranks}x{workers}": (ranks, workers) for ranks in (1, 2) for workers in (0, 2)}


def measure(layout: str, kills: int, folder: Path, data: Path, seed: int = 0) -> dict[str, Any]:
    """Everything that is to be known of one setting, as a flat record."""
    ranks, workers = LAYOUTS[layout]
    settings = (*SETTINGS, f"trainer.devices={ranks}", f"data.num_workers={workers}")
    whole, killed = (
        Training(folder / layout / name, data, STEPS_PER_KILL * kills, settings)
        for name in ("whole", "killed")
    )
    shutil.rmtree(folder / layout, ignore_errors=True)
    timetable = finish(whole)
    progress = Progress(layout, kills)
    counts = Counter(dict.fromkeys([f"killed_in_{phase}" for phase in PHASES], 0))
    counts.update(kills=0, checkpoints_checked=0, corrupt_checkpoints=0, orphans=0)
    draws = random.Random(f"{seed} {layout}")

    def kill(start: Start) -> None:
        start.signal(signal.SIGKILL)
        start.wait()

    for start in strike(killed, kills, timetable, draws, kill, ("start", "steps", "start", "save")):
        phase = phase_of(killed, start)
        counts.update(kills=1, **{f"killed_in_{phase}": 1}, orphans=len(start.orphans()))
        paths = list_checkpoints(killed.run)
        counts.update(checkpoints_checked=len(paths), corrupt_checkpoints=sum(map(is_corrupt, paths)))
        progress.step(f"step {killed.step} of {killed.steps}, killed in {phase}")
    finish(killed)
    return {**counts, **compare(killed, whole)}


def phase_of(training: Training, start: Start, validation: int = VALIDATION, clips: int = CLIPS) -> str:
    """Where a blow hit, as far as the run folder shows it.

    Args:
        training: that was struck.
        start: of it.
        validation: steps between two of them.
        clips: steps between two sets of them.
    """
    folder, row = training.run, training.newest_row(start.began)
    if row is None:
        begun = folder.config.exists() and folder.config.stat().st_mtime >= start.began
        return "set_up" if begun else "imports"
    step = row["step"]
    if any(path.stat().st_mtime >= start.began for path in folder.checkpoints.glob(".*.tmp")):
        return "save"
    if step % clips == 0 and not (folder.path / "clips" / f"step-{step:09d}").exists():
        return "clips"
    if step % validation == 0 and "val/bits" not in row:
        return "validation"
    return "end" if step >= training.steps else "step"


def is_corrupt(path: Path) -> bool:
    """Whether a checkpoint that has its name cannot be used."""
    try:
        return problem(path) is not None or not read_checkpoint(path)
    except ValueError:
        return True


def compare(struck: Training, whole: Training) -> dict[str, Any]:
    """A run that was stopped many times, held against one of the same steps that never was."""
    found, expected = numbers(struck.run), numbers(whole.run)
    losses = {place for place in expected if place[0] == "train/loss"}
    tracked, tracked_whole = tracked_steps(struck.run), tracked_steps(whole.run)
    return {
        "steps": struck.step,
        "losses_compared": len(losses),
        "losses_differing": sum(found.get(place) != expected[place] for place in losses),
        "metrics_complete": found == expected,
        "weights_equal": final_state(struck) == final_state(whole),
        "wandb_run_ids": len(run_ids(struck.run)),
        "wandb_steps_missing": len(expected.keys() - tracked.keys()),
        "wandb_clips_missing": len(tracked_whole.keys() - tracked.keys() - expected.keys()),
        "steps_logged_twice": sum(count - 1 for count in tracked.values()),
        "steps_logged_twice_unstopped": sum(count - 1 for count in tracked_whole.values()),
        "leftover_files": sum(1 for path in struck.run.path.rglob("*.tmp")),
    }


def numbers(folder: RunFolder) -> dict[tuple[str, int], list[Any]]:
    """(key, step) -> all values that metrics.jsonl has of it, but for speeds, which differ between any two runs."""
    values: dict[tuple[str, int], list[Any]] = {}
    for row in read_metrics(folder.metrics):
        for key in row.keys() - {"step", "epoch", "time"}:
            if not key.startswith("perf/"):
                values.setdefault((key, row["step"]), []).append(row[key])
    return values


def tracked_steps(folder: RunFolder) -> Counter[tuple[str, int]]:
    """(key, step) -> how often W&B was given it, over all starts together; but for speeds, as above."""
    found: Counter[tuple[str, int]] = Counter()
    for record in tracked(folder):
        if record.HasField("history"):
            items = {
                (list(item.nested_key) or [item.key])[0]: item.value_json for item in record.history.item
            }
            step = json.loads(items.pop(STEP, "-1"))
            found.update((key, step) for key in items if "/" in key and not key.startswith("perf/"))
    return found


def run_ids(folder: RunFolder) -> set[str]:
    """Ids under which W&B knows the run."""
    return {record.run.run_id for record in tracked(folder) if record.HasField("run")}


def tracked(folder: RunFolder) -> Iterator[Any]:
    """All that the offline logs of a run hold."""
    for start in sorted(folder.path.glob("wandb/offline-run-*")):
        yield from read_log(start)


def final_state(training: Training) -> dict[str, Any]:
    """Weights, averages and optimizer at the end, as bytes: equal where every bit is.

    Whether a validation was still to come when the last step was saved is no part of it: a stop there saves before.
    """
    checkpoint = read_checkpoint(checkpoint_path(training.run, training.steps))
    states = {name: state for name, state in checkpoint["callbacks"].items() if "validation_due" not in state}
    parts = ("state_dict", "optimizer_states", "lr_schedulers")
    return {"callbacks": _bits(states), **{name: _bits(checkpoint[name]) for name in parts}}


def _bits(tree: Any) -> Any:
    if isinstance(tree, torch.Tensor):
        return (
            str(tree.dtype),
            tuple(tree.shape),
            tree.contiguous().view(-1).view(torch.uint8).numpy().tobytes(),
        )
    if isinstance(tree, dict):
        return {key: _bits(value) for key, value in tree.items()}
    return [_bits(value) for value in tree] if isinstance(tree, (list, tuple)) else tree


def broken(record: dict[str, Any], kills: int) -> list[str]:
    """The promises that a record does not keep."""
    return lacking(record, {"kills": kills, "corrupt_checkpoints": 0, "orphans": 0, **UNCHANGED})


def main(args: Any) -> int:
    """Measure what is not measured yet, print it all; 1 where a promise is broken."""
    kills = 5 if args.quick else args.kills
    records, complaints = Records(args.json), []
    with workplace(args.folder) as folder:
        for layout in args.setting or LAYOUTS:
            facts = {"benchmark": "kill_soak", "setting": layout, "kills_wanted": kills, "seed": args.seed}
            record = records.measure(
                facts,
                lambda: measure(layout, kills, folder, prepare_set(folder), args.seed),  # noqa: B023
            )
            complaints += [f"{layout}: {complaint}" for complaint in broken(record, kills)]
    print_table(records.of("kill_soak"))
    print("\n".join(complaints) or "every promise was kept")
    return 1 if complaints else 0


if __name__ == "__main__":
    parser = build_parser(
        "kill -9 at random moments: what is lost of a run that the same command goes on with?"
    )
    parser.add_argument("--kills", type=int, default=50, metavar="N", help="per setting (50)")
    parser.add_argument("--setting", action="append", choices=LAYOUTS, help="ranks x workers; all by default")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments (0)")
    run(main, parser.parse_args())
