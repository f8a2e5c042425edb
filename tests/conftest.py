"""What all tests share: a clean environment, few threads, and how hypothesis searches."""

from __future__ import annotations

import multiprocessing.util
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

from tests import warm
from tests.started import end_started

# One recipe for every machine: no deadline (a shared core may stall), the same examples again in CI.
settings.register_profile(
    "local", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("ci", settings.get_profile("local"), derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "local")

# Set before any test imports numpy or torch: processes with more threads than cores spin on each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Before anything imports triton: without a driver its kernels run in its interpreter.
if not Path("/dev/nvidiactl").exists():
    os.environ.setdefault("TRITON_INTERPRET", "1")

CLUSTER = "tests/slurm/"


def pytest_configure(config: pytest.Config) -> None:
    """Also pytest's own processes start warm, unless coverage is measured: that sees a module from its import on."""
    if not config.pluginmanager.hasplugin("_cov"):
        warm.install()


def pytest_collection() -> None:
    """From here on all start warm: pytest's own processes are there."""
    warm.install()


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """As many processes as there are cores, up to four; tests of a cluster mostly wait, and get one more."""
    return min(4, len(os.sched_getaffinity(0))) + ("not slurm" not in config.option.markexpr)


class Scheduling(LoadScopeScheduling):
    """One process runs all tests of a file; there is one cluster, and one process has all of its tests."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return CLUSTER if path.startswith(CLUSTER) else path


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    """Ours, whatever --dist says."""
    return Scheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first, or one process would still be at it when the others have ended."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(
        key=lambda item: (
            not item.nodeid.startswith(CLUSTER),
            -slow[item.path],
            item.nodeid.partition("::")[0],
        )
    )


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
    for name in ("STATS", "META"):  # it looks at the whole machine, at every start
        monkeypatch.setenv(f"WANDB_X_DISABLE_{name}", "true")
    monkeypatch.setenv("NETRC", str(folder / "no-netrc"))  # a key may also live in ~/.netrc
    monkeypatch.setenv("MPLBACKEND", "Agg")


@pytest.fixture(autouse=True)
def no_training_outlives_its_test() -> Iterator[None]:
    """One that a failed test left behind would take processors from all that follow."""
    yield
    end_started()


@pytest.fixture(autouse=True)
def cold_start(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes of tests that are about the start itself do not start warm."""
    if marker := request.node.get_closest_marker("cold"):
        assert len(marker.args) == 1, "say why"
        monkeypatch.setattr(subprocess, "Popen", warm.OrdinaryPopen)
        monkeypatch.setattr(multiprocessing.util, "spawnv_passfds", warm.ordinary_spawn)


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
