"""What `make` installs, and what it says where it cannot: every message names what was found and what to do."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest itself needs it there

ROOT = Path(__file__).resolve().parents[1]
RANGE = re.findall(r'^requires-python = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[0]
TOOLS = ("sh", "sed", "cat", "cksum", "dirname", "id", "tr")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone with nothing but what the installation reads, and a PATH folder without Python or apt-get."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "bin").mkdir()
    shutil.copy(ROOT / "scripts/install.sh", tmp_path / "scripts")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found, tool
        (tmp_path / "bin" / tool).symlink_to(found)
    return tmp_path


def interpreter(clone: Path, name: str, *, version: tuple[int, int], ensurepip: bool = True) -> None:
    """An interpreter that is this one, except that it says another version or has no ensurepip."""
    path = clone / "bin" / name
    hide = "" if ensurepip else "sys.modules['ensurepip'] = None;"
    path.write_text(
        "#!/bin/sh\n"
        '[ "$1" = -c ] || exit 9\n'  # it may be asked, but never reaches `-m venv` here
        f"exec {sys.executable} -c \"import sys; sys.version_info = {version} + (0, 'final', 0); {hide}$2\"\n"
    )
    path.chmod(0o755)


def install(clone: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the installation with nothing but the clone's own bin on PATH."""
    return subprocess.run(
        [str(clone / "bin/sh"), "scripts/install.sh"],
        cwd=clone,
        env={"PATH": str(clone / "bin"), **environment},
        capture_output=True,
        text=True,
    )


def test_without_python_it_names_the_packages(clone: Path) -> None:
    done = install(clone)
    assert done.returncode == 2
    assert f"found no Python, expected {RANGE}" in done.stderr
    assert "apt-get install python3 python3-venv" in done.stderr


@pytest.mark.parametrize("version", [(3, 9), (3, 14)])
def test_an_unsuitable_python_is_refused_by_version(clone: Path, version: tuple[int, int]) -> None:
    interpreter(clone, "python3", version=version)
    done = install(clone)
    assert done.returncode == 2
    assert (
        f"python3 is 3.{version[1]} and no other python3.x on PATH suits; expected Python {RANGE}"
        in done.stderr
    )
    assert "make test PYTHON=" in done.stderr


def test_the_python_asked_for_is_not_replaced_by_another(clone: Path) -> None:
    interpreter(clone, "python3", version=(3, 12))
    interpreter(clone, "python3.9", version=(3, 9))
    done = install(clone, PYTHON="python3.9")
    assert done.returncode == 2
    assert f"PYTHON=python3.9 is 3.9; expected Python {RANGE}" in done.stderr


def test_a_python_that_does_not_run_is_passed_over(clone: Path) -> None:
    (clone / "bin/python3").write_text("#!/bin/sh\nexit 127\n")
    (clone / "bin/python3").chmod(0o755)
    interpreter(clone, "python3.12", version=(3, 12), ensurepip=False)
    assert "python3.12-venv" in install(clone).stderr


def test_missing_ensurepip_names_the_package_of_that_version(clone: Path) -> None:
    interpreter(clone, "python3", version=(3, 11), ensurepip=False)
    done = install(clone)
    assert done.returncode == 2
    assert "cannot make virtual environments" in done.stderr
    assert "sudo apt-get install python3.11-venv" in done.stderr


def test_an_installation_that_fits_is_left_alone(clone: Path) -> None:
    python = clone / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    settings = (clone / "pyproject.toml").read_text()
    sums = subprocess.run(["cksum"], input=settings, capture_output=True, text=True)
    (clone / ".venv/installed").write_text(f"{clone.resolve()}  {sums.stdout.strip()}\n")
    assert install(clone).returncode == 0
    with (clone / "pyproject.toml").open("a") as file:
        file.write("# changed\n")
    assert install(clone).returncode == 2  # it looks for a Python again


# --- the oldest releases ---


def lowest(requirement: Requirement) -> str:
    """The one lower bound of a range."""
    [bound] = [each.version for each in requirement.specifier if each.operator == ">="]
    return bound


def test_the_oldest_releases_are_the_lower_bounds() -> None:
    """Of all that the project and its tests need, each with one."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    needed = map(Requirement, [*project["dependencies"], *extras["test"], *extras["judges"]])
    printed = subprocess.run(
        ["sh", str(ROOT / "scripts/oldest.sh"), "--print"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert printed == [f"{each.name}=={lowest(each)}" for each in needed]


def test_without_a_python_the_oldest_releases_are_not_tried(clone: Path) -> None:
    shutil.copy(ROOT / "scripts/oldest.sh", clone / "scripts")
    interpreter(clone, "python3.10", version=(3, 10), ensurepip=False)
    done = subprocess.run(
        [str(clone / "bin/sh"), "scripts/oldest.sh"],
        cwd=clone,
        env={"PATH": str(clone / "bin")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert (
        f"found no python3.x on PATH that makes virtual environments, expected Python {RANGE}" in done.stderr
    )
    assert "make test-oldest PYTHON=" in done.stderr
    assert not (clone / ".venv-oldest").exists()


def test_help_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    [phony] = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    listed = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert sorted(re.findall(r"^  make ([a-z-]+) ", listed.stdout, re.MULTILINE)) == sorted(phony.split())
