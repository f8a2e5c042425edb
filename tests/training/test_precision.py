"""What a precision gains is measured here."""

from __future__ import annotations

import pytest
import torch

from wavenet_pl.training import precision
from wavenet_pl.training.precision import bfloat16_speed, warn_slow_precision

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
