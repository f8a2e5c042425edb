"""The name of a run says which experiment it is."""

from __future__ import annotations

import pytest

from tests.small import small_config
from wavenet_pl.config import load_config
from wavenet_pl.errors import UserError
from wavenet_pl.run import open_run, run_folder, signature

PRINT = "f" * 64


@pytest.mark.parametrize(
    "setting",
    ["seed=1", "optim.lr=0.5", "model.network.stacks=2", "data.batch_size=8", "data.crop_samples=2000",
     "trainer.precision=bf16-mixed", "trainer.gradient_clip_val=1.0"],
)  # fmt: skip
def test_what_changes_the_result_changes_the_signature(setting):
    assert signature(small_config("x", setting), PRINT) != signature(small_config("x"), PRINT)


@pytest.mark.parametrize(
    "setting",
    ["data.path=elsewhere", "data.num_workers=3", "trainer.devices=2", "trainer.num_nodes=2", "trainer.max_steps=7",
     "trainer.max_epochs=7", "wandb.mode=offline", "samples.count=2", "train.stop_after=60"],
)  # fmt: skip
def test_what_does_not_change_the_result_keeps_the_signature(setting):
    assert signature(small_config("x", setting), PRINT) == signature(small_config("x"), PRINT)


def test_other_data_is_another_run():
    assert signature(small_config("x"), PRINT) != signature(small_config("x"), "e" * 64)


def test_the_config_of_a_run_is_a_legal_argument_and_gives_the_same_run(tmp_path):
    config = small_config("x", "trainer.max_steps=5", "optim.betas=[0.8, 0.95]")
    run = run_folder(config, PRINT, tmp_path)
    run.create(config)
    again = load_config([run.config])
    assert again == config
    assert run_folder(again, PRINT, tmp_path) == run


def test_an_earlier_run_is_set_aside_and_not_deleted(tmp_path):
    config = small_config("x")
    run = run_folder(config, PRINT, tmp_path)
    for number in (1, 2):
        run.create(config)
        (run.path / "mark").write_text(str(number))
        aside = run.set_aside()
        assert aside is not None and (aside / "mark").read_text() == str(number)
    assert not run.path.exists() and run.set_aside() is None


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(UserError, match="no run folder, expected one with checkpoints/"):
        open_run(tmp_path)
