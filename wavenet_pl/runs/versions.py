"""Versions of Python and of packages: what is installed, what the project asks for, what must not run."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Literal

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

PROJECT = "wavenet-pl"
KNOWN_BAD = {
    "lightning": (
        ("==2.6.2,==2.6.3", "is malware: uninstall it, and change every password and key of this machine"),
        ("<2.6.6", "runs code that is hidden in checkpoints"),
    )
}
KNOWN_BAD["pytorch-lightning"] = KNOWN_BAD["lightning"]
DISPENSABLE = {"wandb": "runs are tracked in metrics.jsonl alone"}
"""Package that everything works without -> what becomes of what it is for."""
REINSTALL = "`pip install -e .` in the repository"
INSTALL_EVALUATE = "`pip install -e '.[evaluate]'` in the repository"
"""The optional networks that `evaluate` judges clips with."""
INSTALL_JUDGES = "`pip install -e '.[judges]'` in the repository"
"""The optional judges of resynthesised speech."""

Installed = Callable[[str], "str | None"]
"""Package name -> installed version, None where it is not installed."""


@dataclass(frozen=True)
class Finding:
    """One line of a report: what was checked, its state, and what to do."""

    level: Literal["ok", "warn", "fail"]
    subject: str
    state: str
    advice: str = ""

    def __str__(self) -> str:
        advice = f"; {self.advice}" if self.advice else ""
        return f"{self.level:5} {self.subject:14} {self.state}{advice}"


def declared() -> tuple[list[str], str]:
    """What the installed project asks for: its requirements and its range of Python versions."""
    try:
        project = metadata.metadata(PROJECT)
    except metadata.PackageNotFoundError:
        return [], ""
    return list(project.get_all("Requires-Dist") or []), str(project["Requires-Python"] or "")


def installed_version(package: str) -> str | None:
    """The installed version of a package, without importing it."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def installed_versions() -> dict[str, str]:
    """Of Python, of the project, and of every package that it asks for and that is here."""
    names = [PROJECT, *sorted({Requirement(each).name for each in declared()[0]} - {PROJECT})]
    packages = {name: version for name in names if (version := installed_version(name)) is not None}
    return {"python": platform.python_version(), **packages}


def python(version: str, wanted: str) -> Iterator[Finding]:
    """The interpreter against the range that the project states."""
    fits = SpecifierSet(wanted).contains(version, prereleases=True)
    advice = f"expected {wanted}: make a virtual environment with such a Python"
    yield Finding("ok" if fits else "fail", "python", f"{version} ({sys.executable})", "" if fits else advice)


def dependencies(requirements: Sequence[str], installed: Installed) -> Iterator[Finding]:
    """Each required package against its range; the ranges are the installed project's own."""
    if not requirements:
        yield Finding("warn", "packages", f"{PROJECT} itself is not installed, only its source", REINSTALL)
    for requirement in map(Requirement, requirements):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        version, wanted = installed(requirement.name), str(requirement.specifier)
        if version is None:
            repair = f"pip install '{requirement.name}{wanted}'"
            without = DISPENSABLE.get(requirement.name)
            advice = repair if without is None else f"{without}: {repair}"
            yield Finding("fail" if without is None else "warn", requirement.name, "not installed", advice)
        elif not requirement.specifier.contains(version, prereleases=True):
            repair = f"expected {wanted}: pip install '{requirement.name}{wanted}'"
            yield Finding("fail", requirement.name, version, repair)
        else:
            yield Finding("ok", requirement.name, f"{version} ({wanted})")


def known_bad(installed: Installed) -> Iterator[Finding]:
    """Versions that must not run, whatever the ranges say."""
    for package, versions in KNOWN_BAD.items():
        version = installed(package)
        for wanted, reason in versions if version is not None else ():
            # a comma in a specifier means and; here it means or
            if any(SpecifierSet(one).contains(version or "", prereleases=True) for one in wanted.split(",")):
                yield Finding("fail", package, f"{version} {reason}", f"pip install -U {package}")
                break
