"""What is decided before a W&B run begins: whether there is one, and whether it may go online."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.loggers.logger import DummyExperiment
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from wavenet_pl.config.training import WandbConfig
from wavenet_pl.training.wandb_logger import RunTracker, build_wandb_logger
from wavenet_pl.training.wandb_session import key_is_set

KEY = "0123456789" * 4


def build(folder: Path, **settings: Any) -> RunTracker | None:
    return build_wandb_logger(
        WandbConfig(**settings),
        run_dir=folder / "run",
        run_id="r1",
        run_config={},
        index_fingerprint="f" * 64,
    )


@pytest.fixture(autouse=True)
def _no_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_MODE")


@pytest.mark.parametrize(
    ("setting", "variable", "mode"),
    [
        ("auto", None, "auto"),
        ("auto", "online", "auto"),
        ("auto", "offline", "offline"),
        ("auto", "dryrun", "offline"),
        ("auto", "disabled", None),
        ("offline", "disabled", "offline"),
        ("online", "offline", "online"),
        ("disabled", None, None),
        ("disabled", "online", None),
    ],
)
def test_the_config_decides_and_the_variable_where_it_leaves_that_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, variable: str | None, mode: str | None
) -> None:
    if variable is not None:
        monkeypatch.setenv("WANDB_MODE", variable)
    tracker = build(tmp_path, mode=setting)
    assert (None if tracker is None else tracker.mode) == mode
    assert not (tmp_path / "run").exists(), "nothing is written before the run begins"


def test_a_machine_without_wandb_trains_with_one_line_of_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    assert build(tmp_path) is None
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "wandb is not installed" in caplog.text
    assert "pip install wandb" in caplog.text


def test_a_key_is_found_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not key_is_set()
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    assert key_is_set()


def test_a_key_is_found_in_netrc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    monkeypatch.setenv("NETRC", str(netrc))
    netrc.write_text(f"machine example.org\n  login user\n  password {KEY}\n")
    assert not key_is_set()
    netrc.write_text(f"machine api.wandb.ai\n  login user\n  password {KEY}\n")
    assert key_is_set()


def test_other_ranks_make_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracker = build(tmp_path, mode="offline", artifacts=True)
    assert tracker is not None
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    tracker.log_metrics({"train/loss": 1.0}, step=1)
    tracker.log_hyperparams({"a": 1})
    tracker.log_media("val/clips", lambda wandb: {}, 1)
    tracker.log_model(tmp_path / "missing.ckpt", ["last"])
    tracker.catch_up()
    tracker.finish()
    assert isinstance(tracker.experiment, DummyExperiment)
    assert not (tmp_path / "run").exists()


def test_the_first_start_of_a_run_has_nothing_to_catch_up_with(tmp_path: Path) -> None:
    tracker = build(tmp_path, mode="offline")
    assert tracker is not None
    assert tracker.catch_up() == 0
    tracker.finish()
    assert not (tmp_path / "run").exists()


def test_what_lightning_asks_of_a_logger_begins_no_run(tmp_path: Path) -> None:
    tracker = build(tmp_path, mode="offline")
    assert tracker is not None
    assert (tracker.version, tracker.name, tracker.save_dir) == ("r1", "wavenet_pl", str(tmp_path / "run"))
    tracker.finalize("success")
    tracker.finish()
    tracker.finish()
    assert not (tmp_path / "run").exists()
