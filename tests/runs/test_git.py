"""Which code a run says it was made by: this project's own checkout, and nobody else's unless it is asked for."""

from __future__ import annotations

import json
import logging
import subprocess
from pathlib import Path

import pytest

from tests.small import small_config
from wavenet_pl.runs.folder import RunFolder
from wavenet_pl.runs.git import own_code, read_checkout


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def commit(folder: Path, *names: str) -> str:
    """A repository with these files, each of which is changed after the commit; returns that."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("before\n")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    for name in names:
        (folder / name).write_text(f"changed-{Path(name).stem}\n")
    return git(folder, "rev-parse", "HEAD")


def test_the_facts_are_those_of_the_checkout_that_the_package_is_part_of(tmp_path: Path) -> None:
    first = commit(tmp_path, "wavenet_pl/__init__.py", "data_prep/rules.py", "mine.py")
    code = own_code(tmp_path / "wavenet_pl")
    assert code.facts == {"commit": first, "dirty": True}
    assert "changed-__init__" in code.diff and "changed-rules" in code.diff
    assert "changed-mine" not in code.diff, "which is no part of it"


def test_a_package_that_is_installed_inside_of_a_repository_has_no_facts_of_it(tmp_path: Path) -> None:
    commit(tmp_path, "mine.py")
    package = tmp_path / ".venv" / "wavenet_pl"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    assert own_code(package).facts == {"commit": "", "dirty": False}


def test_a_repository_is_read_as_it_is_and_runs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = commit(tmp_path, "mine.py")
    other = tmp_path / "other"
    other.mkdir()
    commit(other, "other.py")
    git(tmp_path, "config", "diff.external", "touch ran; true")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))  # as in a hook
    code = read_checkout(tmp_path)
    assert code.commit == first and "changed-mine" in code.diff
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("asked", [False, True])
def test_the_repository_that_the_command_runs_in_is_kept_only_where_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: bool
) -> None:
    (tmp_path / "mine").mkdir()
    first = commit(tmp_path / "mine", "mine.py")
    monkeypatch.chdir(tmp_path / "mine")
    run = RunFolder(tmp_path / "run")
    facts = run.create(small_config("x", f"train.repository={asked}"))
    texts = {path.name: path.read_text() for path in run.path.iterdir() if path.is_file()}
    assert json.loads(texts["git.json"]) == facts["git"] == own_code().facts
    assert any("changed-mine" in text or first in text for text in texts.values()) is asked
    if asked:
        assert json.loads(texts["repository.json"]) == {"commit": first, "dirty": True}
        assert "changed-mine" in texts["repository.diff"]


def test_a_repository_that_is_asked_for_and_not_there_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    with caplog.at_level(logging.WARNING):
        RunFolder(tmp_path / "run").create(small_config("x", "train.repository=true"))
    [record] = caplog.records
    assert f"train.repository is true, and {tmp_path} is in no git repository with a commit" in record.message
    assert "run the command in one, or leave train.repository out" in record.message
