"""A 16-bit model from `train` to `generate` and `export`, with real processes and real shards."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import wavenet_pl
from tests.processes import the_run, train
from tests.shards.made import write_shard_set
from tests.small import SIXTEEN_BITS, only_clip
from tests.wandb_offline import offline_folders, read_offline_run
from wavenet_pl import cli
from wavenet_pl.evaluation.baselines import load_baselines
from wavenet_pl.tracking.rows import read_metrics

pytestmark = pytest.mark.slow
SETTINGS = (
    *SIXTEEN_BITS, "trainer.max_steps=60", "trainer.val_check_interval=30", "trainer.check_val_every_n_epoch=null",
    "optim.lr=4.0e-3",
)  # fmt: skip
CLIPS = (
    "samples.every_n_steps=60", "samples.count=2", "samples.seconds=0.05", "samples.prompt_seconds=0.02",
    "wandb.mode=offline",
)  # fmt: skip


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shard_set(tmp_path_factory.mktemp("sixteen") / "set", train=10, val=3)


@pytest.fixture(scope="module")
def folder(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run, and all that it printed."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "printed").write_text(train(shards, folder, *SETTINGS, *CLIPS))
    return folder


def bits(folder: Path, key: str) -> list[float]:
    return [row[key] for row in read_metrics(the_run(folder).metrics) if key in row]


def test_bits_are_told_in_two_codes_and_fall(folder):
    own, mulaw256 = bits(folder, "val/bits"), bits(folder, "val/bits_mulaw256")
    assert len(own) == len(mulaw256) == 2
    assert own[1] < own[0] < 17
    assert mulaw256[1] < mulaw256[0] < 9
    assert all(math.isfinite(value) for value in own + mulaw256)
    assert all(few < many - 2 for few, many in zip(mulaw256, own, strict=True))


def test_simple_models_stand_beside_the_bits_that_compare(folder):
    text = (folder / "printed").read_text()
    baselines = load_baselines(the_run(folder).baselines)
    assert baselines.uniform == 8
    assert (
        f"bits per sample of 256 mu-law codes on validation: uniform 8.000, unigram {baselines.unigram:.3f}"
        in text
    )
    [best] = re.findall(r"model \(step 60\) +([\d.]+)", text)
    assert best == f"{bits(folder, 'val/bits_mulaw256')[1]:.3f}"
    assert f"of 65,536 linear codes the model has {bits(folder, 'val/bits')[1]:.3f}" in text


def test_clips_and_bits_are_in_the_tracked_run(folder):
    [place] = offline_folders(the_run(folder).path)
    run = read_offline_run(place)
    assert run.steps("val/clips/free-running") == [60]
    assert run.steps("val/bits_mulaw256") == [30, 60]
    assert len(list((the_run(folder).clips / "step-000000060").glob("*.wav"))) == 6


def test_generate_writes_16_bit_clips_again_and_again(folder, tmp_path, capsys):
    for name in ("one", "two"):
        arguments = [
            "generate",
            str(the_run(folder).path),
            "--out",
            str(tmp_path / name),
            "--seconds",
            "0.05",
        ]
        assert cli.main([*arguments, "--seed", "3", "--temperature", "0.8"]) == 0
    one, two = (soundfile.read(only_clip(tmp_path / name), dtype="int16")[0] for name in ("one", "two"))
    assert np.array_equal(one, two) and len(np.unique(one)) > 50
    clip = wavenet_pl.load(the_run(folder).path).generate(0.05, temperature=0.8, seed=3)[0]
    assert np.array_equal(np.round(clip * 32768), one)


def test_top_p_is_one_message(folder, tmp_path, capsys):
    arguments = ["generate", str(the_run(folder).path), "--out", str(tmp_path / "clips"), "--top-p", "0.9"]
    assert cli.main(arguments) == 2
    error = capsys.readouterr().err
    assert (
        "top_p is 0.9, expected 1, as the head is a mixture of logistics" in error
        and "Traceback" not in error
    )
    assert not (tmp_path / "clips").exists()


def test_an_export_is_the_same_model(folder, tmp_path, capsys):
    assert cli.main(["export", str(the_run(folder).path), "--out", str(tmp_path / "export")]) == 0
    trained, exported = wavenet_pl.load(the_run(folder).path), wavenet_pl.load(tmp_path / "export")
    codes = torch.randint(65_536, (1, 100))
    with torch.no_grad():
        assert torch.equal(trained(codes)[0], exported(codes)[0])
    card = (tmp_path / "export" / "README.md").read_text()
    assert "bits per sample of 256 mu-law codes" in card
    assert f"| this model | {bits(folder, 'val/bits_mulaw256')[1]:.3f} |" in card
    assert f"| this model, of 65,536 linear codes | {bits(folder, 'val/bits')[1]:.3f} |" in card


def test_two_ranks_have_the_bits_of_one(shards, folder, tmp_path):
    train(shards, tmp_path, *SETTINGS, "trainer.devices=2")
    for key in ("val/bits", "val/bits_mulaw256"):
        assert bits(tmp_path, key) == pytest.approx(bits(folder, key), rel=1e-3)
