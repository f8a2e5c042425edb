"""What a step needs is known beforehand, and what it frees is kept for the next one."""

from __future__ import annotations

import platform
import resource
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.small import SIXTEEN_BITS, small_config, small_model
from wavenet_pl.runs.folder import RunFolder
from wavenet_pl.training.fit import Task
from wavenet_pl.training.memory import peak_gib, step_gib
from wavenet_pl.training.module import build_module

CPU = torch.device("cpu")
FAULTS = """
import ctypes, resource, sys
from wavenet_pl.training.memory import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    ctypes.memset((ctypes.c_char * 2**26)(), 1, 2**26)
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) * resource.getpagesize() / 2**26)
"""


def times_faulted(how: str) -> float:
    """How many times each page of a piece of memory came from the kernel, which was taken and freed 20 times."""
    done = subprocess.run(
        [sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True, cwd=Path.cwd()
    )
    return float(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="others have no mallopt")
def test_what_is_freed_is_taken_again() -> None:
    assert times_faulted("kept") < 3 < 15 < times_faulted("given back")


def test_the_peak_is_that_of_the_process() -> None:
    before = peak_gib(CPU)
    kept = torch.ones(int(before * 2**30 / 4) + 2**26)  # a quarter of a GiB more than there ever was
    assert peak_gib(CPU) >= before + 0.2
    assert peak_gib(CPU) == pytest.approx(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, rel=0.1)
    assert kept.sum() > 0


@pytest.mark.parametrize(
    ("recompute", "settings"),
    [*product([False, True], [(), SIXTEEN_BITS, ("model.network.layers_per_stack=9",)])],
)
def test_what_a_step_needs_is_what_autograd_keeps(recompute: bool, settings: tuple[str, ...]) -> None:
    """And the first gradients, which are there before anything is freed."""
    model = small_model(*settings)
    model.network.recompute = recompute
    crops, last = 3, model.config.data.crop_samples
    kept: dict[int, int] = {}

    def keep(saved: Tensor) -> Tensor:
        kept[saved.untyped_storage().data_ptr()] = saved.untyped_storage().nbytes()
        return saved

    batch: dict[str, Any] = {
        "audio": torch.rand(crops, model.receptive_field + last) - 0.5, "begin": torch.zeros(crops).long(),
        "counted": torch.ones(crops, last).bool(),
    }  # fmt: skip
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda saved: saved):
        nats, _ = model.nats(batch)
    outputs = crops * last * model.head.num_parameters * 4
    weights = sum(parameter.numel() * 4 for parameter in model.parameters())
    assert nats.requires_grad
    expected = sum(kept.values()) - weights + 2 * outputs
    assert step_gib(model, crops, "32-true") * 2**30 == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize(
    ("name", "size"), [("16-mixed", 0.5), ("bf16-mixed", 0.5), ("32-true", 1), ("64-true", 2)]
)
def test_it_depends_on_the_type_of_the_numbers(name: str, size: float) -> None:
    model = small_model()
    assert step_gib(model, 2, name) == 2 * size * step_gib(model, 1, "32-true")


@pytest.mark.parametrize("recompute", [False, True])
def test_a_training_computes_gates_again_where_its_config_says_so(recompute: bool, tmp_path: Path) -> None:
    """Before it begins, so that a dry run says what it takes."""
    config = small_config("x", f"train.recompute={recompute}")
    data: Any = None
    task = Task(config, RunFolder(tmp_path), data, build_module(config, sample_rate=8_000))
    assert task.module.model.network.recompute == recompute
    assert (step_gib(task.module.model, 1, "32-true") < step_gib(small_model(), 1, "32-true")) == recompute
