"""A training on two sets with their shares, and every command that works with the run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import wavenet_pl
from tests.cluster.submitting import refusal, slurm
from tests.processes import losses, the_run, weights
from tests.shards.made import write_shard_set
from tests.small import SETTINGS
from wavenet_pl import cli
from wavenet_pl.shards.shard_set import open_set

SPEAKER = ("model.kind=speaker", "model.condition.channels=8", *SETTINGS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sets with a speaker each, and equal keys."""
    folder = tmp_path_factory.mktemp("mixture")
    write_shard_set(folder / "ours", train=6, val=2, speakers=("zoe",), recordings_per_shard=2)
    write_shard_set(folder / "theirs", train=3, val=2, speakers=("anna",), seed=1, recordings_per_shard=1)
    return folder


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Relative paths, as one types them."""
    monkeypatch.chdir(folder)
    return "data.path={ours: 0.75, theirs: 0.25}"


@pytest.fixture
def run(here: str, folder: Path) -> Path:
    """Trained once for all."""
    runs = folder / "runs"
    if not runs.exists():
        arguments = [
            "trainer.max_steps=10",
            "trainer.val_check_interval=5",
            "trainer.check_val_every_n_epoch=null",
        ]
        assert cli.main(["train", *SPEAKER, here, *arguments, "--runs", str(runs)]) == 0
    return the_run(runs).path


@pytest.mark.slow
def test_a_run_in_parts_has_the_losses_and_weights_of_one(
    run: Path, here: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its last part has worker processes, and copies of the shards near."""
    command = ["train", *SPEAKER, here, "--runs", str(tmp_path)]
    for steps, more in ((4, []), (10, ["data.num_workers=1", f"data.cache={tmp_path}/near"])):
        arguments = ["trainer.val_check_interval=5", "trainer.check_val_every_n_epoch=null"]
        assert cli.main([*command, f"trainer.max_steps={steps}", *arguments, *more]) == 0
    said = capsys.readouterr().err
    assert "going on from step-000000004.ckpt" in said and "Traceback" not in said
    assert losses(tmp_path) == losses(run.parent)
    assert len(losses(tmp_path)) == 10
    ours, theirs = weights(tmp_path), weights(run.parent)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    near = {path.name for path in (tmp_path / "near").iterdir()}
    assert near == {open_set(name).fingerprint[:16] for name in ("ours", "theirs")}


@pytest.mark.slow
def test_a_run_of_several_sets_works_in_every_command(
    run: Path, here: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = wavenet_pl.load(run)
    assert model.labels.tables == {"speaker": ("zoe", "anna")}
    assert model.index_fingerprint == open_set({"ours": 3, "theirs": 1}).fingerprint
    assert "theirs: 0.25" in (run / "config.yaml").read_text()
    numbers = tmp_path / "numbers.json"
    quick = ["--seconds", "0.02", "--count", "0", "--predictions", "4", "--threads", "1"]
    assert cli.main(["evaluate", str(run), "--json", str(numbers), "--out", str(tmp_path), *quick]) == 0
    results = json.loads(numbers.read_text())
    assert results["subject"]["data"] == "ours + theirs" and results["subject"]["recordings"] == 4
    assert cli.main(["export", str(run), "--out", str(tmp_path / "export")]) == 0
    card = (tmp_path / "export/README.md").read_text()
    assert "2 speaker names" in card and "h train" in card
    assert wavenet_pl.load(tmp_path / "export").config.data.path == {"ours": 0.75, "theirs": 0.25}
    again = [
        "train",
        str(run / "config.yaml"),
        "trainer.max_steps=10",
        "--runs",
        str(run.parent),
        "--dry-run",
    ]
    assert cli.main(again) == 0
    assert "going on from step-000000010.ckpt" in capsys.readouterr().err


def refused(capsys: pytest.CaptureFixture[str], *settings: str) -> str:
    """What `train` says of settings, with exit code 2."""
    assert cli.main(["train", *SPEAKER, "trainer.max_steps=2", *settings, "--dry-run"]) == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error


def test_mistakes_name_the_set(here: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = write_shard_set(tmp_path / "empty", train=0, val=2, seed=5)
    assert f"{empty} has no recording in split 'train', expected at least one" in refused(
        capsys, f"data.path={{ours: 1, {empty}: 1}}"
    )
    untold = [write_shard_set(tmp_path / f"{seed}", train=2, val=0, seed=seed) for seed in (6, 7)]
    assert f"{untold[0]} + {untold[1]} has no recording in split 'val'" in refused(
        capsys, f"data.path={{{untold[0]}: 1, {untold[1]}: 1}}"
    )
    nameless = write_shard_set(tmp_path / "nameless", train=2, val=1, speakers=(), seed=8)
    assert f"{nameless} has 3 of 3 recordings without a speaker" in refused(
        capsys, f"data.path={{ours: 1, {nameless}: 1}}"
    )
    assert "nowhere/index.safetensors cannot be read" in refused(capsys, "data.path={ours: 1, nowhere: 1}")


def test_a_dry_run_says_what_an_epoch_is(here: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", *SPEAKER, here, "trainer.max_steps=2", "--dry-run"]) == 0
    said = capsys.readouterr().err
    assert "order  crops from the whole set; 0.75 of ours, 0.25 of theirs\n" in said, said


def test_a_job_is_checked_set_by_set(
    here: str,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "no programs"))
    job = ("train", here, *SPEAKER, "trainer.max_steps=4", "--runs", str(tmp_path), "--time", "1:00:00")
    near = ("--cache", "tmpdir", "data.window=1")
    assert slurm(*job, *near, "--dry-run") == 0
    said = capsys.readouterr().err
    for name in ("ours", "theirs"):
        assert f"{name}, index {open_set(name).fingerprint[:12]} and its shards agree" in said, said
    assert "tmpdir, up to" in said
    shard = folder / "theirs/train/shard-000000.tar"
    content = shard.read_bytes()
    shard.write_bytes(content[:-512])
    try:
        assert "copy it again, or run `wavenet-pl index theirs`" in refusal(capsys, *job)
    finally:
        shard.write_bytes(content)
