"""The doctor: each finding is one line, says what to do, and keeps secrets to itself."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from wavenet_pl.commands import doctor
from wavenet_pl.runs import versions
from wavenet_pl.runs.versions import Finding

GIB = 2**30
ROOT = Path(__file__).resolve().parents[2]


def only(findings: Iterator[Finding]) -> Finding:
    (finding,) = findings
    return finding


# --- versions ---


def test_a_version_in_its_range_is_ok_and_shows_the_range() -> None:
    finding = only(versions.dependencies(["torch>=2.11,<2.14"], {"torch": "2.13.0+cpu"}.get))
    assert finding.level == "ok"
    assert "2.13.0+cpu (<2.14,>=2.11)" in str(finding)


@pytest.mark.parametrize("version", ["2.10.0", "2.14.0", "2.15.1+cu132"])
def test_a_version_out_of_its_range_fails_with_the_command_to_type(version: str) -> None:
    finding = only(versions.dependencies(["torch>=2.11,<2.14"], {"torch": version}.get))
    assert finding.level == "fail"
    assert version in finding.state
    assert "pip install 'torch<2.14,>=2.11'" in finding.advice


def test_a_package_that_is_missing_fails_with_the_command_to_type() -> None:
    finding = only(versions.dependencies(["webdataset>=1.0.2"], {}.get))
    assert (finding.level, finding.state) == ("fail", "not installed")
    assert "pip install 'webdataset>=1.0.2'" in finding.advice


def test_a_package_that_all_works_without_is_a_warning_that_says_what_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    finding = only(versions.dependencies(["wandb>=0.31"], {}.get))
    assert (finding.level, finding.state) == ("warn", "not installed")
    assert finding.advice == "runs are tracked in metrics.jsonl alone: pip install 'wandb>=0.31'"
    monkeypatch.setitem(sys.modules, "wandb", None)
    finding = only(doctor.wandb_login())
    assert (finding.level, finding.state) == (
        "ok",
        "wandb is not here: runs are tracked in metrics.jsonl alone",
    )


def test_what_only_developers_need_is_not_asked_for() -> None:
    assert not list(versions.dependencies(['pytest>=8; extra == "test"'], {}.get))


def test_a_project_that_is_not_installed_is_said() -> None:
    finding = only(versions.dependencies([], {}.get))
    assert finding.level == "warn"
    assert "pip install -e ." in finding.advice


@pytest.mark.parametrize("package", ["lightning", "pytorch-lightning"])
@pytest.mark.parametrize(
    ("version", "word"), [("2.6.2", "malware"), ("2.6.3", "malware"), ("2.6.5", "code"), ("2.5.0", "code")]
)
def test_known_bad_versions_fail_once(package: str, version: str, word: str) -> None:
    finding = only(versions.known_bad({package: version}.get))
    assert finding.level == "fail"
    assert word in finding.state


@pytest.mark.parametrize("version", ["2.6.6", "2.6.7"])
def test_good_versions_are_not_known_bad(version: str) -> None:
    assert not list(versions.known_bad({"lightning": version}.get))


def test_python_is_held_against_the_range_of_the_project() -> None:
    assert only(versions.python("3.11.7", ">=3.10,<3.14")).level == "ok"
    finding = only(versions.python("3.9.2", ">=3.10,<3.14"))
    assert finding.level == "fail"
    assert "expected >=3.10,<3.14" in finding.advice


@pytest.mark.cold("what has been imported")
def test_versions_are_read_without_importing_a_package() -> None:
    program = (
        "import sys; from wavenet_pl.runs import versions\n"
        "assert versions.installed_version('torch')\n"
        "assert versions.installed_version('no-such-package-anywhere') is None\n"
        "assert not {'torch', 'numpy'} & set(sys.modules), sorted(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


# --- the machine ---


@pytest.mark.parametrize(
    ("free", "writable", "level"),
    [(100 * GIB, True, "ok"), (5 * GIB, True, "warn"), (GIB // 2, True, "fail"), (100 * GIB, False, "fail")],
)
def test_disk_is_judged_by_room_and_rights(free: int, writable: bool, level: str) -> None:
    finding = doctor.disk_room("runs", free, writable=writable)
    assert finding.level == level
    assert bool(finding.advice) == (level != "ok")


def test_a_folder_that_is_not_there_fails(tmp_path: Path) -> None:
    assert only(doctor.disk(str(tmp_path / "none"))).level == "fail"


@pytest.mark.parametrize(
    ("commands", "level"),
    [((), "ok"), (("sbatch", "srun", "sinfo"), "ok"), (("sinfo",), "warn")],
)
def test_slurm_is_whole_or_not_there(commands: tuple[str, ...], level: str) -> None:
    assert only(doctor.slurm(lambda name: f"/bin/{name}" if name in commands else None)).level == level


def test_without_a_compiler_the_one_setting_that_needs_it_is_named() -> None:
    finding = only(doctor.compiler(lambda name: None))
    assert finding.level == "warn"
    assert "C++ compiler" in finding.state
    assert "train.compile" in finding.advice


def test_a_system_without_shared_memory_folder_is_ok(tmp_path: Path) -> None:
    assert only(doctor.shared_memory(str(tmp_path / "shm"))).level == "ok"
    assert only(doctor.shared_memory(str(tmp_path))).subject == "shared memory"


# --- the report ---


def test_the_report_is_one_line_each_and_shows_no_key(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    planted = "0123456789abcdef0123456789abcdef01234567"
    monkeypatch.setenv("WANDB_API_KEY", planted)
    code = doctor.main(argparse.Namespace(folder=str(tmp_path)))
    *lines, summary = capsys.readouterr().out.splitlines()
    assert planted not in "".join(lines)
    assert any("wandb login" in line and "credentials are set" in line for line in lines)
    assert {line[:5].strip() for line in lines} <= {"ok", "warn", "fail"}
    failed = sum(line.startswith("fail") for line in lines)
    assert code == (2 if failed else 0)
    assert summary.startswith(f"{failed} to put right first")
    for subject in ("python", "cpu", "cuda", "torchaudio", "soundfile", "slurm", "disk", "shared memory"):
        assert any(line[6:].startswith(subject) for line in lines), subject
