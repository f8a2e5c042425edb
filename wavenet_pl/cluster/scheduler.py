"""SLURM, as this project talks to it: the only file that starts its commands and reads what they print."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from typing import NoReturn

from wavenet_pl.cluster.environment import for_slurm
from wavenet_pl.cluster.states import JobState, Partition, read_job_id, read_jobs, read_partitions
from wavenet_pl.errors import UserError

TIMEOUT = 60.0
"""Seconds that a busy controller may take to answer."""


class Refused(UserError):
    """SLURM refused a command.

    Args:
        command: what was asked, such as `sbatch`.
        reason: its message, without its own prefix.
    """

    def __init__(self, command: str, reason: str) -> None:
        self.command, self.reason = command, reason
        super().__init__(
            f"{command} refused: {reason}; mend that and try again (`wavenet-pl slurm COMMAND ... --dry-run` checks "
            "without submitting)"
        )


class Silent(UserError):
    """SLURM did not answer in time."""


class Scheduler:
    """The commands of SLURM on this machine.

    Args:
        timeout: seconds that a command may take.
    """

    def __init__(self, timeout: float = TIMEOUT) -> None:
        self.timeout = timeout

    @property
    def is_here(self) -> bool:
        """Whether jobs can be submitted from this machine."""
        return shutil.which("sbatch") is not None

    def submit(self, script: str) -> int:
        """Hand in a batch script; returns the job's id, of an array that of the whole.

        Raises:
            Refused: SLURM does not take it.
            UserError: it does not say whether it took it.
        """
        try:
            answer = self._run(["sbatch", "--parsable"], script)
            if (job := read_job_id(answer)) is not None:
                return job
            reason = f"sbatch answered {answer.strip()!r:.200}"
        except Silent as silent:
            reason = str(silent).partition(",")[0]
        except Refused as refused:
            if not re.search("timed out|zero bytes", refused.reason, re.IGNORECASE):
                raise
            reason = f"sbatch says {refused.reason}"
        raise UserError(
            f"{reason}, expected the job's id: it may be queued; see `squeue --me`, end it with `scancel` if it is "
            "there, and submit it again"
        )

    def test_only(self, script: str) -> str:
        """When and where SLURM would start this script; nothing is submitted.

        Raises:
            Refused: it would not take it.
        """
        done = self._start(["sbatch", "--test-only"], script)
        if done.returncode != 0:
            self._refuse("sbatch --test-only", done.stderr)
        return _message(done.stderr or done.stdout)

    def job(self, id: int | str) -> list[JobState]:
        """The states of a job, or of each task of an array; empty where the controller has forgotten it."""
        done = self._start(["scontrol", "show", "job", "--oneliner", str(id)])
        if done.returncode != 0:
            if "Invalid job id" in done.stderr:
                return []
            self._refuse("scontrol show job", done.stderr)
        return read_jobs(done.stdout)

    def jobs(self) -> list[JobState]:
        """Every job that the controller remembers, whoever's it is, tasks of arrays one by one."""
        return read_jobs(self._run(["scontrol", "show", "job", "--oneliner"]))

    def partitions(self) -> list[Partition]:
        """The partitions, one entry for each kind of node in each."""
        return read_partitions(
            self._run(["sinfo", "--exact", "--noheader", "--format=%P|%a|%l|%F|%c|%m|%G|%f"])
        )

    def requeue(self, id: int | str) -> None:
        """Stop a running job and let it wait for its next start."""
        self._run(["scontrol", "requeue", str(id)])

    def cancel(self, id: int | str, signal: str = "") -> None:
        """End a job, or send its steps a signal such as USR1."""
        self._run(["scancel", *([f"--signal={signal}"] if signal else []), str(id)])

    def settings(self) -> dict[str, str]:
        """What the controller was set up with: MaxArraySize, AccountingStorageType and so on."""
        pairs = (line.partition("=") for line in self._run(["scontrol", "show", "config"]).split("\n"))
        return {name.strip(): value.strip() for name, equals, value in pairs if equals}

    def accounts(self, user: str) -> list[str]:
        """Accounts that a user may charge; empty where accounting does not run or does not answer."""
        command = [
            "sacctmgr",
            "--noheader",
            "--parsable2",
            "show",
            "associations",
            f"user={user}",
            "format=account",
        ]
        try:
            return sorted(set(self._run(command).split()))
        except UserError:
            return []

    def _run(self, command: Sequence[str], text: str = "") -> str:
        done = self._start(command, text)
        if done.returncode != 0:
            self._refuse(command[0], done.stderr)
        return done.stdout

    def _start(self, command: Sequence[str], text: str = "") -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                command,
                input=text,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=self.timeout,
                env=for_slurm(),
                check=False,
            )
        except FileNotFoundError:
            raise UserError(
                f"{command[0]} is not on PATH, expected SLURM's commands; go to a login node, or load its "
                "module (`--dry-run` works without)"
            ) from None
        except subprocess.TimeoutExpired:
            raise Silent(
                f"{command[0]} did not answer within {self.timeout:g} s, expected an answer; see `scontrol ping`, and "
                "run the same command again"
            ) from None

    @staticmethod
    def _refuse(command: str, output: str) -> NoReturn:
        raise Refused(command, _message(output) or "no reason given")


def _message(text: str) -> str:
    """What a command printed, in one line, without its name before each line."""
    lines = [re.sub(r"^\w+: (?:error: |fatal: )*", "", line).strip() for line in text.split("\n")]
    return "; ".join(line for line in lines if line)
