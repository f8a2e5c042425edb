"""The command `train` as users start it: real processes, real signals, real shards."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.processes import ROOT, losses, the_run, train, weights
from tests.shards.made import write_shard_set
from tests.small import SETTINGS
from wavenet_pl import cli
from wavenet_pl.tracking.rows import read_metrics


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shard_set(tmp_path_factory.mktemp("train") / "set", train=10, val=3)


def test_a_dry_run_writes_nothing(shards, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code = cli.main(["train", f"data.path={shards}", *SETTINGS, "trainer.max_steps=5", "--dry-run"])
    assert code == 0 and list(tmp_path.iterdir()) == []
    text = capsys.readouterr().err
    assert "receptive field 33 samples (4 ms)" in text and "from the start" in text and "parameters" in text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ((), "nothing says how long to train, expected one of trainer.max_steps"),
        (("trainer.max_steps=5", "data.batch_size=3", "trainer.accumulate_grad_batches=2"),
         "data.batch_size is 3, expected a multiple of 2: .*; use 2 or 4"),
        (("trainer.max_steps=5", "data.path=nowhere"), "nowhere/index.safetensors cannot be read .*wavenet-pl prepare"),
        (("trainer.max_step=5", "trainer.max_epochs=1"), "max_steps"),
        (("trainer.max_steps=5", "trainer.precision=17-mixed"), "lightning.Trainer refuses"),
        (("trainer.max_steps=5", "trainer.val_check_interval=500"),
         r"trainer.val_check_interval is 500, .* at most the \d+ batches of an epoch; set trainer.check_val_every"),
        (("trainer.max_steps=5", "trainer.val_check_interval=6", "trainer.limit_train_batches=5"),
         "trainer.val_check_interval is 6, expected at most the 5 batches of an epoch"),
        (("trainer.max_steps=5", "trainer.limit_val_batches=0.01"),
         r"trainer.limit_val_batches is 0.01, which of \d batches is none, expected at least one; set a larger"),
        (("trainer.max_steps=5", "trainer.limit_train_batches=0.001"), "trainer.limit_train_batches is 0.001, which"),
        (("trainer.max_steps=5", "trainer.limit_train_batches=5", "trainer.accumulate_grad_batches=2"),
         "trainer.limit_train_batches leaves 5 batches of an epoch, expected a multiple of 2, .*; set 4, or"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_message_and_2(shards, tmp_path, monkeypatch, capsys, settings, message):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", f"data.path={shards}", *SETTINGS, *settings]) == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert re.search(message, error), error
    assert not list(tmp_path.glob("runs/*"))


@pytest.mark.parametrize(
    "settings",
    [
        ("trainer.val_check_interval=500", "trainer.check_val_every_n_epoch=null"),
        ("trainer.val_check_interval=500", "trainer.limit_val_batches=0"),
        ("trainer.limit_val_batches=0.0",),
        (
            "trainer.limit_train_batches=4",
            "trainer.accumulate_grad_batches=2",
            "trainer.val_check_interval=3",
        ),
    ],
)
def test_what_fits_an_epoch_passes(shards, tmp_path, monkeypatch, settings):
    monkeypatch.chdir(tmp_path)
    assert (
        cli.main(["train", f"data.path={shards}", *SETTINGS, "trainer.max_steps=5", *settings, "--dry-run"])
        == 0
    )


def test_ranks_that_were_started_from_outside_do_not_start_over(shards, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0",
        "GROUP_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29999",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    settings = ("trainer.max_steps=5", "trainer.devices=2", "--fresh")
    assert cli.main(["train", f"data.path={shards}", *SETTINGS, *settings]) == 2
    error = capsys.readouterr().err
    assert "--fresh is set, and 2 ranks were started from outside, expected one process" in error
    assert "move its folder away yourself, and leave --fresh out" in error and error.count("\n") == 1


@pytest.mark.slow
def test_a_run_in_two_parts_has_the_losses_and_weights_of_one(shards, tmp_path):
    """Stopped in the middle of an epoch, with workers, averages, dropout and another number of workers afterwards."""
    (tmp_path / "parts").mkdir(), (tmp_path / "whole").mkdir()
    settings = ("optim.ema_decay=0.99", "model.network.dropout=0.1")
    train(shards, tmp_path / "parts", "trainer.max_steps=17", "data.num_workers=2", *settings)
    text = train(shards, tmp_path / "parts", "trainer.max_steps=30", *settings)
    assert "going on from step-000000017.ckpt" in text
    train(shards, tmp_path / "whole", "trainer.max_steps=30", *settings)
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    one, other = weights(tmp_path / "parts"), weights(tmp_path / "whole")
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
def test_two_ranks_learn_what_one_learns_and_go_on_after_a_stop(shards, tmp_path):
    (tmp_path / "one").mkdir(), (tmp_path / "two").mkdir()
    train(shards, tmp_path / "one", "trainer.max_steps=20")
    train(shards, tmp_path / "two", "trainer.max_steps=9", "trainer.devices=2")
    train(shards, tmp_path / "two", "trainer.max_steps=20", "trainer.devices=2", "data.num_workers=1")
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert one.keys() == two.keys() and all(two[step] == pytest.approx(one[step], rel=1e-5) for step in one)


@pytest.mark.slow
def test_torchrun_trains_what_one_process_trains_in_one_run_folder(shards, tmp_path):
    (tmp_path / "one").mkdir(), (tmp_path / "two").mkdir()
    settings = (f"data.path={shards}", *SETTINGS, "trainer.max_steps=12", "wandb.mode=offline", "--runs", ".")
    train(shards, tmp_path / "one", "trainer.max_steps=12")
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*launch, "-m", "wavenet_pl", "train", *settings, "trainer.devices=2"],
        capture_output=True, text=True, timeout=240, cwd=tmp_path / "two", check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert one.keys() == two.keys() and all(two[step] == pytest.approx(one[step], rel=1e-5) for step in one)
    assert len(list((the_run(tmp_path / "two").path / "wandb").glob("offline-run-*"))) == 1
    assert done.stdout.count("finished at step 12") == 1


@pytest.mark.soak  # a CPU's compiler takes a minute
def test_a_compiled_network_learns_the_same_and_its_checkpoints_are_like_any(shards, tmp_path):
    (tmp_path / "plain").mkdir(), (tmp_path / "compiled").mkdir()
    train(shards, tmp_path / "plain", "trainer.max_steps=6")
    train(shards, tmp_path / "compiled", "trainer.max_steps=6", "train.compile=true")
    plain, compiled = losses(tmp_path / "plain"), losses(tmp_path / "compiled")
    assert all(compiled[step] == pytest.approx(plain[step], rel=1e-4) for step in plain)
    assert weights(tmp_path / "compiled").keys() == weights(tmp_path / "plain").keys()
    assert "going on" in train(shards, tmp_path / "compiled", "trainer.max_steps=8")


@pytest.mark.slow
def test_bfloat16_learns_nearly_the_same_and_keeps_float32_weights(shards, tmp_path):
    (tmp_path / "float32").mkdir(), (tmp_path / "bfloat16").mkdir()
    train(shards, tmp_path / "float32", "trainer.max_steps=12")
    train(shards, tmp_path / "bfloat16", "trainer.max_steps=12", "trainer.precision=bf16-mixed")
    float32, bfloat16 = losses(tmp_path / "float32"), losses(tmp_path / "bfloat16")
    assert all(bfloat16[step] == pytest.approx(float32[step], rel=0.01) for step in float32)
    assert bfloat16 != float32
    assert {weight.dtype for weight in weights(tmp_path / "bfloat16").values()} == {torch.float32}


@pytest.mark.slow
def test_a_fresh_run_sets_the_earlier_one_aside(shards, tmp_path):
    train(shards, tmp_path, "trainer.max_steps=5")
    train(shards, tmp_path, "trainer.max_steps=3", "--fresh")
    kept, aside = sorted(tmp_path.iterdir())
    assert aside.name == f"{kept.name}-old-1"
    assert [len(read_metrics(path / "metrics.jsonl")) > 0 for path in (kept, aside)] == [True, True]
    assert (aside / "checkpoints/step-000000005.ckpt").exists()


@pytest.mark.slow
def test_the_run_folder_says_what_was_run(shards, tmp_path):
    text = train(
        shards, tmp_path, "trainer.max_epochs=2", "train.checkpoint_every_n_steps=4", "train.keep_last=1"
    )
    run = the_run(tmp_path)
    baselines = json.loads(run.baselines.read_text())
    rows = read_metrics(run.metrics)
    keys = {key for row in rows for key in row}
    assert {"train/loss", "train/bits", "val/bits", "optim/lr", "optim/grad_norm"} <= keys
    assert baselines["uniform"] == 8 > baselines["unigram"] > baselines["order1"] > 0
    for name in ("uniform", "unigram", "order-1", "linear prediction", "model", "type next"):
        assert name in text
    best = min((row for row in rows if "val/bits" in row), key=lambda row: row["val/bits"])["step"]
    kept = {path.name for path in run.checkpoints.glob("*.ckpt")}
    assert kept == {f"step-{step:09d}.ckpt" for step in {best, rows[-1]["step"]}}
    assert run.config.exists() and (run.path / "git.json").exists()
