"""The batch script of a job: a head that says what is asked for, over a body that is the same for all."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wavenet_pl.cluster.options import JobOptions
from wavenet_pl.errors import UserError

_TEMPLATES = ("templates", "../slurm")
"""Where job.sh lies, seen from the package: in a wheel, and in a clone."""
_AVOIDED = ("bash", "interactive")
"""Names of jobs that Lightning takes for a session at a terminal."""
_WIDTH = 110


@dataclass(frozen=True, kw_only=True)
class Job:
    """One thing to run."""

    name: str
    """What queues call it."""
    command: Sequence[str]
    """The arguments of `wavenet-pl`, the command first."""
    folder: Path
    """Where it runs, absolute."""
    records: Path
    """Where its logs and its starts are kept, absolute and there when it is submitted: `RUNS/.slurm`."""
    tasks: Sequence[Sequence[str]] = ()
    """Of an array, what each task has after the command; none for a single job."""
    max_parallel: int | None = None
    """How many tasks of an array may run at once."""
    after: Sequence[str] = ()
    """What it waits for, such as `afterok:12`."""
    requeues: bool = False
    """Whether it may be started again: the command goes on where it was."""
    python: str = sys.executable
    """The interpreter that has the project installed, on every node."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,99}", self.name) or self.name in _AVOIDED:
            raise UserError(
                f"the job's name is {self.name!r:.60}, expected letters, digits and . _ + -, and not "
                f"{' or '.join(_AVOIDED)}; set another name"
            )
        for path in (self.folder, self.records):
            if not path.is_absolute() or re.search(r"[\n\"'\\%]", str(path)):
                raise UserError(
                    f"{str(path)!r} cannot stand in a batch script, expected an absolute path without quotes, "
                    "backslashes, % and line ends; choose another folder"
                )


def build_script(options: JobOptions, job: Job) -> str:
    """The text for sbatch. The same job and options give the same text, and it can be submitted again by hand.

    Args:
        options: what is asked of the cluster.
        job: what is to run there.
    """
    log = "%A_%a.log" if job.tasks else "%j.log"
    parallel = f"%{job.max_parallel}" if job.max_parallel else ""
    directives = [
        ("job-name", job.name),
        *options.directives(),
        *([("array", f"0-{len(job.tasks) - 1}{parallel}")] if job.tasks else []),
        *([("dependency", ",".join(job.after)), ("kill-on-invalid-dep", "yes")] if job.after else []),
        *([("signal", f"USR1@{options.signal_lead}")] if job.requeues else []),
        ("output", str(job.records / log)),
        ("open-mode", "append"),
        ("requeue" if job.requeues else "no-requeue", None),
    ]
    command = [job.python, "-m", "wavenet_pl", *job.command]
    words = "".join([*command, *(word for extra in job.tasks for word in extra), *options.setup])
    head = [
        "#!/bin/bash",
        *(f"#SBATCH --{name}" + ("" if value is None else f"={_quote(value)}") for name, value in directives),
        "",
        "# Written by `wavenet-pl slurm`; `sbatch` takes it as it is.",
        *(
            ["# shellcheck disable=SC2016  # a $ in an argument is meant"]
            if "$" in words or "`" in words
            else []
        ),
        f"folder={shlex.quote(str(job.folder))}",
        f"records={shlex.quote(str(job.records))}",
        f"max_restarts={options.max_restarts if job.requeues else 0}",
        *_array("setup=", options.setup),
        *_array("command=", command),
    ]
    if job.tasks:
        head.append('case "${SLURM_ARRAY_TASK_ID:?}" in')
        for number, extra in enumerate(job.tasks):
            head += [f"    {number})", *_array("        command+=", extra), "        ;;"]
        head += ['    *) echo "task $SLURM_ARRAY_TASK_ID is none of this array" >&2; exit 2 ;;', "esac"]
    return "\n".join(head) + "\n\n" + _body()


def _body() -> str:
    """What follows the head: job.sh, less what only a checker of the file alone needs."""
    package = Path(__file__).resolve().parent.parent
    paths = [path for folder in _TEMPLATES if (path := package / folder / "job.sh").is_file()]
    assert paths, "job.sh is neither in the package nor beside it"
    return paths[0].read_text(encoding="utf-8").split("# --- the head ends here ---\n", 1)[1].lstrip("\n")


def _array(begin: str, words: Sequence[str]) -> list[str]:
    """A bash array over as many lines as it needs."""
    if not words:
        return [f"{begin}()"]
    lines, indent = [f"{begin}("], " " * (len(begin) - len(begin.lstrip()) + 4)
    for word in map(shlex.quote, words):
        if len(lines) > 1 and len(lines[-1]) + 1 + len(word) <= _WIDTH:
            lines[-1] += f" {word}"
        else:
            lines.append(indent + word)
    return [*lines, indent[:-4] + ")"]


def _quote(value: str) -> str:
    """A value as sbatch reads it from a comment line."""
    return '"' + re.sub(r'(["\\])', r"\\\1", value) + '"' if re.search(r"""[\s"'#\\]""", value) else value
