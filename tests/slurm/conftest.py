"""A SLURM of the tests' own, which every test in this folder runs on."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm.jobs import SCRIPT, Cluster

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "munged")
_skipped: list[str] = []


def pytest_itemcollected(item: pytest.Item) -> None:
    """Whatever lies here needs SLURM."""
    item.add_marker(pytest.mark.slurm)
    item.add_marker(pytest.mark.timeout(900))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says in the last lines that nothing was run on a real cluster, and why."""
    if _skipped:
        terminalreporter.section("SLURM: NOTHING WAS RUN ON A CLUSTER", sep="!", red=True, bold=True)
        terminalreporter.line(_skipped[0])


def why_not() -> str | None:
    """What keeps a cluster from being brought up here."""
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    if missing := [program for program in PROGRAMS if shutil.which(program, path=path) is None]:
        return f"{', '.join(missing)} not found, expected the packages slurmctld slurmd slurm-client munge"
    return None if os.geteuid() == 0 else "slurmd needs root, to be had in a container"


@pytest.fixture(scope="session")
def running_cluster() -> Iterator[Path]:
    """The folder of a cluster that is up."""
    if reason := why_not():
        _skipped.append(reason)
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))  # a socket's path has to be short
    surroundings = {
        name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SBATCH_"))
    }
    up = subprocess.run([SCRIPT, "up", folder], env=surroundings, capture_output=True, text=True, timeout=180)
    assert up.returncode == 0, up.stderr
    yield folder
    subprocess.run([SCRIPT, "down", folder], env=surroundings, check=True, timeout=180)
    shutil.rmtree(folder)


@pytest.fixture
def cluster(running_cluster: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """It, with commands of SLURM talking to it; jobs that a test leaves behind are cancelled, nodes are mended."""
    monkeypatch.setenv("SLURM_CONF", str(running_cluster / "etc/slurm.conf"))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    cluster = Cluster(running_cluster)
    yield cluster
    cluster.clear()
