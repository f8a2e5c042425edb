"""The progress of real trainings, on a terminal and in a log."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import pytest

from tests.small_run import small_config, train
from wavenet_pl.config.training import WandbConfig
from wavenet_pl.training.callbacks.progress import RunProgress
from wavenet_pl.training.callbacks.throughput import Throughput


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        return True


class Clock(L.Callback):
    """Each batch takes 10 seconds, and a validation 5."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def on_train_batch_start(self, *args: Any) -> None:
        self.now += 10

    def on_validation_start(self, *args: Any) -> None:
        self.now += 5


def fit(folder: Path, stream: io.StringIO, *, line_seconds: float = 30, **options: Any) -> str:
    clock = Clock()
    progress = RunProgress(stream, line_seconds, clock)
    config = small_config(folder, wandb=WandbConfig(mode="disabled"))
    train(config, folder / "run", [clock, Throughput(2, clock), progress], **options)
    return stream.getvalue()


def test_a_log_gets_a_line_now_and_then_and_at_validations(tmp_path: Path) -> None:
    text = fit(tmp_path, io.StringIO(), max_steps=8, val_check_interval=4, check_val_every_n_epoch=None)
    number = r"\d+\.\d{3}"
    lines = text.splitlines()
    assert "\x1b" not in text
    assert "\r" not in text
    # Every 30 seconds of the clock: steps 3 and, 30 seconds after the validation's line, 7.
    patterns = [
        rf"training: 3 of 8 steps \(38 %\)   bits {number}   [\d,]+ samples/s   0:50 left",
        rf"training: 4 of 8 steps \(50 %\)   bits {number}   val {number}   [\d,]+ samples/s   0:47 left",
        rf"training: 7 of 8 steps \(88 %\)   bits {number}   val {number}   [\d,]+ samples/s   0:11 left",
        rf"training: 8 of 8 steps \(100 %\)   bits {number}   val {number}   [\d,]+ samples/s   0:00 left",
    ]
    assert len(lines) == len(patterns), text
    for line, pattern in zip(lines, patterns, strict=True):
        assert re.fullmatch(pattern, line), line


def test_a_terminal_gets_one_bar_that_ends_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    text = fit(tmp_path, Terminal(), max_steps=4, val_check_interval=2, check_val_every_n_epoch=None)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    lines = [line for line in re.split(r"[\r\n]+", plain) if line.strip()]
    assert re.fullmatch(
        r"training ━+ 4 of 4 steps   bits \d\.\d{3}   val \d\.\d{3}   [\d,]+ samples/s   0:00 left\s*",
        lines[-1],
    )
    assert any(line.startswith("validation 1/") for line in lines)
    assert all(len(line) <= 100 for line in lines)
    assert text.rstrip().endswith("\x1b[?25h"), "the cursor is visible again"


def test_epochs_make_a_total_where_no_number_of_steps_is_given(tmp_path: Path) -> None:
    text = fit(tmp_path, io.StringIO(), max_steps=-1, max_epochs=2)
    total = int(re.findall(r"training: \d+ of (\d+) steps \(100 %\)", text)[-1])
    assert total > 2


def test_a_run_without_an_end_shows_no_share(tmp_path: Path) -> None:
    class Stop(L.Callback):
        def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
            trainer.should_stop = trainer.global_step == 3

    stream = io.StringIO()
    config = small_config(tmp_path, wandb=WandbConfig(mode="disabled"))
    train(config, tmp_path / "run", [RunProgress(stream, 0), Stop()], max_steps=-1, max_epochs=-1)
    assert re.fullmatch(r"(training: \d steps   bits \d\.\d{3}(   val \d\.\d{3})?\n)+", stream.getvalue())


def test_a_resumed_run_starts_where_it_stood(tmp_path: Path) -> None:
    class Save(L.Callback):
        def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            trainer.save_checkpoint(tmp_path / "two.ckpt")

    config = small_config(tmp_path, wandb=WandbConfig(mode="disabled"))
    train(config, tmp_path / "first", [Save()], max_steps=2)
    text = fit(tmp_path, io.StringIO(), line_seconds=0, ckpt_path=tmp_path / "two.ckpt", max_steps=6)
    shown = [int(step) for step in re.findall(r"training: (\d) of 6", text)]
    assert shown == [3, 4, 5, 6]
    assert re.search(r"4 of 6 steps .* 0:20 left", text)  # by the pace since the restart


def test_an_error_leaves_the_terminal_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Break(L.Callback):
        def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
            raise RuntimeError("broken")

    monkeypatch.setenv("TERM", "xterm-256color")
    stream = Terminal()
    config = small_config(tmp_path, wandb=WandbConfig(mode="disabled"))
    with pytest.raises(RuntimeError, match="broken"):
        train(config, tmp_path / "run", [RunProgress(stream), Break()])
    assert "\x1b[?25l" in stream.getvalue()
    assert stream.getvalue().rstrip().endswith("\x1b[?25h")


def test_what_lightning_wants_to_say_goes_through_the_bar(tmp_path: Path) -> None:
    class Say(L.Callback):
        def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            pl_module.print("[hello] world")

    stream = io.StringIO()
    config = small_config(tmp_path, wandb=WandbConfig(mode="disabled"))
    train(config, tmp_path / "run", [RunProgress(stream), Say()], max_steps=1)
    assert stream.getvalue().startswith("[hello] world\n")


def test_a_disabled_one_says_nothing(tmp_path: Path) -> None:
    stream = io.StringIO()
    progress = RunProgress(stream, 0)
    progress.disable()
    train(small_config(tmp_path, wandb=WandbConfig(mode="disabled")), tmp_path / "run", [progress])
    assert stream.getvalue() == ""
