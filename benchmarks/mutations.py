"""Would the tests see it? Changes of the program that each break a promise, and what catches them.

Each change is made in a copy of the tree, in which the file of the promise it breaks is run until its first failure.

    python benchmarks/mutations.py --json mutations.json
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.records import Records, build_parser, run, workplace
from wavenet_pl.errors import UserError

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Mutation:
    """One change of one file, and the file of tests that has to fail."""

    file: str
    old: str
    new: str
    caught_by: str


MUTATIONS = {
    "files get their name before they are on disk": Mutation(
        "wavenet_pl/files/durable.py",
        "            os.fsync(file.fileno())\n",
        "",
        "promises/test_checkpoints.py",
    ),
    "the checksum is not looked at": Mutation(
        "wavenet_pl/runs/checkpoints.py",
        "return None if same else",
        "return None if same or True else",
        "runs/test_checkpoints.py",
    ),
    "two trainings have one run folder": Mutation(
        "wavenet_pl/runs/folder.py",
        "            except (BlockingIOError, PermissionError):\n                time.sleep(1)\n",
        "            except (BlockingIOError, PermissionError):\n                return file\n",
        "runs/test_folder.py",
    ),
    "weights that are not finite are saved": Mutation(
        "wavenet_pl/training/callbacks/checkpoints.py",
        "    if not bool(torch.stack([weight.isfinite()",
        "    if False and not bool(torch.stack([weight.isfinite()",
        "promises/test_checkpoints.py",
    ),
    "the last batch of an epoch is left out": Mutation(
        "wavenet_pl/data/order.py",
        "return -(-self.num_slots // self.batch_size)",
        "return self.num_slots // self.batch_size",
        "promises/test_stopping.py",
    ),
    "only the first rank is asked whether to stop": Mutation(
        "wavenet_pl/training/callbacks/preemption.py",
        "        own = torch.tensor(float(code),",
        "        code = code if trainer.is_global_zero else 0\n        own = torch.tensor(float(code),",
        "promises/test_stopping.py",
    ),
    "the watchdog sleeps": Mutation(
        "wavenet_pl/training/callbacks/watchdog.py",
        "            if self._over.wait(left):\n                return\n",
        "            if self._over.wait(left + 3600):\n                return\n",
        "promises/test_stopping.py",
    ),
    "rows after the checkpoint are not cut back": Mutation(
        "wavenet_pl/tracking/rows.py",
        "    if dropped:\n",
        "    if False and dropped:\n",
        "promises/test_tracking.py",
    ),
    "what W&B lost is not sent again": Mutation(
        "wavenet_pl/training/wandb_logger.py",
        "        for row in each_row(rows):\n",
        "        for row in ():\n",
        "promises/test_tracking.py",
    ),
    "a step that is no number is taken": Mutation(
        "wavenet_pl/training/module.py",
        "        finite = math.isfinite(nats) and math.isfinite(norm)\n",
        "        finite = True\n",
        "promises/test_numbers.py",
    ),
    "bad recordings are never too many": Mutation(
        "wavenet_pl/training/callbacks/bad_recordings.py",
        "        if len(bad) <= self._max_fraction * total:\n",
        "        if True or len(bad) <= self._max_fraction * total:\n",
        "promises/test_numbers.py",
    ),
    "what is packed in a checkpoint is unpacked": Mutation(
        "wavenet_pl/runs/archive.py",
        "            _check_archive(file)\n",
        "",
        "promises/test_foreign_files.py",
    ),
    "keys of the environment are written": Mutation(
        "wavenet_pl/files/redaction.py",
        "        if len(value) >= _SHORTEST_SECRET and is_secret_name(name)",
        "        if len(value) >= 1000 and is_secret_name(name)",
        "promises/test_foreign_files.py",
    ),
}
"""What the program does wrong -> the change. The tests that see it are those that docs/reliability.md names."""


def copy_tree(folder: Path) -> None:
    """All that git has, into a new folder."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for name in listed.rstrip("\0").split("\0"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)


def first_failure(mutation: Mutation, folder: Path) -> dict[str, Any]:
    """The first test of the promise's file that fails; the change is taken back afterwards.

    Raises:
        UserError: what is to be changed does not stand in its file once.
    """
    file = folder / mutation.file
    sound = file.read_text(encoding="utf-8")
    if sound.count(mutation.old) != 1:
        raise UserError(
            f"{mutation.file} has {mutation.old!r} {sound.count(mutation.old)} times, expected it once"
        )
    file.write_text(sound.replace(mutation.old, mutation.new), encoding="utf-8")
    tests = f"tests/{mutation.caught_by}"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-n",
        "0",
        "-x",
        "-q",
        "-m",
        "not soak",
        "-p",
        "no:cacheprovider",
        tests,
    ]
    try:
        done = subprocess.run(
            command, cwd=folder, env={**os.environ, "PYTHONPATH": str(folder)}, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
    finally:
        file.write_text(sound, encoding="utf-8")
    failed = re.search(r"^(?:FAILED|ERROR) \S+?::(\S+)", done.stdout, re.MULTILINE)
    return {"caught": done.returncode == 1 and failed is not None, "by": failed[1] if failed else ""}


def main(args: Namespace) -> int:
    """Make each change that was not made yet, and print what caught it; 1 where nothing did."""
    records = Records(args.json)
    with workplace(args.folder) as folder:
        copy_tree(folder)
        for name, mutation in list(MUTATIONS.items())[: 2 if args.quick else None]:
            facts = {"benchmark": "mutations", "mutation": name, "file": mutation.caught_by}
            row = records.measure(facts, lambda: first_failure(mutation, folder))  # noqa: B023
            print(
                f"{'caught' if row['caught'] else 'MISSED':7s} {name}: {row['file']} {row['by']}", flush=True
            )
    missed = [row for row in records.of("mutations") if not row["caught"]]
    print(f"{len(records.of('mutations')) - len(missed)} of {len(records.of('mutations'))} were caught")
    return 1 if missed else 0


if __name__ == "__main__":
    run(
        main,
        build_parser("changes that break a promise: is each caught by the file of its promise?").parse_args(),
    )
