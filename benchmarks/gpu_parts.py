"""The parts of the check on a GPU, each the work of one process."""

from __future__ import annotations

import contextlib
import io
import re
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu_checks import Bench
from benchmarks.gpu_speed import engines, steps
from benchmarks.gpu_training import losses, ranks
from benchmarks.records import Records
from wavenet_pl import cli
from wavenet_pl.layers import fused

ROOT = Path(__file__).resolve().parents[1]


def bench_of(args: Namespace) -> Bench:
    """Where a part's rows go, by the options of its process."""
    device = "cuda" if args.device == "auto" and torch.cuda.is_available() else "cpu"
    if (
        device == "cpu"
    ):  # what comes after the graphs takes a CPU's compiler a minute, and is tested elsewhere
        fused.compiled_layer = partial(fused.compiled_layer, "aot_eager")  # type: ignore[assignment]
    return Bench(Records(args.json), device, args.until, args.folder, tuple(args.peer))


def doctor(bench: Bench) -> dict[str, Any]:
    """What `wavenet-pl doctor` says."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        code = cli.main(["doctor"])
    lines = out.getvalue().splitlines()
    devices = [" ".join(line.split()[1:]) for line in lines if re.match(r"\w+ +cuda", line)]
    bad = [line for line in lines if line.startswith("fail")]
    named = bench.tiny or any(line.startswith("cuda:") for line in devices)
    return {"passed": code == 0 and named, "seen": "; ".join([*devices, *bad, lines[-1]])}


def tests(bench: Bench) -> dict[str, Any]:
    """The tests marked gpu, of the files that have some: importing all others takes a minute."""
    files = [
        str(path)
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        if "pytest.mark.gpu" in path.read_text()
    ]
    # What a library warns of on another machine is no matter here.
    options = ("-q", "-m", "gpu", "-n", "0", "-W", "default", "-p", "no:cacheprovider")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *files],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    [*_, last] = [line for line in done.stdout.splitlines() if line.strip()] or [done.stderr[-200:]]
    failed = re.findall(r"^(?:FAILED|ERROR) .*", done.stdout, flags=re.MULTILINE)
    good = done.returncode == 0 and (bench.tiny or "skipped" not in last)
    return {"passed": good, "seen": "; ".join([last.strip("= "), *failed])[:600]}


def setup(bench: Bench) -> None:
    """The part of this name."""
    bench.row("wavenet-pl doctor", lambda: doctor(bench))
    bench.row("pytest -m gpu", lambda: tests(bench))


WORK: dict[str, Callable[[Bench], None]] = {
    "setup": setup, "losses": losses, "engines": engines, "steps": steps, "ranks": ranks,
}  # fmt: skip
"""Name of a part -> its work."""
