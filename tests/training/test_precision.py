"""What a precision gains is measured here, and what a step needs is known beforehand."""

from __future__ import annotations

import resource
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.small import SIXTEEN_BITS, small_config, small_model
from wavenet_pl.runs.folder import RunFolder
from wavenet_pl.training import precision
from wavenet_pl.training.fit import Task
from wavenet_pl.training.module import build_module
from wavenet_pl.training.precision import bfloat16_speed, peak_gib, step_gib, warn_slow_precision

CPU = torch.device("cpu")


def test_speeds_are_ratios_of_real_products() -> None:
    assert 0.001 < bfloat16_speed(64, 2) < 1000


@pytest.mark.parametrize(("speed", "said"), [(0.4, True), (1.29, True), (1.31, False), (8.0, False)])
def test_a_precision_that_gains_nothing_is_warned_of(
    speed: float, said: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(precision, "bfloat16_speed", lambda: speed)
    warn_slow_precision("bf16-mixed", CPU)
    err = capsys.readouterr().err
    assert bool(err) == said
    if said:
        assert f"this CPU multiplies {speed:.2f} times as fast in bfloat16" in err
        assert "expected 1.3 times or more" in err and "set trainer.precision=32-true" in err


@pytest.mark.parametrize(("name", "device"), [("32-true", "cpu"), ("bf16-mixed", "cuda")])
def test_others_are_not_measured(name: str, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "bfloat16_speed", lambda: pytest.fail("it was"))
    warn_slow_precision(name, torch.device(device))


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
    config = model.config.model.network
    gated = crops * last * config.num_layers * config.gate_channels // 2 * 4
    outputs = crops * last * model.head.num_parameters * 4
    weights = sum(parameter.numel() * 4 for parameter in model.parameters())
    assert nats.requires_grad
    expected = sum(kept.values()) - weights + max(gated, 2 * outputs)
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
