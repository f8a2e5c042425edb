"""What was submitted from here: a small file and the script for each job, in `RUNS/.slurm`."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from wavenet_pl.errors import UserError
from wavenet_pl.files.durable import write_durably
from wavenet_pl.files.foreign import read_file
from wavenet_pl.runs.folder import RunFolder
from wavenet_pl.runs.starts import Starts, read_starts

FOLDER = ".slurm"
_LARGEST = 2**26


@dataclass(frozen=True, kw_only=True)
class Record:
    """One job, or one array of them."""

    job: int
    """SLURM's id."""
    name: str
    command: Sequence[str]
    """The arguments of `wavenet-pl`."""
    tasks: Sequence[Sequence[str]] = ()
    """Of an array, what each task has after the command."""
    runs: Sequence[str] = ()
    """The run folder of each task, or the job's one, where that is known before it starts."""
    chosen: Sequence[int] = ()
    """Numbers of the tasks that were submitted, where these are not all."""
    requeues: bool = False
    time: float = 0.0
    """When it was submitted, in seconds since 1970."""
    records: Path = field(default=Path(), compare=False)
    """The folder that this lies in."""

    @property
    def ids(self) -> list[str]:
        """SLURM's ids: one, or that of each task."""
        chosen = self.chosen or range(len(self.tasks))
        return [f"{self.job}_{task}" for task in chosen] if self.tasks else [str(self.job)]

    @property
    def script(self) -> str:
        """The text that was submitted.

        Raises:
            UserError: its file was removed, or cannot be read.
        """
        path = self.records / f"{self.job}.sh"
        try:
            return read_file(path, _LARGEST).decode()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(
                f"{path} cannot be read ({getattr(error, 'strerror', None) or 'it is no text'}), expected the script "
                f"that job {self.job} was submitted with; submit its command anew"
            ) from None

    def starts(self, id: str) -> Starts:
        """What the job, or the task, wrote down of itself."""
        return read_starts(self.records / f"{id}.starts.jsonl")

    def run_of(self, id: str) -> RunFolder | None:
        """The run folder that a job or task is in, or will be; None where that is not known."""
        if entered := self.starts(id).runs:
            return entered[-1]
        task = task_of(id)
        return RunFolder(Path(self.runs[task])) if task < len(self.runs) else None

    def overrides(self, id: str) -> str:
        """What sets a task apart, in one line."""
        return " ".join(self.tasks[task_of(id)]) if self.tasks else ""

    def write(self, script: str) -> None:
        """Keep it beside its script, for as long as the runs are kept."""
        described = {name: value for name, value in asdict(self).items() if name != "records"}
        write_durably(self.records / f"{self.job}.sh", script)
        write_durably(self.records / f"{self.job}.json", json.dumps(described, indent=1) + "\n")


def task_of(id: str) -> int:
    """12_3 -> 3, and 0 for a job that is no array."""
    return int(id.partition("_")[2] or 0)


def records_folder(runs: str | Path) -> Path:
    """Where the jobs of a folder of runs are remembered.

    Raises:
        UserError: it is a link to itself.
    """
    try:
        return Path(runs).resolve() / FOLDER
    except RuntimeError:
        raise UserError(f"--runs {runs} is a link to itself, expected a folder; name another one") from None


def read_records(runs: str | Path) -> list[Record]:
    """Every job that was submitted, the oldest first.

    Raises:
        UserError: a file is damaged, or the folder cannot be listed.
    """
    folder = records_folder(runs)
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        names = []
    except OSError as error:
        raise UserError(
            f"{folder} cannot be listed ({error.strerror}), expected what `wavenet-pl slurm` wrote; mend that, or name "
            "another folder of runs with --runs"
        ) from None
    records = []
    for path in (folder / name for name in names if name.endswith(".json")):
        try:
            tree: dict[str, Any] = json.loads(read_file(path, _LARGEST))
            records.append(Record(**tree, records=folder))
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise UserError(
                f"{path} cannot be read ({error!s:.120}), expected what `wavenet-pl slurm` wrote; move it away"
            ) from None
    return sorted(records, key=lambda record: (record.time, record.job))


def find_records(runs: str | Path, wanted: str | None) -> list[tuple[Record, str]]:
    """Jobs, each with the id of the job or task that is meant, the oldest first.

    Args:
        runs: the folder of runs.
        wanted: an id such as `12` or `12_3`, a run folder or its name; None for all.

    Raises:
        UserError: there is none.
    """
    records = read_records(runs)
    every = [(record, id) for record in records for id in record.ids]
    if wanted is None:
        matches = every
    elif re.fullmatch(r"\d+(_\d+)?", wanted):
        matches = [(record, id) for record, id in every if wanted in (id, str(record.job))]
    else:
        name = Path(wanted).name
        matches = [(record, id) for record, id in every if (run := record.run_of(id)) and run.name == name]
    if not matches:
        known = f"; known are {', '.join(str(record.job) for record in records[-10:])}" if records else ""
        what = "no job" if wanted is None else f"no job of {wanted}"
        raise UserError(
            f"{records_folder(runs)} knows {what}, expected one that `wavenet-pl slurm` submitted{known}; "
            "submit one, or name the folder of runs with --runs"
        )
    return matches
