"""What all tests share: a clean environment, few threads, and how hypothesis searches."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import warm

# One recipe for every machine: no deadline (a shared core may stall), the same examples again in CI.
settings.register_profile(
    "local", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("ci", settings.get_profile("local"), derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "local")

# Set before any test imports numpy or torch: processes with more threads than cores spin on each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

subprocess.Popen = warm.Popen  # type: ignore[misc]

_GROUPS = {"slow": "trainings", "slurm": "cluster"}
"""Marker -> tests that one process runs, one after the other: trainings side by side slow each other down."""


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """As many processes as there are cores, up to four; tests of a cluster mostly wait, and get one more."""
    return min(4, len(os.sched_getaffinity(0))) + ("not slurm" not in config.option.markexpr)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Groups for the processes of pytest-xdist, the longest first; other tests keep to their file."""

    def group_of(item: pytest.Item) -> str:
        return next((group for marker, group in _GROUPS.items() if item.get_closest_marker(marker)), "")

    items.sort(key=lambda item: group_of(item) or "~")
    for item in items:
        item.add_marker(pytest.mark.xdist_group(group_of(item) or item.nodeid.partition("::")[0]))


_LAUNCHERS = ("SLURM_", "PMI_", "OMPI_", "TORCHELASTIC_", "PET_")
_RANKS = (
    "RANK",
    "LOCAL_RANK",
    "GROUP_RANK",
    "NODE_RANK",
    "WORLD_SIZE",
    "LOCAL_WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Hide the user's W&B account and any surrounding job; child processes inherit the result."""
    for name in list(os.environ):
        if name.startswith(("WANDB_", *_LAUNCHERS)) or name in _RANKS:
            monkeypatch.delenv(name)
    folder = _wandb_folder(tmp_path_factory)
    for name in ("DIR", "CACHE_DIR", "CONFIG_DIR", "DATA_DIR", "ARTIFACT_DIR"):
        monkeypatch.setenv(f"WANDB_{name}", str(folder))
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("NETRC", str(folder / "no-netrc"))  # a key may also live in ~/.netrc
    monkeypatch.setenv("MPLBACKEND", "Agg")


@pytest.fixture(autouse=True)
def cold_start(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes of tests that are about the start itself do not start warm."""
    if marker := request.node.get_closest_marker("cold"):
        assert len(marker.args) == 1, "say why"
        monkeypatch.setattr(subprocess, "Popen", warm.OrdinaryPopen)


def _wandb_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all of a session's W&B files, outside the home directory."""
    folder = tmp_path_factory.getbasetemp() / "wandb"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(autouse=True)
def restore_torch() -> Iterator[None]:
    """Undo what a test left in torch's global settings; costs nothing where torch was never imported."""
    yield
    torch = sys.modules.get("torch")
    if torch is None:
        return
    torch.set_default_dtype(torch.float32)
    torch.use_deterministic_algorithms(False)
    torch.set_grad_enabled(True)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Bit equality is promised for one thread count only: this test runs on one thread."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def torch_seed() -> int:
    """Seed torch's generator, so that the weights of the test are the same every time."""
    import torch

    torch.manual_seed(0)
    return 0
