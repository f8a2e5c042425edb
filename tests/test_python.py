"""The package as a notebook meets it: names, a training, an evaluation, loaders without a trainer, the example."""

from __future__ import annotations

import os
import pydoc
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException

import wavenet_pl
from tests.evaluation.runs import trained
from tests.shards.made import write_shard_set
from tests.small import small_config
from wavenet_pl.data.datamodule import AudioDataModule
from wavenet_pl.errors import BadDataError, ExitCode, UserError
from wavenet_pl.signals import EXIT_CODES, StopRun
from wavenet_pl.tracking.rows import read_metrics

ROOT = Path(__file__).resolve().parents[1]
NAMES = {"ClipRequest", "Model", "WaveNet", "evaluate", "load", "train"}


class Count(L.Callback):
    """Steps that a training took; does something at one of them."""

    def __init__(self, at: int = 0, act: Callable[[], None] = lambda: None) -> None:
        self.steps, self._at, self._act = 0, at, act

    def on_train_batch_end(self, *args: Any) -> None:
        self.steps += 1
        if self.steps == self._at:
            self._act()


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shard_set(tmp_path_factory.mktemp("python") / "data", test=2)


def test_the_names_are_there_and_help_shows_them() -> None:
    assert set(dir(wavenet_pl)) >= NAMES
    assert all(name.startswith("__") for name in set(dir(wavenet_pl)) - NAMES), "and nothing else"
    page = pydoc.render_doc(wavenet_pl, renderer=pydoc.plaintext)
    assert all(name in page for name in NAMES)
    assert "Train a model, or go on with the run" in page


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        wavenet_pl.trian  # noqa: B018


@pytest.mark.slow
@pytest.mark.parametrize(
    "module", ["wavenet_pl.data.pipeline", "wavenet_pl.shards.format", "data_prep.packing"]
)
@pytest.mark.cold("the order of imports")
def test_webdataset_runs_no_code_of_a_shard_whoever_imports_it_first(module: str) -> None:
    program = f"import {module}, webdataset.utils\nassert webdataset.utils.enforce_security"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


def test_the_package_says_that_it_has_types() -> None:
    assert (ROOT / "wavenet_pl" / "py.typed").exists()


def test_loaders_work_without_a_trainer(shards: Path) -> None:
    data = AudioDataModule.from_config(small_config(shards))
    for loader, split in (
        (data.train_dataloader(), "train"),
        (data.val_dataloader(), "val"),
        (data.test_dataloader(), "test"),
    ):
        batches = list(loader)
        assert len(batches) == len(loader)
        if split != "train":  # every sample once; training drops what fills no batch
            assert sum(batch["predictions"] for batch in batches) == data.splits[split].frames.sum()


def test_a_set_without_a_test_split_says_so(tmp_path: Path) -> None:
    data = AudioDataModule.from_config(small_config(write_shard_set(tmp_path)))
    with pytest.raises(
        UserError, match=r"no recording in split 'test', expected at least one; prepare it again"
    ):
        data.test_dataloader()


def test_an_evaluation_is_an_object_of_numbers(shards: Path) -> None:
    model, threads = trained(shards, steps=3), torch.get_num_threads()
    results = wavenet_pl.evaluate(model, predictions=8, count=1, seconds=0.05, threads=1)
    assert results.complete
    assert 0 < results.overall.bits.mean < 9
    assert results.baselines is not None
    assert results.baselines.uniform == 8
    assert len(results.clips) == 1
    assert results.to_plain()["overall"]["bits"][0] == results.overall.bits.mean
    assert torch.get_num_threads() == threads, "as before"
    scored = wavenet_pl.evaluate(model, split="test", predictions=0, count=0)
    assert scored.subject.split == "test"
    assert scored.clips == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": -1}, "count is -1, expected 0 or more"),
        ({"threads": 0}, "threads is 0, expected 1 or more"),
        ({"split": "dev"}, "split is 'dev', expected one of train, val, test"),
        ({"max_seconds": float("nan")}, "max_seconds is nan, expected a number above 0"),
        ({"data": "nowhere"}, "nowhere"),
    ],
)
def test_an_evaluation_refuses_by_argument_name(shards: Path, options: dict[str, Any], message: str) -> None:
    model = trained(shards, steps=1)
    with pytest.raises(UserError, match=message):
        wavenet_pl.evaluate(model, **options)


def test_a_training_refuses_what_the_command_refuses(shards: Path) -> None:
    with pytest.raises(UserError, match=r"optim\.lrr is no setting.*did you mean optim\.lr\?"):
        wavenet_pl.train(["optim.lrr=1"])
    with pytest.raises(UserError, match="trainer.max_step"):
        wavenet_pl.train(small_config(shards, "trainer.max_step=1"))


@pytest.mark.slow
def test_a_training_in_this_process(shards: Path, tmp_path: Path) -> None:
    handlers = [signal.getsignal(number) for number in EXIT_CODES]
    count, config = Count(), small_config(shards, "trainer.max_steps=3")
    run = wavenet_pl.train(
        config, callbacks=[count], loggers=[CSVLogger(tmp_path / "csv")], runs=tmp_path / "runs"
    )
    assert count.steps == 3
    assert [signal.getsignal(number) for number in EXIT_CODES] == handlers
    losses = [row["train/loss"] for row in read_metrics(run / "metrics.jsonl") if "train/loss" in row]
    [table] = (tmp_path / "csv").rglob("metrics.csv")
    assert all(str(loss)[:8] in table.read_text() for loss in losses)
    assert len(losses) == 3
    assert wavenet_pl.load(run).generate(0.01).shape == (1, 80)
    longer = Count()
    again = wavenet_pl.train(small_config(shards, "trainer.max_steps=5"), [longer], runs=tmp_path / "runs")
    assert (again, longer.steps) == (run, 2), "it goes on"
    whole = Count()
    wavenet_pl.train(config, [whole], runs=tmp_path / "runs", fresh=True)
    assert whole.steps == 3


class Refuse(L.Callback):
    def on_train_start(self, *args: Any) -> None:
        raise MisconfigurationException("there is\n no such thing")


def test_what_lightning_refuses_as_it_trains_is_a_mistake_and_leaves_the_run_folder_free(
    shards: Path, tmp_path: Path
) -> None:
    config = small_config(shards, "trainer.max_steps=1", "trainer.limit_val_batches=0")
    with pytest.raises(
        UserError, match="Trainer refuses this training: there is no such thing; change"
    ) as caught:
        wavenet_pl.train(config, [Refuse()], runs=tmp_path / "runs")
    wavenet_pl.train(config, runs=tmp_path / "runs")
    assert caught.tb is not None, "which a notebook keeps, with all that the frames in it hold"


def test_a_stop_in_a_thread_is_raised_there(shards: Path, tmp_path: Path) -> None:
    config = small_config(shards, "trainer.max_steps=4", "train.stop_after=0.001")
    with ThreadPoolExecutor(1) as pool, pytest.raises(StopRun) as caught:
        pool.submit(wavenet_pl.train, config, runs=tmp_path / "runs").result()
    assert caught.value.code == ExitCode.SAVED


@pytest.mark.slow
def test_what_stops_a_training_is_raised(shards: Path, tmp_path: Path) -> None:
    config = small_config(shards, "trainer.max_steps=4")
    for number, error in ((signal.SIGINT, KeyboardInterrupt), (signal.SIGUSR1, StopRun)):
        with pytest.raises(error) as caught:
            wavenet_pl.train(
                config, [Count(1, lambda number=number: os.kill(os.getpid(), number))], runs=tmp_path / "runs"
            )
        if number == signal.SIGUSR1:
            assert caught.value.code == ExitCode.SAVED
    rest = Count()
    wavenet_pl.train(config, [rest], runs=tmp_path / "runs")
    assert rest.steps == 2, "each stop saved what it had"
    broken = small_config(shards, "trainer.max_steps=4", "optim.lr=1e30", "train.max_skipped_steps=1")
    with pytest.raises(BadDataError, match="stopped for bad data or numbers"):
        wavenet_pl.train(broken, runs=tmp_path / "runs")


@pytest.mark.slow
def test_the_example_trains_evaluates_and_plots(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "train_from_python.py", tmp_path / "example"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    for name in ("clip.wav", "clip.png", "losses.png"):
        assert (tmp_path / "example" / name).stat().st_size > 1_000
    bits, unigram = (
        float(word) for word in done.stdout.splitlines()[-2].replace(";", "").split() if word[0].isdigit()
    )
    assert bits < unigram - 1.5, "it has learned something"
