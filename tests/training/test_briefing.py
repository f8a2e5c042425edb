"""What `train` says before it begins: how it will be done, how long it is, and what was planned otherwise before."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.nobody import not_ours
from tests.shards.made import write_shard_set
from tests.small import small_config
from wavenet_pl.errors import ExitCode
from wavenet_pl.runs.folder import RunFolder, checkpoint_path, run_folder
from wavenet_pl.shards.index import load_index
from wavenet_pl.shards.shard_set import open_set
from wavenet_pl.signals import StopRun
from wavenet_pl.training.briefing import describe, say_stopped
from wavenet_pl.training.checkpoint_io import AtomicCheckpointIO
from wavenet_pl.training.train import build_task
from wavenet_pl.training.trainer_options import build_trainer


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shard_set(tmp_path_factory.mktemp("briefing") / "set", train=10, val=3)


@pytest.fixture
def lines_of(shards, tmp_path, capsys):
    """Settings, and the step to go on from -> the lines by their names."""

    def lines(*settings: str, step: int | None = None) -> dict[str, str]:
        config = small_config(shards, *settings)
        task = build_task(config, open_set(str(shards)), tmp_path)
        resume = None if step is None else Path(f"step-{step:09d}.ckpt")
        describe(task, build_trainer(config, logger=False, enable_checkpointing=False), resume)
        return dict(
            line.strip().split("  ", 1) for line in capsys.readouterr().err.splitlines() if "  " in line
        )

    return lines


def begun(shards: Path, runs: Path, step: int, *settings: str) -> str:
    """A run with a checkpoint; its folder's name."""
    config = small_config(shards, *settings)
    run = run_folder(config, load_index(str(shards)).fingerprint, runs)
    run.create(config)
    (run.checkpoints / f"step-{step:09d}.ckpt").touch()
    return run.name


def test_device_processes_steps_and_rate_are_said(lines_of):
    lines = lines_of("trainer.max_steps=26", "trainer.devices=2", "train.threads=3", "optim.schedule=cosine")
    assert lines["machine"] == "cpu, 2 process(es), 3 thread(s) each, precision 32-true"
    assert lines["steps"].startswith(
        "26 of them, 2.0 epochs; 4 crops of 1,000 samples (125 ms) in each, 13 an epoch, "
    )
    assert lines["rate"] == "0.001 after 5 steps, then on a cosine down to 0 at step 26"
    assert lines["data"].startswith("train 0.1 min, val 0.0 min at 8000 Hz")


def test_a_longer_run_says_how_its_rate_goes_on(shards, tmp_path, lines_of):
    settings = ("optim.schedule=cosine", "optim.final_lr_fraction=0.1")
    begun(shards, tmp_path, 105, *settings, "trainer.max_steps=105")
    again = lines_of(*settings, "trainer.max_steps=105", step=105)
    assert again["rate"].endswith("down to 0.0001 at step 105")
    longer = lines_of(*settings, "trainer.max_steps=205", step=105)
    assert longer["rate"].endswith(
        "to 0.0001 at step 205. It was to come down at step 105, so at step 105 it goes from 0.0001 to 0.00055"
    )


@pytest.mark.parametrize(
    ("settings", "warned"),
    [
        (("trainer.max_steps=50", "optim.decay_steps=20"), True),
        (("trainer.max_epochs=50", "optim.decay_steps=20"), True),
        (("trainer.max_steps=50", "optim.decay_steps=50"), False),
        (("trainer.max_steps=50",), False),
        (("trainer.max_steps=50", "optim.decay_steps=20", "optim.final_lr_fraction=0.1"), False),
    ],
)
def test_steps_without_a_learning_rate_are_warned_of(lines_of, caplog, settings, warned):
    lines_of("optim.schedule=cosine", *settings)
    said = [record.message for record in caplog.records if "the learning rate is 0" in record.message]
    assert len(said) == warned and all("from step 20 on" in text for text in said)


def test_a_run_of_the_same_name_names_the_setting_in_which_another_differs(shards, tmp_path, lines_of):
    assert "beside it" not in lines_of("trainer.max_steps=9")
    far = begun(shards, tmp_path, 90_000, "optim.lr=2e-3", "seed=1", "trainer.max_steps=9")
    near = begun(shards, tmp_path, 40_000, "optim.lr=2e-3", "trainer.max_steps=99")
    assert far != near
    assert (
        lines_of("trainer.max_steps=9")["beside it"]
        == f"{tmp_path / near} (step 40,000) differs in optim.lr: 0.002"
    )
    assert "beside it" not in lines_of("trainer.max_steps=9", "name=other")
    assert "beside it" not in lines_of("trainer.max_steps=9", step=8), "it goes on"


def test_other_data_make_another_run_too(shards, tmp_path, lines_of):
    config = small_config(shards)
    other = run_folder(config, "of other data", tmp_path)
    other.create(config)
    (other.checkpoints / "step-000000007.ckpt").touch()
    assert lines_of("trainer.max_steps=9")["beside it"].endswith("(step 7) differs in its data")


def test_a_stop_is_said_where_its_folder_can_no_longer_be_listed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run = RunFolder(Path("run"))
    run.checkpoints.mkdir(parents=True)
    with not_ours(run.checkpoints):
        say_stopped(run, StopRun(ExitCode.SAVED, "the time is up"))
    line = capsys.readouterr().err
    assert "the time is up; " in line and f"{run.checkpoints} cannot be" in line


def test_a_stop_names_the_checkpoint_that_the_next_start_takes(tmp_path, capsys):
    run = RunFolder(tmp_path / "run")
    run.checkpoints.mkdir(parents=True)
    for step in (3, 5):
        AtomicCheckpointIO().save_checkpoint({"step": step}, checkpoint_path(run, step))
    checkpoint_path(run, 5).write_bytes(b"damaged")
    say_stopped(run, StopRun(ExitCode.SAVED, "the time is up"))
    assert f"the newest checkpoint is {checkpoint_path(run, 3)}; the same" in capsys.readouterr().err
