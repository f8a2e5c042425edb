"""Jobs on the tests' cluster: submitted, watched, and what they left."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from wavenet_pl.cluster.options import JobOptions
from wavenet_pl.cluster.scheduler import Scheduler
from wavenet_pl.cluster.script import Job, build_script
from wavenet_pl.cluster.states import JobState

SCRIPT = Path(__file__).with_name("cluster.sh")
TWO_NODES = JobOptions(nodes=2, time="10")
_PATIENCE = 240.0


class Cluster:
    """The cluster in a folder, as `cluster.sh` made it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.scheduler = folder, Scheduler()

    def submit(self, options: JobOptions, job: Job) -> int:
        """Hand it in; returns its id."""
        job.records.mkdir(parents=True, exist_ok=True)
        return self.scheduler.submit(build_script(options, job))

    def state(self, id: int | str) -> JobState:
        """Of one job that is no array."""
        [state] = self.scheduler.job(id)
        return state

    def wait_for(self, what: str, holds: Callable[[], object], job: int | str | None = None) -> None:
        """Wait until it does; a job that has ended by then would make that wait in vain."""
        deadline = time.monotonic() + _PATIENCE
        while not holds():
            assert time.monotonic() < deadline, f"waited for {what}"
            assert job is None or not self.state(job).is_over or holds(), (
                f"the job ended before {what}: {self.state(job)}"
            )
            time.sleep(0.2)

    def wait_for_end(self, id: int | str) -> str:
        """Wait until a job is over; returns the state that it is in then."""
        self.wait_for(f"the end of {id}", lambda: self.state(id).is_over)
        return self.state(id).state

    def wait_for_row(self, job: int, folder: Path, step: int) -> None:
        """Wait until the one run in a folder of runs has a row of this step."""

        def rows() -> int:
            found = list(folder.glob("wavenet-*/metrics.jsonl"))
            return found[0].read_bytes().count(b"train/loss") if found else 0

        self.wait_for(f"step {step}", lambda: rows() >= step, job)

    def hold_still(self, job: int, long_enough: Callable[[], bool]) -> None:
        """Stop the ranks of a job until a signal has come for each of them, or that is long enough."""
        ranks = [path for path in Path("/proc").iterdir() if path.name.isdigit() and is_rank(path, job)]
        assert ranks, f"job {job} has no rank"
        for rank in ranks:
            os.kill(int(rank.name), signal.SIGSTOP)
        try:
            self.wait_for("a signal", lambda: long_enough() or not any(map(stands_still, ranks)))
        finally:
            for rank in ranks:
                with suppress(ProcessLookupError):
                    os.kill(int(rank.name), signal.SIGCONT)

    def lose_node(self, name: str) -> None:
        """Kill the daemon of a node, and let the controller notice at once what it would notice soon."""
        os.kill(int((self.folder / f"run/slurmd-{name}.pid").read_text()), signal.SIGKILL)
        command = ["scontrol", "update", f"nodename={name}", "state=down", "reason=lost"]
        subprocess.run(command, check=True, timeout=60)

    def start_node(self, name: str) -> None:
        """Start the daemon of a node."""
        subprocess.run([SCRIPT, "node", self.folder, name], check=True, timeout=60)

    def clear(self) -> None:
        """Cancel what runs, and wait until the nodes are free."""
        for state in self.scheduler.jobs():
            if not state.is_over:
                self.scheduler.cancel(state.id)
        self.wait_for("free nodes", lambda: all(state.is_over for state in self.scheduler.jobs()))


def is_rank(process: Path, job: int) -> bool:
    """Whether a process is what a step of a job started: one of its ranks."""
    try:
        variables = (process / "environ").read_bytes().split(b"\0")
    except OSError:  # it has ended
        return False
    own = {b"SLURM_JOB_ID=%d" % job, b"SLURM_TASK_PID=%d" % int(process.name)}
    return own <= {*variables} and any(each.startswith(b"SLURM_STEP_ID=") for each in variables)


def stands_still(process: Path) -> bool:
    """Whether one is stopped, and no signal waits for it to go on."""
    try:
        lines = (process / "status").read_text().splitlines()
    except OSError:  # it has ended
        return False
    status = dict(line.split(":\t", 1) for line in lines)
    return status["State"].startswith("T") and not int(status["ShdPnd"], 16)


def log_of(records: Path, id: int | str) -> str:
    """What the batch script and the ranks said."""
    paths = sorted(records.glob(f"*{id}*.log"))
    return "\n".join(f"--- {path.name}\n{path.read_text()}" for path in paths)
