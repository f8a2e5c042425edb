"""The name of a run says which experiment it is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.nobody import not_ours
from tests.small import small_config
from wavenet_pl.config.tree import load_config
from wavenet_pl.errors import UserError
from wavenet_pl.runs.folder import RunFolder, open_run, run_folder, signature

PRINT = "f" * 64


@pytest.mark.parametrize(
    "setting",
    ["seed=1", "optim.lr=0.5", "model.network.stacks=2", "data.batch_size=8", "data.crop_samples=2000",
     "data.window=4",
     "trainer.precision=bf16-mixed", "trainer.gradient_clip_val=1.0"],
)  # fmt: skip
def test_what_changes_the_result_changes_the_signature(setting):
    assert signature(small_config("x", setting), PRINT) != signature(small_config("x"), PRINT)


@pytest.mark.parametrize(
    "setting",
    ["data.path=elsewhere", "data.cache=/nvme", "data.window=null",
      "data.num_workers=3", "trainer.devices=2", "trainer.num_nodes=2", "trainer.max_steps=7",
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


@pytest.mark.slow
def test_one_process_at_a_time_trains_in_a_folder(tmp_path, monkeypatch):
    run = run_folder(small_config("x"), PRINT, tmp_path)
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from wavenet_pl.runs.folder import RunFolder\n"
        "lock = RunFolder(Path(sys.argv[1])).lock()\n"
        "print('locked', flush=True)\n"
        "time.sleep(60)\n"
    )
    other = subprocess.Popen([sys.executable, "-c", program, str(run.path)], stdout=subprocess.PIPE)
    try:
        assert other.stdout is not None
        other.stdout.readline()
        monkeypatch.setattr("wavenet_pl.runs.folder._PATIENCE", 1)
        with pytest.raises(
            UserError, match="another process trains in .*, expected none; wait until it has ended"
        ):
            run.lock()
    finally:
        other.kill()
        other.communicate()
    run.lock().close()  # the lock ended with the process


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        (
            "folder",
            "lock cannot be used .Is a directory., expected a run folder and a file of its own to lock",
        ),
        ("pipe", "lock is a pipe, expected a file to lock; move it away"),
        ("file in place of the run folder", "run cannot be used .File exists."),
    ],
)
def test_a_lock_that_is_no_file_is_one_message(tmp_path, odd, said):
    run = RunFolder(tmp_path / "run")
    if odd == "folder":
        (run.path / "lock").mkdir(parents=True)
    elif odd == "pipe":
        run.path.mkdir()
        os.mkfifo(run.path / "lock")
    else:
        run.path.touch()
    with pytest.raises(UserError, match=said):
        run.lock()


@pytest.mark.parametrize(
    ("runs", "said"),
    [("r" * 300, "File name too long"), ("loop", "Too many levels of symbolic links")],
)
def test_a_folder_of_runs_that_cannot_be_is_one_message(tmp_path, runs, said):
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(UserError, match=f"cannot be used .{said}., .* set another --runs or name"):
        RunFolder(tmp_path / runs / "run").lock()


def test_a_link_to_a_disk_that_is_not_there_is_one_message(tmp_path):
    run = run_folder(small_config("x"), PRINT, tmp_path)
    run.path.mkdir()
    run.checkpoints.symlink_to("/nowhere/checkpoints")
    with pytest.raises(
        UserError, match="checkpoints is no folder, expected one of the run's own; move it away"
    ):
        run.create(small_config("x"))


def test_what_cannot_be_swept_up_stays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = RunFolder(Path("run"))
    half = [run.checkpoints / ".step-000000003.ckpt.77.tmp", run.clips / ".step-000000003.tmp/00.png"]
    for path in half:
        path.parent.mkdir(parents=True)
        path.write_bytes(b"half")
    with not_ours(run.checkpoints, *run.clips.iterdir(), mode=0o555):
        run.sweep()
    assert half[0].exists() and half[1].parent.exists()


def test_what_a_killed_process_left_half_written_is_swept_up(tmp_path):
    run = run_folder(small_config("x"), PRINT, tmp_path)
    run.create(small_config("x"))
    (run.clips / ".step-000000003.tmp").mkdir(parents=True)
    (run.clips / ".step-000000003.tmp/00.png").write_bytes(b"half")
    for name in ("checkpoints/.step-000000003.ckpt.77.tmp", ".config.yaml.77.tmp"):
        (run.path / name).write_bytes(b"half")
    (run.checkpoints / "step-000000002.ckpt").write_bytes(b"whole")
    run.sweep()
    assert not list(run.path.rglob("*.tmp"))
    assert (run.checkpoints / "step-000000002.ckpt").exists() and run.config.exists()


def test_an_earlier_run_is_set_aside_and_not_deleted(tmp_path):
    config = small_config("x")
    run = run_folder(config, PRINT, tmp_path)
    for number in (1, 2):
        run.create(config)
        (run.path / "mark").write_text(str(number))
        aside = run.set_aside()
        assert aside is not None and (aside / "mark").read_text() == str(number)
    assert not run.path.exists() and run.set_aside() is None


def test_a_run_that_cannot_be_set_aside_stays_and_the_message_says_why(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = run_folder(small_config("x"), PRINT, Path("runs"))
    run.create(small_config("x"))
    with (
        not_ours(Path("runs"), mode=0o555),
        pytest.raises(
            UserError, match="cannot be set aside as .*-old-1.*make runs writable, or leave --fresh"
        ),
    ):
        run.set_aside()
    assert run.path.exists()


def test_a_run_keeps_its_id_over_restarts_and_moves_and_a_fresh_one_has_another(tmp_path):
    run = run_folder(small_config("x"), PRINT, tmp_path)
    assert run.run_id == ""
    run.create(small_config("x"))
    first = run.run_id
    run.create(small_config("x"))
    aside = run.set_aside()
    assert first.startswith(f"{run.name}-") and aside is not None and RunFolder(aside).run_id == first
    run.create(small_config("x"))
    assert run.run_id not in ("", first)


@pytest.mark.parametrize("content", [b"../../evil", b"", b"a b", b"x" * 200, b"\xff"])
def test_an_id_that_was_changed_is_refused(tmp_path, content):
    run = run_folder(small_config("x"), PRINT, tmp_path)
    run.create(small_config("x"))
    (run.path / "run_id").write_bytes(content)
    with pytest.raises(
        UserError, match="run_id holds .*, expected letters, digits, . _ and -; remove the file"
    ):
        run.create(small_config("x"))


def test_no_secret_is_in_what_a_run_writes_down(tmp_path, monkeypatch):
    repository = tmp_path / "repository"
    for arguments in (
        ["init", "-q", str(repository)],
        ["-C", str(repository), "config", "user.email", "a@b"],
    ):
        subprocess.run(["git", *arguments], check=True)
    monkeypatch.chdir(repository)
    (repository / "settings.py").write_text("API_KEY = ''\nnum_tokens = 5\n")
    for arguments in (["add", "."], ["-c", "user.name=a", "commit", "-qm", "first"]):
        subprocess.run(["git", *arguments], check=True)
    (repository / "settings.py").write_text("API_KEY = 'planted-in-the-diff'\nnum_tokens = 512000\n")
    monkeypatch.setenv("HF_TOKEN", "planted-in-the-environment")
    config = small_config(
        "https://user:planted-in-the-url@host/set?token=planted-in-the-query",
        "wandb.group=group-a",
        "train.repository=true",
    )
    run = run_folder(config, PRINT, tmp_path / "runs")
    run.create(config)
    texts = [path.read_text() for path in run.path.rglob("*") if path.is_file()]
    assert len(texts) >= 4 and not [text for text in texts if "planted" in text]
    assert "num_tokens = 512000" in (run.path / "repository.diff").read_text()
    assert load_config([run.config]).wandb.group == "group-a"


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(UserError, match="no run folder, expected one with checkpoints/"):
        open_run(tmp_path)
