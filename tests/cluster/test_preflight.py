"""Mistakes that are found before a job is submitted, each by the option or setting to change; none needs SLURM."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.cluster.submitting import TRAIN, refusal, slurm, snapshot, write_program
from wavenet_pl.runs.folder import RunFolder
from wavenet_pl.tracking.rows import SAVE_SECONDS, STOP_SECONDS

MISTAKES = {
    "no nodes": (["--nodes", "0"], "--nodes"),
    "no time": (["--time", "soon"], "--time"),
    "no memory": (["--mem", "lots"], "--mem"),
    "a kind of no GPU": (["--gpu-type", "a100"], "--gpus-per-node"),
    "workers without cores": (["data.num_workers=4", "--cpus-per-task", "2"], "--cpus-per-task"),
    "an indivisible batch": (["--nodes", "3"], "data.batch_size"),
    "a signal before the start": (["--time", "2:30"], "--signal-lead"),
    "a GPU of no GPUs": (["trainer.accelerator=gpu"], "--gpus-per-node"),
    "tasks that are no GPUs": (["--gpus-per-node", "2", "--tasks-per-node", "4"], "--tasks-per-node"),
    "other devices": (["trainer.devices=4", "--tasks-per-node", "2"], "--tasks-per-node"),
    "other GPUs": (["trainer.devices=4", "--gpus-per-node", "2"], "--gpus-per-node"),
    "other nodes": (["trainer.num_nodes=4", "--nodes", "2"], "--nodes"),
    "a task of an indivisible batch": (["--nodes", "2", "--array", "data.batch_size=4,5"], "data.batch_size"),
    "a task twice": (["--array", "seed=0,0"], "--array"),
    "two tasks in one folder": (["--array", "train.keep_last=1,2"], "--array"),
    "parallel nothing": (["--max-parallel", "2"], "--max-parallel"),
    "no job to wait for": (["--after", "12\n#SBATCH --nodes=9"], "--after"),
    "a cache that is too small": (
        ["--cache", "tmpdir", "data.window=1", "data.cache_gib=1e-7"],
        "data.cache_gib",
    ),
    "two caches": (["--cache", "tmpdir", "data.cache=/x"], "--cache"),
    "slices of a training": (["--slices", "2"], "--slices"),
    "no data": (["data.path=nowhere"], "nowhere/index.safetensors"),
    "no end": (["trainer.max_steps=null"], "trainer.max_steps"),
    "fresh at each restart": (["--fresh"], "--fresh"),
    "an option of sbatch that is set": (["--sbatch", "--output=x"], "--output"),
    "a setup that is not there": (["--setup", "modules.sh"], "--setup"),
    "a key in the setup": (["--setup", "export MY_API_KEY=abcdefgh"], "--setup"),
    "a key for sbatch": (["--sbatch", "--comment=api_key=abcdefgh"], "--sbatch"),
    "a name for terminals": (["name=interactive"], "name"),
    "online without a key": (["wandb.mode=online"], "wandb.mode"),
    "an unknown option": (["--node", "2"], "--nodes"),
    "an unknown setting": (["trainer.max_stepz=3"], "max_steps"),
    "an unknown task setting": (["--array", "optim.lrr=1,2"], "optim.lr"),
}


@pytest.mark.parametrize(("arguments", "named"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_found_and_nothing_is_written(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], named: str
) -> None:
    before = snapshot(here)
    assert re.search(rf"(^|\s){re.escape(named)}\b", refusal(capsys, *TRAIN, *arguments), re.MULTILINE)
    assert snapshot(here) == before


def test_nothing_stands_in_the_way_of_a_right_one(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = snapshot(here)
    assert slurm(*TRAIN, "--nodes", "2", "--time", "1:00:00", "--dry-run") == 0
    said = capsys.readouterr()
    assert "\nfail" not in "\n" + said.err
    assert "#SBATCH --nodes=2\n" in said.out
    assert "trainer.num_nodes=2 trainer.devices=1" in said.out
    assert snapshot(here) == before


def test_a_cache_is_a_setting_of_the_training(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert slurm(*TRAIN, "--cache", "tmpdir", "--dry-run") == 0
    said = capsys.readouterr()
    assert "data.cache=tmpdir" in said.out
    assert re.search(r"^ok +data\.cache +tmpdir, up to .* GiB on each node", said.err, re.MULTILINE)


def test_without_slurm_nothing_is_submitted(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "sbatch is not on PATH" in refusal(capsys, *TRAIN)


def test_an_index_that_was_changed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    index = here / "data/index.safetensors"
    content = index.read_bytes()
    index.write_bytes(content.replace(b"anna", b"anne", 1))
    assert index.read_bytes() != content
    assert "data/index.safetensors" in refusal(capsys, *TRAIN)


def test_a_shard_that_was_cut(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shard = next((here / "data").rglob("*.tar"))
    shard.write_bytes(shard.read_bytes()[:-1])
    said = refusal(capsys, *TRAIN)
    assert re.search(r"^fail +data\.path .*its index says", said, re.MULTILINE)
    shard.unlink()
    assert re.search(r"^fail +data\.path .*cannot be read", refusal(capsys, *TRAIN), re.MULTILINE)


def test_a_key_never_gets_into_a_script(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef")
    said = refusal(capsys, *TRAIN, "wandb.project=0123456789abcdef")
    assert re.search("^fail +wandb.project", said, re.MULTILINE)


def test_a_lead_shorter_than_the_wait_and_the_save_that_were_measured(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert slurm(*TRAIN, "--dry-run") == 0
    name = re.search(r"wavenet-[0-9a-f]{6}", _dry_run_name(here))
    assert name
    run = RunFolder(here / "runs" / name.group())
    run.path.mkdir(parents=True)
    rows = [{"step": 2, SAVE_SECONDS: 90.0}, {"step": 3, STOP_SECONDS: 15.5}, {"step": 9, STOP_SECONDS: 4.0}]
    run.metrics.write_text("".join(json.dumps({"time": 0.0, **row}) + "\n" for row in rows))
    said = refusal(capsys, *TRAIN)
    assert re.search(
        r"^fail +--signal-lead .* up to 15\.5 s until it can stop and 90\.0 s to save; set --signal-lead 196",
        said,
        re.MULTILINE,
    )
    assert slurm(*TRAIN, "--signal-lead", "200", "--time", "1:00:00", "--dry-run") == 0


def test_an_account_of_others_where_accounting_runs(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The answers are made up: accounting needs a database."""
    write_program(tmp_path, "scontrol", "echo 'AccountingStorageType = accounting_storage/slurmdbd'")
    write_program(tmp_path, "sinfo", "echo 'low*|up|1:00:00|0/1/1/2|16|64000|(null)|'")
    write_program(tmp_path, "sacctmgr", "echo lab; echo course")
    write_program(
        tmp_path,
        "sbatch",
        "echo 'allocation failure: Requested node configuration is not available' >&2; exit 1",
    )
    said = refusal(capsys, *TRAIN, "--account", "others")
    assert re.search("^fail +--account +others is none of yours; use course or lab$", said, re.MULTILINE)
    assert slurm(*TRAIN, "--account", "lab", "--dry-run") == 0, "a node is down, and may be what is missing"


def _dry_run_name(here: Path) -> str:
    from tests.small import small_config
    from wavenet_pl.runs.folder import run_folder
    from wavenet_pl.shards.index import load_index

    return run_folder(small_config(here / "data"), load_index(here / "data").fingerprint, "runs").name


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (
            ["evaluate", "runs/nothing"],
            "runs/nothing is not there, expected a run, a checkpoint or an export",
        ),
        (["listen", ".", "runs/nothing"], "name the job that will write it with --after"),
        (["generate", ".", "--out", "clips", "--nodes", "2"], "--nodes"),
        (["export", ".", "--out", "x", "--gpus-per-node", "2"], "--gpus-per-node"),
        (["evaluate", ".", "--array", "seed=0,1"], "--array"),
        (["evaluate", ".", "--cache", "tmpdir"], "--cache"),
        (["adapt", ".", "--audio", "x"], "--speaker"),
        (["adapt", "nowhere", "--audio", "x", "--speaker", "me"], "nowhere"),
        (["prepare", "folder", "corpus"], "SRC DEST"),
        (["prepare", "demo", "out", "--loudness", "3"], "--loudness"),
        (["prepare", "demo", "out", "--slices", "0"], "--slices"),
        (["prepare", "demo", "out", "--slices", "2", "--overwrite"], "--slices"),
        (["doctor"], "doctor"),
        (["trian"], "train"),
    ],
)
def test_mistakes_in_other_commands(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], named: str
) -> None:
    assert named in refusal(capsys, *arguments)


def test_every_other_command_becomes_a_script(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (
        ["evaluate", ".", "--data", "data"],
        ["listen", ".", "data"],
        ["generate", "runs/later-123abc", "--after", "12", "--out", "clips"],
        ["export", ".", "--out", "x"],
        ["index", "data"],
        ["prepare", "demo", "out", "--cpus-per-task", "4"],
        ["adapt", ".", "--audio", "x", "--speaker", "Zoë", "optim.lr=1e-4"],
    ):
        assert slurm(*arguments, "--dry-run") == 0, arguments
        out = capsys.readouterr().out
        own = [word for word in arguments if word not in ("--after", "12", "--cpus-per-task", "4")]
        for word in own:
            assert word in out.replace("'", ""), (word, out)


def test_slices_become_an_array_and_a_merge(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert slurm("prepare", "demo", "out", "--slices", "3", "--cpus-per-task", "2", "--dry-run") == 0
    array, merge = capsys.readouterr().out.split("#!/bin/bash\n")[1:]
    assert "#SBATCH --array=0-2\n" in array
    assert "--slice 3/3" in array
    assert "--jobs 2" in array
    assert "prepare merge out" in merge
    assert "--dependency=afterok:THE_JOB_BEFORE" in merge


def test_the_words_of_a_command_stay_as_they_were_typed(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["folder", "corpus", "out", "--loudness", "-23", "--trim", "--min-seconds=0.5"]
    job = ["--time", "1:00:00", "--cpus-per-task=2"]
    assert slurm("prepare", *job, *words, "--dry-run") == 0
    assert slurm("prepare", *words[:3], *job, *words[3:], "--dry-run") == 0
    assert f"prepare {' '.join(words)} --jobs 2" in " ".join(capsys.readouterr().out.split())
