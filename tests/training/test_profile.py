"""What `trainer.profiler` measures is kept, whether a run comes to its end or is stopped."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import pytest

import wavenet_pl
from tests.shards.made import write_shard_set
from tests.small import SETTINGS
from wavenet_pl.signals import StopRun


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shard_set(tmp_path_factory.mktemp("profile") / "set", train=10, val=3)


def fit(shards: Path, runs: Path, profiler: str, *callbacks: L.Callback) -> Path:
    settings = [f"data.path={shards}", *SETTINGS, f"trainer.profiler={profiler}", "trainer.max_steps=6"]
    return wavenet_pl.train(settings, callbacks, runs=runs)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("profiler", "says"),
    [("simple", "run_training_batch"), ("advanced", "cumtime"), ("pytorch", "aten::")],
)
def test_a_profile_is_in_the_run_folder_and_a_line_says_where(
    shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], profiler: str, says: str
) -> None:
    run = fit(shards, tmp_path, profiler)
    report = run / "logs" / "fit-profile.txt"
    text = report.read_text()
    assert text.count("Profiler Report") == 1
    assert says in text
    assert f"   profile  {report}\n" in capsys.readouterr().err


def test_a_run_that_is_stopped_has_its_profile_too(
    shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Stop(L.Callback):
        def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
            if trainer.global_step == 3:
                signal.raise_signal(signal.SIGUSR1)

    with pytest.raises(StopRun):
        fit(shards, tmp_path, "simple", Stop())
    [report] = tmp_path.glob("*/logs/fit-profile.txt")
    assert report.read_text().count("Profiler Report") == 1
    assert str(report) in capsys.readouterr().err


def test_no_line_is_said_where_nothing_is_measured(
    shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = wavenet_pl.train([f"data.path={shards}", *SETTINGS, "trainer.max_steps=2"], runs=tmp_path)
    assert not list((run / "logs").glob("*profile*"))
    assert "profile" not in capsys.readouterr().err
