"""How fast networks train: predictions a second, of this code, of an earlier commit and of public implementations.

Each row is a process of its own, and is held against the first of its shape, in turns, as a machine may change its
speed. What the machine can do at all is measured between them: products of large matrices in the type of the row.

    python benchmarks/training.py --before COMMIT --json training.json --peer CHECKOUT --peer ANOTHER
"""

from __future__ import annotations

import io
import os
import statistics
import subprocess
import tarfile
from argparse import Namespace
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.records import Records, build_parser, run, workplace
from benchmarks.trainers import Shape, Trainer
from wavenet_pl.errors import UserError

ROOT = Path(__file__).resolve().parents[1]


SHAPES = {
    "demo": Shape(2, 8, 32, 64, 8),
    "30/64/128": Shape(3, 10, 64, 128, 4),
    "128/256/256": Shape(3, 10, 128, 256, 2, 2000),
}
"""Layers, residual channels and gate channels give the names; gate channels are twice the residual ones."""


WAYS = ("float32", "bfloat16", "recomputed", "compiled")
"""How ours are trained; the compiler takes minutes for a large network."""


@dataclass(frozen=True)
class Row:
    """What is measured, and held against the first row of its shape."""

    who: str
    precision: str
    root: Path
    checkout: Path | None = None

    def trainer(self, shape: Shape, threads: int) -> Trainer:
        """A process of it."""
        variables = {**os.environ, "PYTHONPATH": f"{self.root}{os.pathsep}{ROOT}"}
        who = str(self.checkout or "ours")
        return Trainer(shape, variables, who=who, precision=self.precision, threads=threads)


def rows_of(args: Namespace, shape: str, before: Path | None) -> Iterator[Row]:
    """Those of one shape; the first is the reference."""
    if before is not None:
        yield Row(f"before {before.name}", "float32", before)
        yield Row(f"before {before.name}", "bfloat16", before)
    for precision in args.way:
        yield Row("ours", precision, ROOT)
    if shape == "30/64/128":
        for checkout in args.peer:
            yield Row(checkout.name, "float32", ROOT, checkout.resolve())


def measure(
    reference: Row, row: Row, shape: Shape, threads: int, repeats: int, seconds: float
) -> dict[str, float]:
    """Medians of a row, and of its ratio to the reference in turns."""
    figures: tuple[list[dict[str, float]], list[dict[str, float]]] = ([], [])
    with ExitStack() as stack:
        trainers = [
            stack.enter_context(each.trainer(shape, threads))
            for each in ((row,) if row == reference else (row, reference))
        ]
        for repeat in range(repeats):
            for number in (0, 1) if repeat % 2 else (1, 0):  # which of them comes first must not matter
                if number < len(trainers):
                    trainers[number].begin(seconds)
                    figures[number].append(trainers[number].end())
    own, other = (figures[0], figures[-1] or figures[0])
    names = ("predictions_per_second", "memory_mib")
    rate, memory = (statistics.median(each[name] for each in own) for name in names)
    shares = [1e-9 * shape.flops * each[names[0]] / each["roof_gflops"] for each in own]
    ratios = [mine[names[0]] / its[names[0]] for mine, its in zip(own, other, strict=True)]
    return {
        "predictions_per_second": round(rate),
        "per_thread": round(rate / threads),
        "ratio": statistics.median(ratios),
        "gflops": 1e-9 * shape.flops * rate,
        "roof_gflops": statistics.median(each["roof_gflops"] for each in own),
        "roof_share": statistics.median(shares),
        "memory_mib": round(memory),
        "memory_ratio": memory / statistics.median(each["memory_mib"] for each in other),
    }


def checked_out(commit: str, folder: Path) -> Path:
    """An earlier state of this repository, in a folder of its hash: a name such as HEAD is another one tomorrow."""

    def git(*words: str) -> bytes:
        done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, check=False)
        if done.returncode:
            raise UserError(
                f"git has no commit {commit}, expected one of this repository: {done.stderr.decode().strip()}"
            )
        return done.stdout

    whole = git("rev-parse", "--verify", f"{commit}^{{commit}}").decode().strip()
    checkout = folder / whole[:12]
    with tarfile.open(fileobj=io.BytesIO(git("archive", whole, "wavenet_pl"))) as archive:
        archive.extractall(checkout, filter="data")
    return checkout


def main(args: Namespace) -> int:
    """Measure what is not measured yet, and print it all."""
    records = Records(args.json)
    cores = len(os.sched_getaffinity(0))
    repeats, seconds = (1, 0.5) if args.quick else (5, 3.0)
    shapes = {name: SHAPES[name] for name in args.shape or SHAPES}
    with workplace(args.folder) as folder:
        before = None if args.before is None else checked_out(args.before, folder)
        for threads in args.threads or sorted({1, cores}):
            for name, shape in shapes.items():
                reference, *others = rows_of(args, name, before)
                for row in (reference, *others):
                    facts = {
                        "benchmark": "training", "shape": name, "threads": threads, "who": row.who,
                        "precision": row.precision, "beside": f"{reference.who} {reference.precision}",
                        "quick": args.quick,
                    }  # fmt: skip
                    records.measure(
                        facts, lambda: measure(reference, row, shape, threads, repeats, seconds)  # noqa: B023
                    )  # fmt: skip
    show(records)
    return 0


def show(records: Records) -> None:
    """A line for each row."""
    for row in records.of("training"):
        print(
            f"{row['shape']:12s} {row['threads']} threads {row['who']:19s} {row['precision']:10s} "
            f"{row['per_thread']:8,d} predictions/s and thread, {row['ratio']:5.2f} of {row['beside']}, "
            f"{row['roof_share']:4.0%} of the roof of {row['roof_gflops']:.0f} GFLOP/s, {row['memory_mib']:6,d} MiB, "
            f"{row['memory_ratio']:4.2f} of it"
        )


if __name__ == "__main__":
    parser = build_parser("predictions a second of training steps")
    parser.add_argument("--before", metavar="COMMIT", help="an earlier commit, which is the reference")
    parser.add_argument("--shape", nargs="+", choices=list(SHAPES), help="some of the networks")
    parser.add_argument("--way", nargs="+", choices=WAYS, default=WAYS, help="some of the ways to train ours")
    parser.add_argument(
        "--threads", nargs="+", type=int, metavar="N", help="of torch; by default one, and all"
    )
    parser.add_argument(
        "--peer", type=Path, action="append", default=[], metavar="CHECKOUT", help="of another implementation"
    )
    run(main, parser.parse_args())
