"""kill -9 while checkpoints are written and the temporary folder is on another file system: which files can be used?

A process saves one checkpoint after the other, keeping the newest two, and is killed at a random moment; then every
file is read. Our AtomicCheckpointIO is measured beside Lightning's own TorchCheckpointIO.

    python benchmarks/save_soak.py --kills 100 --tmpdir /dev/shm
"""

from __future__ import annotations

import os
import pickle
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

import torch
from lightning.fabric.plugins import CheckpointIO, TorchCheckpointIO

from benchmarks.records import Progress, Records, build_parser, lacking, print_table, run, workplace
from wavenet_pl.errors import UserError
from wavenet_pl.runs.checkpoints import CHECKPOINT_KEY, problem
from wavenet_pl.runs.folder import RunFolder, checkpoint_path, checkpoint_step, list_checkpoints
from wavenet_pl.training.checkpoint_io import AtomicCheckpointIO

WRITERS: dict[str, type[CheckpointIO]] = {
    "AtomicCheckpointIO": AtomicCheckpointIO,
    "TorchCheckpointIO": TorchCheckpointIO,
}
OURS = "AtomicCheckpointIO"
WEIGHTS = 2**21
"""Numbers in a checkpoint: 8 MiB, so that a save takes long enough to be hit in all its parts."""
LONGEST = 0.5
"""Seconds within which a process is killed that has begun to save."""


def measure(name: str, kills: int, folder: Path, tmpdir: Path, seed: int = 0) -> dict[str, Any]:
    """Files found after so many kills, as a flat record.

    Args:
        name: which of `WRITERS` saves.
        kills: how many processes.
        folder: where it saves to.
        tmpdir: $TMPDIR of the process.
        seed: of the random moments.

    Raises:
        UserError: both folders are on one file system.
    """
    if folder.stat().st_dev == tmpdir.stat().st_dev:
        raise UserError(
            f"{tmpdir} is on the same file system as {folder}, expected another; name one with --tmpdir or --folder"
        )
    draws, progress = random.Random(f"{seed} {name}"), Progress(name, kills)
    counts = Counter(kills=0, saved=0, checked=0, corrupt=0, missing=0, leftover_files=0)
    for _ in range(kills):
        with TemporaryDirectory(dir=folder) as place, TemporaryDirectory(dir=tmpdir) as temporary:
            run_folder = RunFolder(Path(place))
            run_folder.checkpoints.mkdir()
            saved = kill_a_writer(WRITERS[name](), run_folder, temporary, draws)
            sound = {checkpoint_step(path): is_sound(path, name) for path in list_checkpoints(run_folder)}
            files = [*run_folder.checkpoints.glob(".*"), *Path(temporary).iterdir()]
        counts.update(
            kills=1,
            saved=saved,
            checked=len(sound),
            corrupt=sum(not value for value in sound.values()),
            missing=saved > 0 and not any(value for step, value in sound.items() if step >= saved),
            leftover_files=len(files),
        )
        progress.step(f"{saved} saves, {counts['corrupt']} corrupt of {counts['checked']} files so far")
    return dict(counts)


def kill_a_writer(writer: CheckpointIO, run_folder: RunFolder, tmpdir: str, draws: random.Random) -> int:
    """Start a process that saves without end, and kill it; the last step whose save had returned."""
    reader, told = os.pipe()
    pid = os.fork()  # no new interpreter: torch is imported already
    if pid == 0:
        os.close(reader)
        save_forever(writer, run_folder, tmpdir, told)
    os.close(told)
    assert os.read(reader, 1) == b"\0", "it has begun"
    time.sleep(draws.uniform(0, LONGEST))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    with os.fdopen(reader, "rb") as file:
        return len(file.read())


def save_forever(writer: CheckpointIO, run_folder: RunFolder, tmpdir: str, told: int) -> NoReturn:
    """Step after step, a byte to ``told`` after each; ends only by a kill."""
    tempfile.tempdir = os.environ["TMPDIR"] = tmpdir
    torch.set_num_threads(1)  # a process that is forked cannot use its parent's threads
    os.write(told, b"\0")
    step = 0
    while True:
        step += 1
        writer.save_checkpoint(content(step), checkpoint_path(run_folder, step))
        os.write(told, b"\1")
        for path in list_checkpoints(run_folder)[:-2]:
            writer.remove_checkpoint(path)


def content(step: int) -> dict[str, Any]:
    """What the checkpoint of a step holds."""
    return {CHECKPOINT_KEY: {"step": step}, "weights": torch.full((WEIGHTS,), float(step))}


def is_sound(path: Path, name: str) -> bool:
    """Whether a file that has a checkpoint's name holds all of it."""
    if name == OURS and problem(path) is not None:
        return False
    try:
        found = torch.load(path, weights_only=True)
    except (RuntimeError, EOFError, OSError, ValueError, pickle.UnpicklingError):
        return False
    return torch.equal(found["weights"], content(checkpoint_step(path))["weights"])


def main(args: Any) -> int:
    """Measure what is not measured yet, print it all; 1 where a file of ours is lost."""
    kills = 10 if args.quick else args.kills
    records = Records(args.json)
    with workplace(args.folder) as folder:
        for name in WRITERS:
            facts = {"benchmark": "save_soak", "writer": name, "kills_wanted": kills, "seed": args.seed}
            records.measure(facts, lambda: measure(name, kills, folder, args.tmpdir, args.seed))  # noqa: B023
    rows = records.of("save_soak")
    print_table(rows)
    complaints = [
        complaint
        for row in rows
        if row["writer"] == OURS
        for complaint in lacking(row, {"corrupt": 0, "missing": 0})
    ]
    print("\n".join(complaints) or "no checkpoint of ours was lost")
    return 1 if complaints else 0


if __name__ == "__main__":
    parser = build_parser("kill -9 while checkpoints are written: which files can be used afterwards?")
    parser.add_argument("--kills", type=int, default=100, metavar="N", help="per writer (100)")
    parser.add_argument(
        "--tmpdir", type=Path, default=Path("/dev/shm"), metavar="DIR",
        help="TMPDIR of what saves, on another file system than --folder (/dev/shm)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of the random moments (0)")
    if not sys.platform.startswith("linux"):
        parser.error("it forks and reads /proc, expected Linux")
    run(main, parser.parse_args())
