"""Compiled code is kept where only its user can write, and a damaged or a missing place does not stop anybody."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numba
import numpy as np
import pytest
import torch

from tests.generation.test_reference import HEAD, build
from wavenet_pl.generation.draw import Draw
from wavenet_pl.generation.fused_cpu import draws, kernels, vectors
from wavenet_pl.generation.fused_cpu.engine import FusedCPU
from wavenet_pl.generation.job import build_job
from wavenet_pl.numbers import compiled

SOURCES = (vectors, draws, kernels)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing compiled yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_folder_is_the_users_own(home: Path) -> None:
    folder = compiled.cache_folder(SOURCES)
    assert folder is not None and folder.is_relative_to(home)
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    assert compiled.cache_folder(SOURCES) is None


def test_no_folder_where_none_can_be(home: Path) -> None:
    home.write_text("a file")
    assert compiled.cache_folder(SOURCES) is None


def test_another_source_is_another_folder(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = compiled.cache_folder(SOURCES)
    changed = tmp_path / "draws.py"
    changed.write_bytes(Path(draws.__file__).read_bytes() + b"\n")
    monkeypatch.setattr(draws, "__file__", str(changed))
    assert compiled.cache_folder(SOURCES) not in (None, before)


def test_numbas_own_setting_is_left_alone(home: Path) -> None:
    before = numba.config.CACHE_DIR
    compiled._kernel(kernels.run, compiled.cache_folder(SOURCES))
    assert before == numba.config.CACHE_DIR


def outputs() -> np.ndarray:
    torch.manual_seed(0)
    return FusedCPU(build().float(), HEAD).predict(torch.arange(16)[None]).numpy()


def test_an_engine_compiles_before_it_generates() -> None:
    engine = FusedCPU(build().float(), HEAD, threads=2)
    before = len(engine._kernel.signatures)  # type: ignore[attr-defined]
    for temperature in (0, 0.5, 1):
        draw = Draw(temperature=temperature, clips=(0, 1))
        list(engine.stream(build_job(engine.network, HEAD, draw, [5, 9], silence_code=8, chunk=4)))
    assert len(engine._kernel.signatures) == before  # type: ignore[attr-defined]


@pytest.mark.parametrize(  # each damage compiles anew
    "damage",
    [
        pytest.param(lambda kept: kept[:-20], id="cut", marks=pytest.mark.slow),
        pytest.param(lambda kept: b"", id="empty", marks=pytest.mark.soak),
        pytest.param(lambda kept: b"nonsense", id="nonsense", marks=pytest.mark.soak),
    ],
)
def test_damaged_files_are_thrown_away(home: Path, damage: Callable[[bytes], bytes]) -> None:
    expected = outputs()
    kept = [path for path in home.rglob("*") if path.is_file()]
    assert kept
    for path in kept:
        path.write_bytes(damage(path.read_bytes()))
    compiled._kernel.cache_clear()
    np.testing.assert_array_equal(outputs(), expected)
    assert not any(path.exists() for path in kept), "the next process begins with an empty folder"


@pytest.mark.slow  # compiles anew
def test_a_folder_that_cannot_be_written_does_not_stop_anybody(home: Path) -> None:
    home.write_text("a file")
    assert np.isfinite(outputs()).all()
