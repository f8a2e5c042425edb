"""`wavenet-pl slurm` in the test's own process."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.small import SETTINGS
from wavenet_pl import cli

TRAIN = ("train", "data.path=data", *SETTINGS, "trainer.max_steps=4")
"""A training that nothing stands in the way of, in a folder that has a shard set in data."""


def slurm(*arguments: str) -> int:
    """The exit code."""
    try:
        return cli.main(["slurm", *arguments])
    except SystemExit as stopped:  # argparse
        return int(stopped.code or 0)


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What is said of a submission that is refused."""
    capsys.readouterr()
    code = slurm(*arguments)
    said = capsys.readouterr()
    assert code == 2, said
    assert "Traceback" not in said.err
    return said.err


def snapshot(folder: Path) -> dict[str, tuple[float, bytes]]:
    """Every file and folder below: when it was changed, and its bytes."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in [folder, *sorted(folder.rglob("*"))]
    }


def write_program(tmp_path: Path, name: str, text: str) -> None:
    """A command of SLURM that does this, on the PATH of a test that has nothing else there."""
    path = tmp_path / "no programs" / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
