"""A training that a CPU would take days for is said to be one."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
import torch

from wavenet_pl.training.callbacks.time_left import TimeLeft


@pytest.mark.parametrize(
    ("steps", "pace", "device", "warned"),
    [
        (
            100_000,
            4.0,
            "cpu",
            "the other 99,994 steps will take 4.6 days at this pace, on a CPU; the config `small`",
        ),
        (50_000, 4.0, "cpu", ""),
        (float("inf"), 4.0, "cpu", ""),
        (100_000, 4.0, "cuda", ""),
        (10_000_000, 0.5, "cpu", "the other 9,999,979 steps will take 57.9 days"),
    ],
)
def test_more_than_three_days_on_a_cpu_are_warned_of_once(steps, pace, device, warned, caplog):
    now = 0.0
    callback = TimeLeft(clock=lambda: now)
    strategy = SimpleNamespace(root_device=torch.device(device))
    trainer = SimpleNamespace(strategy=strategy, is_global_zero=True, estimated_stepping_batches=steps)
    with caplog.at_level(logging.WARNING):
        for step in range(1, 60):
            now += 30.0 if step == 1 else pace  # the first step is none to reckon by
            callback.step = step
            callback.on_step_end(trainer, None)
    said = [record.message for record in caplog.records]
    assert len(said) == bool(warned) and all(text.startswith(warned) for text in said)
