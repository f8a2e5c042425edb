"""Everything that is to be seen on a GPU, in one command that goes on where it was.

On a machine without one it does the same in a tiny size on the CPU, which says nothing but that it works.

    python -m benchmarks.gpu [--minutes 8] [--json FILE] [--write-docs] [--wheels DIR] [--peer CHECKOUT]

It needs no network, and no packages but those of a CUDA image of PyTorch, and wheels: see `scripts/wheels.sh`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from benchmarks.gpu_checks import BENCHMARK, BROKEN, PARTS
from benchmarks.records import Records, build_parser, run, workplace
from wavenet_pl.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
GRACE = 20.0
"""Seconds that a row that has begun may take longer than there is time."""
LEAST = 5.0
"""Seconds that a part is worth beginning with."""
PATIENCE = 180.0
"""Seconds without a row after which a part is given up."""
UNDONE = 75
"""How the process of a part ends that had no time for all of it."""


def lacking(wheels: Path, installed: dict[str, str]) -> list[Path]:
    """The wheels of a folder whose packages are not here.

    Raises:
        UserError: the folder holds none.
    """
    paths = sorted(wheels.glob("*.whl"))
    if not paths:
        raise UserError(f"{wheels} holds no wheels, expected those of `sh scripts/wheels.sh {wheels}`")
    return [path for path in paths if _plain(path.name.split("-")[0]) not in installed]


def _plain(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def installed_packages() -> dict[str, str]:
    """Name -> version."""
    return {_plain(each.metadata["Name"]): each.version for each in metadata.distributions()}


def install(wheels: Path, folder: Path) -> Path:
    """The wheels that are lacking, in a folder of their own; nothing is looked for in a network."""
    paths = lacking(wheels, installed_packages())
    if paths:
        options = ("--quiet", "--no-index", "--no-deps", "--no-compile", "--upgrade", "--target", str(folder))
        subprocess.run([sys.executable, "-m", "pip", "install", *options, *map(str, paths)], check=True)
    print(
        f"wheels: {', '.join(path.name.split('-')[0] for path in paths) or 'none'} were lacking",
        file=sys.stderr,
    )
    return folder


def at_once(device: str) -> int:
    """How many parts may run beside each other.

    One on a GPU, where their speed is measured. On a CPU it says nothing, and half of the time would be waited: all.
    """
    import torch

    return 1 if device == "auto" and torch.cuda.is_available() else len(PARTS)


def do_part(args: Namespace) -> int:
    """What the process of a part does; 0 if all of it is done."""
    from benchmarks.gpu_parts import WORK, bench_of

    bench = bench_of(args)
    WORK[args.part](bench)
    if bench.left:
        print(f"no time was left for {', '.join(bench.left)}", file=sys.stderr)
    return UNDONE if bench.left else 0


class PartProcess:
    """A part at work, in a process and session of its own.

    It is ended where no time is left, and where no row has come for long: something hangs, and others can be measured
    meanwhile. What leaves its device unusable is a row that did not pass, and the part goes on behind it, anew.
    """

    def __init__(
        self, part: str, args: Namespace, folder: Path, variables: dict[str, str], until: float
    ) -> None:
        self.part, self._until, self._json = part, until, args.json.absolute()
        (folder / part).mkdir(exist_ok=True)
        command = [
            sys.executable, "-m", "benchmarks.gpu", "--part", part, "--json", str(self._json),
            "--folder", str(folder / part), "--until", str(until), "--device", args.device,
            *(option for peer in args.peer for option in ("--peer", str(peer.absolute()))),
        ]  # fmt: skip
        self._start = lambda: subprocess.Popen(command, cwd=ROOT, env=variables, start_new_session=True)
        self._began, self._process = time.time(), self._start()

    def is_over(self, patience: float = PATIENCE) -> bool:
        """Whether it has ended, or was ended now."""
        code = self._process.poll()
        if code == BROKEN and time.time() < self._until:
            self._began, self._process = time.time(), self._start()
        elif code is not None:
            if code not in (0, UNDONE, BROKEN):
                print(
                    f"{self.part}: its process ended with {code}, expected 0; what it said is above",
                    file=sys.stderr,
                )
            return True
        stands_since = max(self._began, self._json.stat().st_mtime if self._json.exists() else 0.0)
        if time.time() <= min(self._until + GRACE, stands_since + patience):
            return False
        print(f"{self.part}: no row for {time.time() - stands_since:.0f} s, so it was ended", file=sys.stderr)
        self.end()
        return True

    @property
    def is_done(self) -> bool:
        """Whether all of it is."""
        return self._process.poll() == 0

    def end(self) -> None:
        """With all that it started; nothing where it has ended."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def do_parts(begin: Callable[[str], PartProcess], at_once: int, until: float) -> list[str]:
    """All parts in their order, so many at a time.

    Returns:
        Those of which something is left to do.
    """
    waiting, running, done = [*PARTS], list[PartProcess](), set[str]()
    try:
        while running or (waiting and until - time.time() >= LEAST):
            while waiting and len(running) < at_once and until - time.time() >= LEAST:
                running.append(begin(waiting.pop(0)))
            time.sleep(0.1)
            over = [part for part in running if part.is_over()]
            running = [part for part in running if part not in over]
            done |= {part.part for part in over if part.is_done}
    finally:
        for part in running:
            part.end()
    return [part for part in PARTS if part not in done]


def main(args: Namespace) -> int:
    """Do what is not done yet, one part after the other; 0 if all of it was done and is as expected."""
    if args.part:
        return do_part(args)
    until = time.time() + 60 * args.minutes - GRACE
    with workplace(args.folder) as folder:
        args.json = args.json or folder / "gpu.json"
        Records(args.json).drop(lambda row: not row.get("passed", True))
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        if args.wheels is not None:
            paths.insert(0, str(install(args.wheels.absolute(), folder / "site")))
        sys.path[:0] = paths
        variables = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        undone = do_parts(
            lambda part: PartProcess(part, args, folder, variables, until), at_once(args.device), until
        )
        rows = Records(args.json).of(BENCHMARK)
        if args.write_docs:
            from benchmarks.gpu_page import PAGE, write

            write(PAGE, rows)
    wrong = [f"{row['check']}: {row['seen']}" for row in rows if not row["passed"]]
    for text in wrong:
        print(f"FAILED {text}")
    if undone:
        print(f"not done: {', '.join(undone)}; the same command with --json FILE goes on there")
    print(f"{len(rows) - len(wrong)} rows are as expected, {len(wrong)} are not")
    return 1 if wrong or undone else 0


if __name__ == "__main__":
    parser = build_parser(
        "everything that is to be seen on a GPU; in a tiny size on the CPU where there is none"
    )
    parser.add_argument("--minutes", type=float, default=8.0, help="after which it ends (8)")
    parser.add_argument("--device", choices=("auto", "cpu"), default="auto", help="cpu passes over a GPU")
    parser.add_argument("--write-docs", action="store_true", help="put what a GPU showed into docs/gpu.md")
    parser.add_argument("--wheels", type=Path, metavar="DIR", help="packages that may be lacking here")
    parser.add_argument(
        "--peer", type=Path, action="append", default=[], metavar="CHECKOUT", help="of r9y9's wavenet_vocoder"
    )
    parser.add_argument("--part", help="one part, in this process; for itself")
    parser.add_argument("--until", type=float, default=float("inf"), help="by the clock; for itself")
    run(main, parser.parse_args())
