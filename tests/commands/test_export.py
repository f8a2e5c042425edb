"""The command `export`: which checkpoint, where to, what it refuses, and that whatever takes a run takes an export."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import wavenet_pl
from tests.full_disk import full_disk
from tests.runs.made import BITS, write_run
from tests.small import only_clip
from wavenet_pl import cli
from wavenet_pl.commands.export import shareable
from wavenet_pl.config.training import WandbConfig
from wavenet_pl.config.tree import load_config
from wavenet_pl.errors import UserError
from wavenet_pl.runs.folder import RunFolder, checkpoint_path

ROOT = Path(__file__).resolve().parents[2]
FILES = ["README.md", "config.yaml", "model.safetensors"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return write_run(tmp_path_factory.mktemp("export") / "run")


def export(source: Path, out: Path, *options: str) -> int:
    return cli.main(["export", str(source), "--out", str(out), *options])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def weights(path: Path) -> torch.Tensor:
    return torch.cat([tensor.flatten() for tensor in wavenet_pl.load(path).state_dict().values()])


def test_an_export_has_the_weights_the_config_and_the_outputs_of_the_checkpoint(run, tmp_path):
    assert export(run.path, tmp_path / "out") == 0
    assert sorted(contents(tmp_path / "out")) == FILES
    from_run = wavenet_pl.load(run.path)
    for path in (tmp_path / "out", tmp_path / "out" / "model.safetensors"):
        loaded = wavenet_pl.load(path)
        assert not loaded.training and loaded.config == shareable(from_run.config)
        assert (loaded.sample_rate, loaded.index_fingerprint) == (8_000, "")
        codes = torch.randint(256, (2, 100))
        assert torch.equal(loaded(codes)[0], from_run(codes)[0])


def test_the_same_clips_come_from_a_run_and_from_its_export(run, tmp_path):
    assert export(run.path, tmp_path / "out") == 0
    for source, clips in ((run.path, "a"), (tmp_path / "out", "b")):
        assert cli.main(["generate", str(source), "--out", str(tmp_path / clips), "--seconds", "0.05"]) == 0
    first, second = (only_clip(tmp_path / name) for name in "ab")
    assert first.read_bytes() == second.read_bytes()


def test_half_precision_is_half_the_size_and_rounded(run, tmp_path):
    for name, options in (("whole", []), ("half", ["--half"])):
        assert export(run.path, tmp_path / name, *options) == 0
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("whole", "half")]
    assert 1.9 < sizes[0] / sizes[1] < 2.1
    whole, half = weights(tmp_path / "whole"), weights(tmp_path / "half")
    assert half.dtype is torch.float32 and torch.equal(half, whole.half().float())


def test_the_config_of_an_export_is_a_legal_argument_of_train(run, tmp_path):
    assert export(run.path, tmp_path / "out") == 0
    config = shareable(wavenet_pl.load(run.path).config)
    assert load_config([tmp_path / "out" / "config.yaml"]) == config


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/data/anna/data/mine/", "mine"),
        ("s3://bucket/of/anna", "anna"),
        ("mine", "mine"),
        ("C:\\anna\\mine", "mine"),
        ("https://anna.example", "elsewhere"),
        ("https://anna.example/", "elsewhere"),
    ],
)
def test_an_export_says_nothing_of_its_makers_folders_and_accounts(path, name):
    config = load_config(
        ["speaker"],
        [
            f"data.path={path}",
            "wandb.entity=anna",
            "wandb.project=hers",
            "train.init_from=/data/anna/base.ckpt",
        ],
    )
    shared = shareable(config)
    assert (shared.data.path, shared.train.init_from) == (name, "base.ckpt")
    assert shared.wandb == WandbConfig()
    assert shared.model == config.model and shared.optim == config.optim


def test_no_file_of_an_export_has_anything_of_its_makers_machine(tmp_path, monkeypatch):
    home = tmp_path / "home" / "planted-user"
    monkeypatch.setenv("HF_TOKEN", "planted-token-of-the-environment")
    planted = {
        "data.path": f"{home}/sets/speech",
        "train.init_from": f"{home}/runs/planted-run/base.ckpt",
        "trainer.profiler": f"{home}/profile",
        "trainer.strategy": f"file://planted-host{home}/strategy",
        "wandb.entity": "planted-team",
        "wandb.project": "planted-project",
        "wandb.group": "planted-group",
        "wandb.tags": "[planted-tag]",
    }
    settings = [f"{name}={value}" for name, value in planted.items() if name != "data.path"]
    run = write_run(home / "runs" / "speech-1a2b3c", *settings, data=planted["data.path"])
    out = tmp_path / "out"
    assert export(run.path, out, "--licence", "planted-token-of-the-environment") == 0
    words = [b"planted", str(tmp_path).encode(), socket.gethostname().encode() + b"/"]
    assert not [(name, word) for name, content in contents(out).items() for word in words if word in content]
    exported = load_config([out / "config.yaml"])
    assert (exported.data.path, exported.trainer["profiler"]) == ("speech", "profile")


@pytest.mark.parametrize(
    ("which", "step"), [([], 10), (["--checkpoint", "best"], 10), (["--checkpoint", "last"], 20)]
)
def test_best_and_last_are_chosen_by_bits_and_by_step(run, tmp_path, which, step):
    assert BITS[10] < BITS[20]
    assert export(run.path, tmp_path / "out", *which) == 0
    assert torch.equal(weights(tmp_path / "out"), weights(checkpoint_path(run, step)))


def test_a_checkpoint_may_be_named_with_its_run_or_alone(run, tmp_path):
    path = checkpoint_path(run, 20)
    assert export(run.path, tmp_path / "a", "--checkpoint", str(path)) == 0
    assert export(path, tmp_path / "b") == 0
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert torch.equal(weights(tmp_path / "a"), weights(path))


def test_averaged_weights_are_exported_where_a_checkpoint_has_both(tmp_path):
    """A checkpoint keeps the averages as its weights, and what the optimizer works on beside them."""
    run = write_run(tmp_path / "run", "optim.ema_decay=0.9", current_model_state={"x": torch.ones(1)})
    assert export(run.path, tmp_path / "out") == 0
    assert "| averages over the steps, with a decay of 0.9 |" in (tmp_path / "out" / "README.md").read_text()
    assert torch.equal(weights(tmp_path / "out"), weights(checkpoint_path(run, 10)))


def test_a_newest_checkpoint_that_is_damaged_is_passed_over_and_named(tmp_path, capsys):
    run = write_run(tmp_path / "run")
    checkpoint_path(run, 20).write_bytes(b"broken")
    assert export(run.path, tmp_path / "out", "--checkpoint", "last") == 0
    assert "passed over: " in capsys.readouterr().err
    assert torch.equal(weights(tmp_path / "out"), weights(checkpoint_path(run, 10)))


@pytest.mark.slow
def test_every_process_writes_the_same_bytes(run, tmp_path):
    for number in "12":
        subprocess.run(
            [sys.executable, "-m", "wavenet_pl", "export", str(run.path), "--out", str(tmp_path / number)],
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": number},
            check=True,
            capture_output=True,
            timeout=120,
        )
    assert contents(tmp_path / "1") == contents(tmp_path / "2")


def test_a_dry_run_says_what_would_be_written_and_writes_nothing(run, tmp_path, capsys):
    assert export(run.path, tmp_path / "out", "--dry-run") == 0
    out = capsys.readouterr().out
    assert (
        "would export" in out and "step-000000010.ckpt, step 10" in out and all(name in out for name in FILES)
    )
    assert not (tmp_path / "out").exists()


# --- the folder ---


def test_the_same_export_again_changes_nothing(run, tmp_path):
    assert export(run.path, tmp_path / "out") == 0
    before = contents(tmp_path / "out")
    assert export(run.path, tmp_path / "out") == 0
    assert contents(tmp_path / "out") == before


@pytest.mark.parametrize(
    "name", ["notes.txt", "README.md", "model.safetensors", ".config.yaml.tmp", "folder/x"]
)
def test_a_folder_that_holds_anything_else_stays_as_it_is(run, tmp_path, capsys, name):
    path = tmp_path / "out" / name
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    assert export(run.path, tmp_path / "out") == 2
    assert f"holds {name.split('/')[0]}, which is no part of this export" in capsys.readouterr().err
    assert [found for found in (tmp_path / "out").rglob("*") if found.is_file()] == [path]
    assert path.read_text() == "mine"


def test_another_checkpoint_does_not_take_the_place_of_an_export(run, tmp_path, capsys):
    assert export(run.path, tmp_path / "out") == 0
    before = contents(tmp_path / "out")
    assert export(run.path, tmp_path / "out", "--checkpoint", "last") == 2
    assert "name another one" in capsys.readouterr().err and contents(tmp_path / "out") == before


def test_an_export_that_fails_is_none_and_the_same_command_finishes_it(run, tmp_path, capsys):
    out = tmp_path / "out"
    with full_disk(10_000):
        assert export(run.path, out) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert sorted(contents(out)) == ["README.md", "config.yaml"], "the weights come last"
    (out / ".model.safetensors.123.tmp").write_bytes(b"what a kill leaves behind")
    with pytest.raises(UserError, match="has no checkpoint yet"):
        wavenet_pl.load(out)
    assert export(run.path, out) == 0
    assert sorted(contents(out)) == FILES
    wavenet_pl.load(out)


# --- mistakes ---


@pytest.mark.parametrize("option", ["--licence", "--data-licence"])
@pytest.mark.parametrize("text", ["", "two\nlines", "\x1b[2K"])
def test_a_licence_is_one_line_of_text(run, tmp_path, capsys, option, text):
    assert export(run.path, tmp_path / "out", option, text) == 2
    error = capsys.readouterr().err
    assert f"{option} is " in error and "expected one line of text" in error and error.count("\n") == 1


def test_what_cannot_be_exported_is_one_message(run, tmp_path, capsys):
    exported, checkpoint = tmp_path / "exported", checkpoint_path(run, 10)
    assert export(run.path, exported) == 0
    (tmp_path / "empty" / "checkpoints").mkdir(parents=True)
    (tmp_path / "file").write_text("")
    stepless = write_run(tmp_path / "stepless", global_step="ten")
    mistakes = {
        "is an export already": (exported, []),
        "is no run to choose from": (checkpoint, ["--checkpoint", "last"]),
        "has no checkpoint yet": (tmp_path / "empty", ["--checkpoint", "last"]),
        "is no run folder": (tmp_path, []),
        "missing.ckpt is not there, expected a run": (run.path, ["--checkpoint", "missing.ckpt"]),
        "has the step 'ten', expected 0 or more": (stepless.path, []),
        "cannot be used (Not a directory)": (run.path, ["--out", str(tmp_path / "file")]),
    }
    for message, (source, options) in mistakes.items():
        capsys.readouterr()
        assert export(source, tmp_path / "out", *options) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1, error
    assert not (tmp_path / "out").exists()
